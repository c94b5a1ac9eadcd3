"""The serving command with an export that does not exist; tests/serve runs it as a process."""


def test_a_missing_export_is_told_in_one_line(tmp_path, run_script):
    done = run_script("serve.py", tmp_path / "absent")
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("serve.py: ")
    assert "absent.json" in sentence

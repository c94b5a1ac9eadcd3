"""The summary command as a user calls it."""

import pytest

from deeprect_gluon.models.__main__ import main


def test_prints_the_table_and_the_paper_s_figure(capsys):
    main(["deeprect_c"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["layer", "output", "parameters", "multiply-adds"]
    assert lines[1].split() == ["conv1_1", "96x112x112", "14,304", "177,020,928"]
    assert lines[-3].split() == ["total", "330,623,944", "53,463,130,112"]
    assert "5.346e+10; the paper's Table 3: 5.30e+10 (ours +0.9%)" in lines[-1]


def test_leaves_the_paper_out_of_another_network(capsys):
    main(["deeprect_c", "--classes", "10"])
    assert "Table 3" not in capsys.readouterr().out


def test_bad_input_is_one_line():
    with pytest.raises(SystemExit, match=r"^python -m deeprect_gluon.models: unknown model 'x'"):
        main(["x"])

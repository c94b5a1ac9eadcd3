"""Checkpoints: damaged ones are refused, old ones removed, and a full disk loses none."""

import errno
import hashlib
import logging
import os
import resource
from contextlib import contextmanager

import mxnet as mx
import numpy as np
import pytest
import safetensors.numpy

from deeprect_gluon.train.checkpoint import Checkpoints, DamagedCheckpointError, read


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "parameter/a": mx.nd.array(rng.normal(size=(3, 4, 5))),
        "momentum/a": mx.nd.array(rng.normal(size=(7,)), dtype="float64"),
    }


@contextmanager
def file_size_limit(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_read_is_what_was_written(tmp_path):
    state = {"step": 3, "error": 0.1 + 0.2, "nothing": None, "list": [1.5, [2]]}
    path = Checkpoints(tmp_path / "new").save(3, arrays(), state)
    found, found_state = read(path)
    assert found_state == state
    for name, array in arrays().items():
        assert found[name].dtype == array.dtype
        assert (found[name] == array.asnumpy()).all()
    # By the format's own library, and by the digest in the name.
    assert safetensors.numpy.load_file(str(path)).keys() == found.keys()
    assert hashlib.sha256(path.read_bytes()).hexdigest()[:32] in path.name


def test_the_latest_and_the_best_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in range(1, 8):
        checkpoints.save(step, arrays(step), {"step": step}, best=3 if step >= 3 else None)
    assert [step for step, _ in checkpoints.found()] == [3, 6, 7]
    assert checkpoints.latest()[2] == {"step": 7}


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty"])
def test_damage_is_named_and_the_one_before_is_used(tmp_path, caplog, damage):
    checkpoints = Checkpoints(tmp_path)
    paths = [checkpoints.save(step, arrays(step), {"step": step}) for step in (1, 2)]
    content = bytearray(paths[1].read_bytes())
    if damage == "altered":
        content[np.random.default_rng(0).integers(len(content))] ^= 1
    paths[1].write_bytes(content[: {"truncated": -1, "altered": None, "empty": 0}[damage]])
    with caplog.at_level(logging.WARNING):
        path, found, state = checkpoints.latest()
    assert (path, state) == (paths[0], {"step": 1})
    assert (found["parameter/a"] == arrays(1)["parameter/a"].asnumpy()).all()
    assert f"the checkpoint {paths[1]} is damaged" in caplog.text
    # The training goes past it: the same step is written anew.
    checkpoints.save(2, arrays(2), {"step": 2})
    assert checkpoints.latest()[2] == {"step": 2}


def replace_by_other_content(path, content):
    """Put content that is no checkpoint in a checkpoint's place, with its right digest."""
    path.unlink()
    digest = hashlib.sha256(content).hexdigest()[:32]
    path = path.with_name(f"step-00000002-{digest}.safetensors")
    path.write_bytes(content)
    return path


def replace_by_folder(path):
    path.unlink()
    path.mkdir()
    (path / "file").write_text("of the user")


def replace_by_dangling_link(path):
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def replace_by_pipe(path):
    path.unlink()
    os.mkfifo(path)


def forbid(path):
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")


def tensors(**arrays):
    return safetensors.numpy.save({name: np.zeros(n) for name, n in arrays.items()})


@pytest.mark.parametrize(
    "replace",
    [
        replace_by_folder,
        replace_by_dangling_link,
        replace_by_pipe,
        forbid,
        lambda path: replace_by_other_content(path, b""),
        lambda path: replace_by_other_content(path, b"no safetensors"),
        lambda path: replace_by_other_content(path, tensors(a=3)),  # without a state
        lambda path: replace_by_other_content(
            path, safetensors.numpy.save({"a": np.zeros(3)}, {"state": "{"})
        ),
    ],
)
def test_what_is_no_checkpoint_is_passed_over(tmp_path, caplog, replace):
    checkpoints = Checkpoints(tmp_path)
    paths = [checkpoints.save(step, arrays(step), {"step": step}) for step in (1, 2)]
    path = replace(paths[1]) or paths[1]
    with caplog.at_level(logging.WARNING):
        assert checkpoints.latest()[::2] == (paths[0], {"step": 1})
    assert f"the checkpoint {path} is damaged" in caplog.text
    # The training goes past it: the same step is written anew, with the same name.
    assert checkpoints.save(2, arrays(2), {"step": 2}) == paths[1]
    assert checkpoints.latest()[2] == {"step": 2}
    if replace is replace_by_folder:
        assert (tmp_path / f"bad-{path.name}" / "file").read_text() == "of the user"


def test_nothing_whole_is_an_error_and_nothing_at_all_is_none(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest() is None
    checkpoints.save(1, arrays(), {}).write_bytes(b"x")
    with pytest.raises(DamagedCheckpointError, match=f"no checkpoint in {tmp_path} is whole"):
        checkpoints.latest()


def test_a_full_disk_leaves_the_older_ones(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    path = checkpoints.save(1, arrays(), {"step": 1})
    with file_size_limit(100), pytest.raises(OSError, match="checkpoint of step 2 could") as caught:
        checkpoints.save(2, arrays(), {"step": 2})
    assert caught.value.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == [path]
    assert checkpoints.latest()[2] == {"step": 1}

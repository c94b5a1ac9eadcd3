"""MXNet's parameter files, written by MXNet and read without it, and the other way round."""

import contextlib
import mmap
import os
import resource
import subprocess

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deeprect_gluon.export import export, load_export
from deeprect_gluon.models.weights import read_params, write_params

SHAPES = hnp.array_shapes(min_dims=1, max_dims=5, max_side=6)
ARRAYS = hnp.arrays(st.sampled_from([np.float32, np.float16, np.float64]), SHAPES)


@settings(max_examples=30, deadline=None)
@given(arrays=st.dictionaries(st.text(max_size=9).filter(lambda s: "\0" not in s), ARRAYS))
def test_what_mxnet_saves_is_read_and_written_to_the_bit(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("params") / "net.params"
    if not arrays:
        return  # MXNet saves no names then
    values = {name: mx.nd.array(array, dtype=array.dtype) for name, array in arrays.items()}
    mx.nd.save(str(path), values)
    found = read_params(path)
    write_params(path.with_name("ours"), values)
    assert path.with_name("ours").read_bytes() == path.read_bytes()
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("params") / "net.params"
    mx.nd.save(str(path), {"arg:a": mx.nd.ones((2, 3)), "arg:b": mx.nd.ones((4,), dtype="float16")})
    return path.read_bytes()


def test_every_truncation_is_refused(content, tmp_path):
    path = tmp_path / "net.params"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="is not a parameter file, or is damaged"):
            read_params(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(ValueError, match="1 bytes follow after its end"):
        read_params(path)


def test_every_flipped_byte_is_refused_or_read_within_bounds(content, tmp_path):
    path = tmp_path / "net.params"
    for position in range(len(content)):
        for value in (0x00, 0x7F, 0xFF):
            path.write_bytes(content[:position] + bytes([value]) + content[position + 1 :])
            try:
                arrays = read_params(path)
            except ValueError:
                continue
            assert sum(array.nbytes for array in arrays.values()) <= len(content)


def test_other_types_are_refused(tmp_path):
    path = tmp_path / "net.params"
    mx.nd.save(str(path), {"a": mx.nd.ones((2,), dtype="int32")})
    with pytest.raises(ValueError, match=r"an array of type 4 and shape \(2,\)"):
        read_params(path)
    mx.nd.save(str(path), {"a": mx.nd.ones((3, 2)).tostype("row_sparse")})
    with pytest.raises(ValueError, match="storage 1"):
        read_params(path)


@pytest.mark.parametrize(
    "array",
    [
        mx.nd.ones((2,), dtype="int32"),
        mx.nd.ones((1,) * 9),
    ],
)
def test_what_could_not_be_read_is_not_written(tmp_path, array):
    with pytest.raises(ValueError, match="w has type .* and shape .*; parameter files have"):
        write_params(tmp_path / "net.params", {"w": array})
    assert not list(tmp_path.iterdir())


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "zero"):
        if path.name == "zero":
            path.symlink_to("/dev/zero")
        with pytest.raises(ValueError, match="is not a parameter file, but a folder or a device"):
            read_params(path)
    with pytest.raises(FileNotFoundError):
        read_params(tmp_path / "nowhere")


@pytest.fixture
def disk(tmp_path):
    """Return a function that gives a folder whose disk has room for some pages."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can make a small disk")

    def leave(pages):
        for path in folder.iterdir():
            path.unlink()
        # Until the disk is full; the last file gives the pages back.
        with (folder / "filling").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(mmap.PAGESIZE)):
                pass
        with (folder / "filling").open("r+b") as file:
            file.truncate((folder / "filling").stat().st_size - pages * mmap.PAGESIZE)
        return folder

    yield leave
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_in_the_last_block_is_an_error(disk):
    values = {"w": mx.nd.ones((5 * mmap.PAGESIZE // 4,))}  # and some bytes on a sixth page
    for pages in range(6):
        folder = disk(pages)
        with pytest.raises(OSError, match="No space left on device"):
            write_params(folder / "net.params", values)
        assert [path.name for path in folder.iterdir()] == ["filling"]
    write_params(disk(6) / "net.params", values)


def test_an_export_onto_a_disk_that_fills_is_whole_or_an_error(disk):
    net = mx.gluon.nn.Dense(700, in_units=5, prefix="net_")
    net.initialize()
    needed = 0
    while True:
        folder = disk(needed)
        with contextlib.suppress(OSError):
            export(net, folder / "net", input_shape=(5, 1, 1))
            break
        assert not (folder / "net.json").exists()
        needed += 1
    assert needed > 4
    x = np.ones((2, 5, 1, 1), np.float32)
    np.testing.assert_array_equal(load_export(folder / "net")(x), net(mx.nd.array(x)).asnumpy())


def test_a_limit_of_the_size_of_files_is_an_error(tmp_path):
    values = {"w": mx.nd.ones((1000,))}
    write_params(tmp_path / "net.params", values)
    size = (tmp_path / "net.params").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_params(tmp_path / "other.params", values)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["net.params"]

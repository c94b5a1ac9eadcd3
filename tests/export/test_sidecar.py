"""The sidecar: what it carries, and that nothing in a stranger's one does harm."""

import copy
import json
import re

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeprect_gluon.export import export, read_sidecar
from deeprect_gluon.export.sidecar import MOST_BYTES, write_sidecar
from deeprect_gluon.images import Preprocess
from deeprect_gluon.models import get_model


@pytest.fixture(scope="module")
def exported(net, tmp_path_factory):
    """The path of an export that no test may change."""
    path = tmp_path_factory.mktemp("exported") / "net"
    net.card = "# A net"
    export(net, path)
    del net.card
    return path


@pytest.fixture(scope="module")
def content(exported):
    return json.loads(exported.with_name("net.json").read_text())


def test_it_carries_all_that_a_user_of_the_net_needs(net, exported):
    sidecar = read_sidecar(exported)
    assert sidecar == read_sidecar(f"{exported}.json")
    assert (sidecar.form, sidecar.precision) == ("operator", "float32")
    assert (sidecar.classes, sidecar.card) == (net.classes, "# A net")
    assert sidecar.input_shape == (1, 28, 28)
    twin = get_model(**sidecar.config)
    assert twin.config == net.config
    for shape in ((28, 28, 1), (20, 24, 1), (40, 31, 1)):
        image = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
        np.testing.assert_array_equal(
            sidecar.preprocess(image).asnumpy(), net.preprocess(image).asnumpy()
        )


def test_a_net_that_knows_nothing_has_a_sidecar_of_its_files(tmp_path):
    net = mx.gluon.nn.Dense(2, in_units=3)
    net.initialize()
    # Of other libraries' nets: names that are ours, meanings that are not.
    net.config, net.classes, net.preprocess = {"units": 2}, 2, len
    files = export(net, tmp_path / "net")
    sidecar = read_sidecar(tmp_path / "net")
    assert [file.file for file in sidecar.files] == [file.name for file in files]
    assert sidecar.files[1].bytes == files[1].stat().st_size
    assert (sidecar.input_shape, sidecar.config, sidecar.classes) == (None, None, None)
    assert (sidecar.preprocess, sidecar.card) == (None, None)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["schema"], 2, r"at \$.schema"),
        (["form"], "caffe", r"at \$.form"),
        (["files", 0, "file"], "../net-symbol.json", r"at \$.files\[0\].file"),
        (["files", 0, "file"], "/etc/passwd", r"at \$.files\[0\].file"),
        (["files", 0, "file"], "a\\b", r"at \$.files\[0\].file"),
        (["files", 0, "file"], ".hidden", r"at \$.files\[0\].file"),
        (["files", 0, "file"], "net-0000.params", "is named twice"),
        (["files", 0, "bytes"], -1, r"at \$.files\[0\].bytes"),
        (["files", 0, "bytes"], "7", r"at \$.files\[0\].bytes"),
        (["files", 0, "sha256"], "0" * 63, r"at \$.files\[0\].sha256"),
        (["input_shape"], [1, 28, 1 << 40], r"at \$.input_shape"),
        (["input_shape"], [3, 28, 28], "for the configuration"),
        (["classes"], ["hat"], "1 names for 5 classes"),
        (["classes", 0], 7, r"at \$.classes"),
        (["preprocess", "std"], [0], r"at \$.preprocess.std"),
        (["preprocess", "mean"], [0.1, 0.2], "for 1 channels"),
        (["preprocess", "mean"], [1e999], "Infinity|not all finite|is not valid"),
        (["preprocess", "mean"], [10**400], r"at \$.preprocess.mean"),  # ended in OverflowError
        (["preprocess", "std"], [1e-300], r"at \$.preprocess.std"),  # every answer was NaN
        (["classes", 0], "half \ud800 a pair", "surrogates not allowed"),  # no answer had it
        (["card"], "\udfff", "surrogates not allowed"),
        (["preprocess", "size"], 27, "for an input of"),
        (["preprocess", "resize"], 20, "a crop of 28 pixels"),
        (["more"], 1, "Additional properties"),
    ],
)
def test_values_that_cannot_be_are_refused(content, tmp_path, path, value, message):
    wrong = copy.deepcopy(content)
    place = wrong
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (tmp_path / "net.json").write_text(json.dumps(wrong))
    with pytest.raises(ValueError, match=message) as error:
        read_sidecar(tmp_path / "net")
    assert "\n" not in str(error.value)


def test_a_whole_number_written_as_28_0_was_a_fraction(content, exported, tmp_path):
    """As languages write it that have one type of number."""
    text = re.sub(r"\b28\b", "28.0", json.dumps(content))
    assert "[1, 28.0, 28.0]" in text
    (tmp_path / "net.json").write_text(text)
    sidecar = read_sidecar(tmp_path / "net")
    assert sidecar == read_sidecar(exported)
    numbers = [*sidecar.input_shape, sidecar.preprocess.size, sidecar.config["input_size"]]
    assert all(type(number) is int for number in numbers)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"schema": NaN}'])
def test_what_is_no_sidecar_is_refused(tmp_path, text):
    (tmp_path / "net.json").write_bytes(text)
    with pytest.raises(ValueError, match="the sidecar .*net.json is not"):
        read_sidecar(tmp_path / "net")


def test_a_huge_one_is_not_read(tmp_path):
    with (tmp_path / "net.json").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(ValueError, match="more than 16777216 bytes"):
        read_sidecar(tmp_path / "net")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_mutated_one_is_refused_or_still_valid(exported, tmp_path_factory, data):
    text = bytearray(exported.with_name("net.json").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    target = tmp_path_factory.mktemp("mutated") / "net.json"
    target.write_bytes(text)
    try:
        sidecar = read_sidecar(target)
    except ValueError:
        return
    assert all("/" not in file.file for file in sidecar.files)
    assert isinstance(sidecar.preprocess, Preprocess)


def test_what_could_not_be_read_is_not_written(net, tmp_path):
    file = tmp_path / "net.onnx"
    file.write_bytes(b"model")
    with pytest.raises(ValueError, match="an input of shape"):
        write_sidecar(net, tmp_path / "net", [file], "onnx", shape=(1, 9, 9))
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]

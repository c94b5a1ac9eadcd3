"""scripts/accelerate.py on a symbol in the format of MXNet 0.8."""

import re

import mxnet as mx
import numpy as np
import pytest

from deeprect_gluon.graph import from_symbol, named_arrays
from tests.graph.conftest import fill
from tests.graph.old_format import old_params, old_symbol


@pytest.fixture
def prefix(tmp_path):
    """The first of MTCNN's nets, as its authors saved it, with random weights."""
    data = mx.sym.var("data")
    x = mx.sym.Convolution(data, kernel=(3, 3), num_filter=10, name="conv1")
    x = mx.sym.LeakyReLU(x, act_type="prelu", name="prelu1")
    x = mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pooling_convention="full", name="pool1")
    for number, filters in ((2, 16), (3, 32)):
        x = mx.sym.Convolution(x, kernel=(3, 3), num_filter=filters, name=f"conv{number}")
        x = mx.sym.LeakyReLU(x, act_type="prelu", name=f"prelu{number}")
    face = mx.sym.Convolution(x, kernel=(1, 1), num_filter=2, name="conv4_1")
    face = mx.sym.SoftmaxOutput(face, multi_output=True, name="prob1")
    box = mx.sym.Convolution(x, kernel=(1, 1), num_filter=4, name="conv4_2")
    symbol = mx.sym.Group([face, box])
    shapes = {"data": (1, 3, 20, 24), "prob1_label": (1, 5, 7)}
    graph = from_symbol(symbol, fill(symbol, 0, **shapes))
    (tmp_path / "det1-symbol.json").write_text(old_symbol(symbol))
    content = old_params(named_arrays(graph, symbol), 0)
    (tmp_path / "det1-0001.params").write_bytes(content)
    return tmp_path / "det1"


def test_it_fuses_every_pair_and_writes_the_net(run_script, prefix):
    output = prefix.with_name("fast")
    done = run_script(
        "accelerate.py", prefix, 1, "--shape", 3, 20, 24, "--rounds", 2, "--output", output
    )
    assert done.returncode == 0, done.stderr
    for number in (1, 2, 3):
        assert f"conv{number} + prelu{number}" in done.stdout
    assert "not ours: its kernel is (1, 1)" in done.stdout
    assert "times as fast" in done.stdout
    block = mx.gluon.SymbolBlock.imports(f"{output}-symbol.json", ["data"], f"{output}-0000.params")
    face, box = block(mx.nd.ones((2, 3, 20, 24)))
    np.testing.assert_allclose(face.sum(axis=1).asnumpy(), 1, rtol=1e-5)
    assert box.shape == (2, 4, 5, 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shape", 3, 20, 24, "--input", "image"), "has no data, which"),
        (("--shape", 7, 20, 24), "do not fit the net|conv1"),
    ],
)
def test_what_does_not_fit_ends_with_a_sentence(run_script, prefix, arguments, message):
    output = prefix.with_name("fast")
    done = run_script("accelerate.py", prefix, 1, *arguments, "--output", output)
    assert done.returncode == 1
    assert re.search(message, done.stderr)
    assert "Traceback" not in done.stderr
    assert not list(output.parent.glob("fast*"))

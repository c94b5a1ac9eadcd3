"""The fused operator and its block against float64, against the plain pair, and in every mode."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import conv_prelu_reference as reference
import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeprect_gluon import conv_prelu, export
from deeprect_gluon.models import get_model
from deeprect_gluon.nn import ConvPReLU


def problem(rng, images, channels, filters, size, kernel, pad, shared=False, slopes="positive"):
    """Return float32 x, weight, bias, alpha, dy; dy is 0 where rounding decides the branch."""
    x = rng.standard_normal((images, channels, *size)).astype(np.float32)
    weight = rng.standard_normal((filters, channels, kernel, kernel))
    weight = (weight / np.sqrt(channels * kernel**2)).astype(np.float32)
    bias = rng.standard_normal(filters).astype(np.float32)
    alpha = rng.uniform(0.05, 1, 1 if shared else filters)
    if slopes == "any":
        alpha *= rng.choice([-1, 1], alpha.shape)
    elif slopes != "positive":
        alpha[rng.random(alpha.shape) < 0.7] = 0 if slopes == "zero" else 1e-30
    alpha = alpha.astype(np.float32)
    z, _ = reference.forward(x, weight, bias, alpha, pad)
    dy = rng.standard_normal(z.shape).astype(np.float32)
    dy[np.abs(z) < 1e-4] = 0
    return x, weight, bias, alpha, dy


def run(x, weight, bias, alpha, dy, pad, grad_req="write"):
    """Return y and the gradients of x, weight, bias and alpha."""
    arrays = [mx.nd.array(a) for a in (x, weight, bias) + (() if alpha is None else (alpha,))]
    for array in arrays:
        array.attach_grad(grad_req)
    with mx.autograd.record():
        y = conv_prelu(*arrays, pad=pad)
    y.backward(mx.nd.array(dy))
    return [y.asnumpy()] + [a.grad.asnumpy() for a in arrays]


def expected(x, weight, bias, alpha, dy, pad):
    z, y = reference.forward(x, weight, bias, alpha, pad)
    return [y, *reference.backward(dy, x, weight, alpha, pad, z)]


def assert_close(actual, wanted, tolerance=2e-5):
    """Compare with a tolerance relative to the largest element, as rounding errors are."""
    assert len(actual) == len(wanted)
    for a, w in zip(actual, wanted):
        assert a.shape == w.shape
        np.testing.assert_allclose(a, w, rtol=0, atol=tolerance * max(1e-3, np.abs(w).max()))


def assert_agrees(case, pad):
    """Compare with float64; sums over the maps relative to the sum of their terms' magnitudes."""
    x, weight, bias, alpha, dy = case
    actual, wanted = run(*case, pad), expected(*case, pad)
    assert_close(actual[:3], wanted[:3])
    z, _ = reference.forward(x, weight, bias, alpha, pad)
    magnitudes = reference.backward(np.abs(dy), x, weight, np.abs(alpha), pad, z)[2:]
    for a, w, m in zip(actual[3:], wanted[3:], magnitudes):
        np.testing.assert_allclose(a, w, rtol=0, atol=2e-5 * max(1, np.abs(m).max()))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 5),
    channels=st.integers(1, 70),
    filters=st.integers(1, 70),
    height=st.integers(1, 19),
    width=st.integers(1, 19),
    kernel=st.sampled_from([2, 3]),
    pad=st.integers(0, 2),
    shared=st.booleans(),
    slopes=st.sampled_from(["positive", "any", "zero", "tiny"]),
)
def test_agrees_with_float64(
    seed, images, channels, filters, height, width, kernel, pad, shared, slopes
):
    pad = min(pad, kernel - 1)
    size = (max(height, kernel - 2 * pad), max(width, kernel - 2 * pad))
    rng = np.random.default_rng(seed)
    assert_agrees(problem(rng, images, channels, filters, size, kernel, pad, shared, slopes), pad)


@pytest.mark.parametrize("kernel", [2, 3])
def test_divisions_of_large_inputs(kernel):
    """Several batches of tiles, chunks that end inside an image, blocks of channels."""
    rng = np.random.default_rng(5)
    assert_agrees(problem(rng, 3, 200, 100, (75, 66), kernel, 1, slopes="any"), 1)


def test_numeric_gradient():
    rng = np.random.default_rng(2)
    x, weight, bias, alpha, dy = problem(rng, 1, 2, 3, (6, 7), 3, 1)
    arguments = [a.astype(np.float64) for a in (x, weight, bias, alpha)]
    gradients = run(x, weight, bias, alpha, dy, 1)[1:]
    for which, gradient in enumerate(gradients):
        direction = rng.standard_normal(gradient.shape)
        values = []
        for step in (1e-6, -1e-6):
            moved = list(arguments)
            moved[which] = moved[which] + step * direction
            values.append((reference.forward(*moved, 1)[1] * dy).sum())
        slope = (values[0] - values[1]) / 2e-6
        np.testing.assert_allclose((gradient * direction).sum(), slope, rtol=1e-4, atol=1e-4)


def test_relu():
    x, weight, bias, _, dy = problem(np.random.default_rng(3), 2, 20, 40, (9, 8), 3, 1)
    zero = np.zeros(40, np.float32)
    wanted = expected(x, weight, bias, zero, dy, 1)
    assert_close(run(x, weight, bias, None, dy, 1), wanted[:-1])


def test_empty_batch():
    with mx.util.np_shape(True):
        x, weight, bias, alpha, _ = problem(np.random.default_rng(3), 1, 3, 4, (5, 5), 3, 1)
        arrays = [mx.nd.array(a) for a in (x[:0], weight, bias, alpha)]
        for array in arrays[1:]:
            array.attach_grad()
        with mx.autograd.record():
            y = conv_prelu(*arrays, pad=1)
        y.backward()
        assert y.shape == (0, 4, 5, 5)
        assert all((a.grad.asnumpy() == 0).all() for a in arrays[1:])


PROGRAM = """
import hashlib, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_conv_prelu import assert_agrees, problem, run
case = problem(np.random.default_rng(7), 6, 70, 75, (23, 20), 3, 1, slopes="any")
assert_agrees(case, 1)
print(hashlib.sha256(b"".join(r.tobytes() for r in run(*case, 1))).hexdigest())
"""


def bits(**environment):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip()


def test_same_bits_for_any_number_of_threads():
    assert len({bits(OMP_NUM_THREADS=str(n)) for n in (1, 2, 5)}) == 1


@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_other_instruction_sets(isa):
    assert len(bits(DEEPRECT_ISA=isa)) == 64


def test_grad_req_add():
    case = problem(np.random.default_rng(8), 2, 5, 6, (7, 7), 3, 1)
    arrays = [mx.nd.array(a) for a in case[:4]]
    for array in arrays:
        array.attach_grad("add")
    for _ in range(3):
        with mx.autograd.record():
            y = conv_prelu(*arrays, pad=1)
        y.backward(mx.nd.array(case[4]))
    assert_close([a.grad.asnumpy() for a in arrays], [3 * g for g in expected(*case, 1)[1:]])


def block_of(case, pad=1, **options):
    x, weight, bias, alpha, _ = case
    block = ConvPReLU(
        len(weight),
        weight.shape[2],
        padding=pad,
        in_channels=x.shape[1],
        activation="prelu_shared" if len(alpha) == 1 else "prelu",
        **options,
    )
    block.initialize()
    for parameter, value in zip((block.weight, block.bias, block.alpha), case[1:4]):
        parameter.set_data(mx.nd.array(value))
    return block


MODES = {
    "imperative": None,
    "hybridized": {},
    "static": {"static_alloc": True, "static_shape": True},
}


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("grad_req", ["write", "add"])
def test_block(mode, fast, grad_req):
    case = problem(np.random.default_rng(9), 2, 20, 35, (9, 11), 3, 1)
    block = block_of(case, fast=fast)
    block.collect_params().setattr("grad_req", grad_req)
    if MODES[mode] is not None:
        block.hybridize(**MODES[mode])
    x = mx.nd.array(case[0])
    x.attach_grad(grad_req)
    for _ in range(2):
        with mx.autograd.record():
            y = block(x)
        y.backward(mx.nd.array(case[4]))
    wanted = expected(*case, 1)
    times = 2 if grad_req == "add" else 1
    gradients = [x.grad, block.weight.grad(), block.bias.grad(), block.alpha.grad()]
    assert_close([y.asnumpy()], wanted[:1])
    assert_close([g.asnumpy() for g in gradients], [times * g for g in wanted[1:]])


def test_grad_req_cannot_become_add_behind_a_graph():
    block = block_of(problem(np.random.default_rng(9), 1, 3, 4, (5, 5), 3, 1), fast=True)
    block.hybridize()
    block(mx.nd.ones((1, 3, 5, 5)))
    with pytest.raises(RuntimeError, match="hybridize"):
        block.weight.grad_req = "add"
    block.hybridize()
    block.weight.grad_req = "add"
    assert block.weight.grad_req == "add"


@pytest.mark.parametrize("hybridize", [False, True])
def test_one_input_of_nine_blocks(hybridize):
    """MXNet adds up the gradients of a tensor with many consumers in another way."""

    class Fan(mx.gluon.nn.HybridSequential):
        def hybrid_forward(self, F, x):
            x = x * 1
            return F.add_n(*[block(x) for block in self._children.values()])

    case = problem(np.random.default_rng(9), 2, 4, 5, (6, 6), 3, 1)
    net = Fan()
    net.add(*[block_of(case, fast=True) for _ in range(9)])
    if hybridize:
        net.hybridize(static_alloc=True)
    x = mx.nd.array(case[0])
    x.attach_grad()
    with mx.autograd.record():
        y = net(x)
    y.backward(mx.nd.array(case[4]))
    assert_close([x.grad.asnumpy()], [9 * expected(*case, 1)[1]])


def test_one_block_used_twice():
    block = ConvPReLU(6, 3, padding=1, in_channels=6, fast=True)
    plain = ConvPReLU(6, 3, padding=1, in_channels=6, fast=False, params=block.collect_params())
    block.initialize(mx.init.Normal(0.3))
    x = mx.nd.random.normal(shape=(2, 6, 8, 8))
    gradients = []
    for b in (block, plain):
        with mx.autograd.record():
            loss = b(b(x)).sum()
        loss.backward()
        gradients.append([p.grad().asnumpy() for p in b.collect_params().values()])
    assert_close(*gradients)


def test_concurrent_calls():
    rng = np.random.default_rng(11)
    cases = [problem(rng, 2, 8 + i, 40, (10 + i, 9), 2 + i % 2, 1) for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for case, results in zip(cases * 4, pool.map(lambda c: run(*c, 1), cases * 4)):
            assert_close(results, expected(*case, 1))


def test_deferred_channels():
    block = ConvPReLU(7, 3, padding=1, fast=True)
    block.initialize()
    block.hybridize()
    assert block(mx.nd.ones((2, 5, 8, 8))).shape == (2, 7, 8, 8)
    assert block.weight.shape == (7, 5, 3, 3)


def test_float64_takes_the_plain_pair():
    case = problem(np.random.default_rng(12), 1, 4, 5, (6, 6), 3, 1)
    block = block_of(case, fast=True)
    block.cast("float64")
    y = block(mx.nd.array(case[0], dtype="float64"))
    assert y.dtype == np.float64
    assert_close([y.asnumpy()], expected(*case, 1)[:1], 1e-12)


@pytest.mark.parametrize("strides", [1, 2])
def test_other_kernels_take_the_plain_pair(strides):
    block = ConvPReLU(4, 7, strides, 3, in_channels=3, fast=True)
    block.initialize()
    assert block(mx.nd.ones((1, 3, 16, 16))).shape == (1, 4, 16 // strides, 16 // strides)


def small_net(fast, activation="prelu", dropout=0):
    return get_model(
        "deeprect_small14",
        activation=activation,
        fast=fast,
        in_channels=1,
        classes=10,
        stem="small_image",
        input_size=28,
        width=0.25,
        hidden=(32,),
        dropout=dropout,
    )


@pytest.mark.parametrize("activation", ["prelu", "prelu_shared", "relu"])
def test_networks_train_alike(activation, tmp_path):
    """Weights change between steps, and those of one net can be loaded into the other."""
    fast, plain = small_net(True, activation), small_net(False, activation)
    mx.random.seed(1)
    fast.initialize(mx.init.MSRAPrelu(slope=0))
    fast.save_parameters(str(tmp_path / "net.params"))
    plain.load_parameters(str(tmp_path / "net.params"))
    assert list(fast.collect_params()) == list(plain.collect_params())
    assert fast.config == plain.config
    x = mx.nd.random.normal(shape=(8, 1, 28, 28))
    label = mx.nd.arange(8)
    loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    losses = []
    for net in (fast, plain):
        net.hybridize(static_alloc=True)
        trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.001})
        row = []
        for _ in range(4):
            with mx.autograd.record():
                value = loss(net(x), label)
            value.backward()
            trainer.step(8)
            row.append(value.mean().asscalar())
        losses.append(row)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
    assert losses[0][-1] != losses[0][0]


@pytest.mark.parametrize("portable", [False, True])
def test_export(portable, tmp_path):
    net = small_net(True)
    net.initialize(mx.init.MSRAPrelu())
    x = mx.nd.random.normal(shape=(2, 1, 28, 28))
    y = net(x)
    symbol, params = export.export(net, tmp_path / "net", portable=portable)
    assert ("deeprect_conv_prelu" in symbol.read_text()) != portable
    again = mx.gluon.SymbolBlock.imports(str(symbol), ["data"], str(params))
    assert_close([again(x).asnumpy()], [y.asnumpy()], 1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": (2, 3, 8)}, r"data has shape \(2, 3, 8\); it must be \(N, C, H, W\)"),
        ({"weight": (4, 5, 3, 3)}, r"weight has shape \(4, 5, 3, 3\); for data of shape"),
        ({"weight": (4, 3, 5, 5)}, "k of 2 or 3"),
        ({"weight": (4, 3, 3, 2)}, "k of 2 or 3"),
        ({"bias": (3,)}, r"bias has shape \(3,\); it must be \(4,\)"),
        ({"alpha": (2,)}, r"alpha has shape \(2,\).*or \(1,\) to share one slope"),
        ({"pad": 3}, "pad=3 is not supported"),
        ({"weight": (4, 3, 2, 2), "pad": 2}, "pad=2 must be less than the kernel, 2"),
        ({"x": (1, 3, 2, 8), "pad": 0}, "smaller than the kernel of 3"),
    ],
)
def test_errors_name_what_is_wrong(changes, message):
    shapes = {"x": (2, 3, 8, 8), "weight": (4, 3, 3, 3), "bias": (4,), "alpha": (4,), "pad": 1}
    shapes.update(changes)
    pad = shapes.pop("pad")
    with pytest.raises(mx.MXNetError, match=message):
        conv_prelu(*[mx.nd.ones(shape) for shape in shapes.values()], pad=pad)


def test_errors_of_type_and_activation():
    arrays = [mx.nd.ones(shape) for shape in [(1, 3, 5, 5), (4, 3, 3, 3), (4,), (4,)]]
    with pytest.raises(mx.MXNetError, match="data is float64; it must be float32"):
        conv_prelu(arrays[0].astype("float64"), *arrays[1:])
    with pytest.raises(ValueError, match="unknown activation 'elu'"):
        ConvPReLU(4, 3, activation="elu")


@pytest.mark.parametrize("activation", ["prelu", "relu"])
@pytest.mark.parametrize("portable", [False, True])
def test_inference_pass(portable, activation, tmp_path):
    """An exported plain net: its pairs become the operator, its dropout goes."""
    net = small_net(False, activation, dropout=0.5)
    net.initialize(mx.init.MSRAPrelu())
    x = mx.nd.random.normal(shape=(2, 1, 28, 28))
    y = net(x)
    files = export.export(net, tmp_path / "net", portable=portable)
    again = mx.gluon.SymbolBlock.imports(str(files[0]), ["data"], str(files[1]))
    assert '"op": "Dropout"' in files[0].read_text()
    again.optimize_for(x, backend="deeprect")
    assert_close([again(x).asnumpy()], [y.asnumpy()], 1e-4)
    again.export(str(tmp_path / "fused"))
    graph = (tmp_path / "fused-symbol.json").read_text()
    # The first layer's kernel of 7 stays as it was.
    assert graph.count('"op": "deeprect_conv_prelu"') == 10
    assert graph.count('"op": "Convolution"') == 1
    assert '"op": "Dropout"' not in graph


def test_inference_pass_keeps_what_it_must():
    """A convolution with a second consumer, an unknown stride, a head."""
    data, weight, bias, alpha = (mx.sym.var(n) for n in ("data", "weight", "bias", "alpha"))
    common = {"num_filter": 4, "kernel": (3, 3)}
    shared = mx.sym.Convolution(data, weight, bias, **common)
    strided = mx.sym.Convolution(data, weight, bias, stride=(2, 2), **common)
    outputs = [
        mx.sym.LeakyReLU(shared, alpha, act_type="prelu"),
        shared,
        mx.sym.LeakyReLU(strided, alpha, act_type="prelu"),
    ]
    net = mx.gluon.SymbolBlock(mx.sym.Group(outputs), [data])
    net.initialize(mx.init.Normal(1))
    x = mx.nd.random.normal(shape=(1, 3, 9, 9))
    before = [y.asnumpy() for y in net(x)]
    net.optimize_for(x, backend="deeprect")
    for actual, wanted in zip(net(x), before):
        np.testing.assert_array_equal(actual.asnumpy(), wanted)

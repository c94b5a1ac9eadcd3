"""Call the registered operator at random: each call agrees with float64 NumPy, or raises.

It is a program of its own: a crash inside MXNet then fails one test and does not end all of them.
"""

import sys
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
from hypothesis import HealthCheck, given, settings

import deeprect_gluon as dg

import mxnet as mx  # isort: skip

sys.path.insert(0, str(Path(__file__).parents[1]))
from prelu_reference import prelu, prelu_gradients

EXAMPLES = int(sys.argv[1])
FLOATS = ["float16", "float32", "float64"]
SPECIALS = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 6e4]
MODES = {"hybridized": {}, "static": {"static_alloc": True, "static_shape": True}}


class Graph(mx.gluon.HybridBlock):
    def __init__(self, axis, consumers):
        super().__init__()
        self.axis, self.consumers = axis, consumers

    def hybrid_forward(self, F, x, alpha):
        outputs = [dg.prelu(x, alpha, self.axis) for _ in range(self.consumers)]
        return F.add_n(*outputs) if self.consumers > 1 else outputs[0]


@st.composite
def calls(draw):
    """Mostly valid: any shape, then an alpha, an axis and types that usually fit it."""
    shape = tuple(draw(st.lists(st.integers(0, 9), min_size=1, max_size=6)))
    if draw(st.integers(0, 9)) == 0:
        shape = (*shape[:1], draw(st.sampled_from([33, 1000, 20000])), *shape[1:2])
    rank = len(shape)
    axis = draw(st.integers(-rank - 1, rank))
    channels = shape[axis] if -rank <= axis < rank else 1
    alpha_shape = draw(
        st.sampled_from([(channels,)] * 6 + [(1,)] * 3 + [(channels + 1,), (channels, 1), (2, 1)])
    )
    data_type = draw(st.sampled_from(FLOATS + ["int32", "uint8"] * draw(st.booleans())))
    same = draw(st.integers(0, 4)) > 0
    alpha_type = data_type if same else draw(st.sampled_from(FLOATS))
    return shape, axis, alpha_shape, data_type, alpha_type


def is_valid(shape, axis, alpha_shape, data_type, alpha_type):
    types_fit = alpha_type == data_type or (data_type, alpha_type) == ("float16", "float32")
    return (
        data_type in FLOATS
        and types_fit
        and -len(shape) <= axis < len(shape)
        and alpha_shape in [(1,), (shape[axis],)]
    )


def random_array(rng, shape, dtype, special):
    values = rng.standard_normal(shape)
    if special:
        at = rng.random(shape) < 0.1
        values = np.where(at, rng.choice(SPECIALS, shape), values)
    with np.errstate(invalid="ignore", over="ignore"):
        return values.astype(dtype)


def as_view(values):
    """Return an NDArray whose memory lies inside a larger one."""
    padded = np.concatenate([np.full_like(values[:1], 7), values, np.full_like(values[:1], 7)])
    base = mx.nd.array(padded, dtype=values.dtype)
    before = 1 if len(values) else 0
    return base[before : before + len(values)]


def check(got, want, dtype, scale):
    """Compare but for rounding in `dtype`; `scale` bounds what cancels in a sum."""
    info = np.finfo(dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        want = np.where(np.abs(want) >= info.max, np.sign(want) * np.inf, want)
        got = np.where(np.abs(got) >= info.max, np.sign(got) * np.inf, got.astype("float64"))
    tolerance = 4 * info.eps * np.nan_to_num(scale, posinf=0) + 8 * info.tiny
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite])
    assert (np.abs(got[finite] - want[finite]) <= tolerance[finite]).all()


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    call=calls(),
    seed=st.integers(0, 2**32 - 1),
    mode=st.sampled_from(["imperative", *MODES]),
    requests=st.tuples(*[st.sampled_from(["write", "add", "null"])] * 2),
    consumers=st.sampled_from([1, 1, 1, 2, 9]),
    view=st.booleans(),
    special=st.booleans(),
    threads=st.integers(1, 3),
)
def fuzz(call, seed, mode, requests, consumers, view, special, threads):
    shape, axis, alpha_shape, data_type, alpha_type = call
    dg.native.set_threads(threads)
    rng = np.random.default_rng(seed)
    x, dy = (random_array(rng, shape, data_type, special) for _ in range(2))
    alpha = random_array(rng, alpha_shape, alpha_type, False)
    data = as_view(x) if view else mx.nd.array(x, dtype=data_type)
    slopes = mx.nd.array(alpha, dtype=alpha_type)
    for array, request in zip((data, slopes), requests):
        if request != "null":
            array.attach_grad(request)
    net = Graph(axis, consumers)
    if mode in MODES:
        net.hybridize(**MODES[mode])

    def run():
        with mx.autograd.record():
            y = net(data, slopes)
        if requests != ("null", "null"):
            y.backward(mx.nd.array(dy, dtype=data_type))
        return y.asnumpy()

    if not is_valid(*call):
        try:
            run()
        except mx.MXNetError:
            return
        raise AssertionError(f"accepted: {call}")

    y = run()
    if "add" in requests:
        run()
    with np.errstate(invalid="ignore", over="ignore"):
        want_y = prelu(x, alpha, axis)
        want_dx, want_dalpha = prelu_gradients(dy, x, alpha, axis)
        terms = np.abs(prelu_gradients(np.abs(dy), x, alpha, axis)[1])
    if consumers > 1 and data_type == "float16":
        return  # MXNet's own sum of the branches rounds, and overflows, as it likes
    check(y, consumers * want_y, data_type, consumers * np.abs(want_y))
    if requests[0] != "null":
        times = consumers * (2 if requests[0] == "add" else 1)
        check(data.grad.asnumpy(), times * want_dx, data_type, times * np.abs(want_dx))
    if requests[1] != "null":
        times = consumers * (2 if requests[1] == "add" else 1)
        check(slopes.grad.asnumpy(), times * want_dalpha, alpha_type, times * terms)


with mx.util.np_shape(True):
    fuzz()

"""Random nets of the operators that vision nets have, as symbols of MXNet."""

import mxnet as mx
from hypothesis import strategies as st

sym = mx.sym
SHAPE = (2, 4, 9, 8)


@st.composite
def nets(draw, most_layers=12):
    """Draw a symbol of one input, `data`, of shape `SHAPE`, and one to three outputs."""
    # Symbols with their channels, height and width; layers may take any of them.
    maps = [(sym.var("data"), *SHAPE[1:])]
    # A layer used twice shares its weights.
    shared = {}
    for number in range(draw(st.integers(1, most_layers))):
        x, c, h, w = maps[-1] if draw(st.integers(0, 3)) else draw(st.sampled_from(maps))
        kind = draw(st.sampled_from(KINDS))
        made = kind(draw, f"layer{number}", x, c, h, w, maps, shared)
        if made is not None:
            maps.append(made)
    last = maps[-1][0]
    if draw(st.booleans()):
        last = sym.FullyConnected(last, num_hidden=5, no_bias=draw(st.booleans()), name="dense")
        last = draw(
            st.sampled_from(
                [
                    last,
                    sym.BatchNorm(last, fix_gamma=False, name="dense_bn"),
                    sym.SoftmaxOutput(last, name="softmax"),
                    sym.LeakyReLU(last, act_type="prelu", name="dense_prelu"),
                ]
            )
        )
    heads = [last, *draw(st.lists(st.sampled_from([m[0] for m in maps]), max_size=2))]
    return heads[0] if len(heads) == 1 else sym.Group(heads)


def convolution(draw, name, x, c, h, w, maps, shared):
    kernel, stride = draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([1, 1, 2]))
    pad, dilate = draw(st.integers(0, 2)), draw(st.sampled_from([1, 1, 2]))
    group = draw(st.sampled_from([1, 1, 2, c]))
    reach = dilate * (kernel - 1) + 1
    if min(h, w) + 2 * pad < reach or c % group:
        return None
    filters = draw(st.sampled_from([4, 8])) if group != c else c
    settings = {
        "kernel": (kernel, kernel),
        "stride": (stride, stride),
        "pad": (pad, pad),
        "dilate": (dilate, dilate),
        "num_group": group,
        "num_filter": filters,
        "no_bias": draw(st.booleans()),
    }
    key = (c, str(settings))
    weights = {}
    if draw(st.booleans()):
        weights = {"weight": shared.setdefault(key, sym.var(f"{name}_shared_weight"))}
    y = sym.Convolution(x, name=name, **settings, **weights)
    return y, filters, *(((n + 2 * pad - reach) // stride + 1) for n in (h, w))


def batch_norm(draw, name, x, *shape):
    y = sym.BatchNorm(
        x,
        name=name,
        fix_gamma=draw(st.booleans()),
        use_global_stats=draw(st.booleans()),
        eps=draw(st.sampled_from([1e-5, 1e-3])),
    )
    return y, *shape[:3]


def rectifier(draw, name, x, *shape):
    kind = draw(st.sampled_from(["prelu", "leaky", "relu", "Activation", "tanh", "elu"]))
    if kind == "relu":
        y = sym.relu(x, name=name)
    elif kind in ("Activation", "tanh"):
        y = sym.Activation(x, act_type="relu" if kind == "Activation" else "tanh", name=name)
    else:
        y = sym.LeakyReLU(x, act_type=kind, slope=0.2, name=name)
    return y, *shape[:3]


def arithmetic(draw, name, x, c, h, w, *_):
    number = draw(st.sampled_from([-1.5, 0.5, 2.0]))
    constant = sym.var(f"{name}_constant", shape=(1, c, 1, 1))
    y = draw(
        st.sampled_from(
            [
                x * number, x + number, x - number, number - x, x / number,
                sym.broadcast_mul(x, constant), sym.broadcast_add(constant, x),
                sym.broadcast_sub(constant, x),
            ]
        )
    )  # fmt: skip
    return y, c, h, w


def pooling(draw, name, x, c, h, w, *_):
    if min(h, w) < 3:
        return None
    kind = draw(st.sampled_from(["max", "avg"]))
    kernel, stride = draw(st.integers(2, 3)), draw(st.integers(1, 2))
    y = sym.Pooling(x, kernel=(kernel, kernel), stride=(stride, stride), pool_type=kind, name=name)
    return y, c, (h - kernel) // stride + 1, (w - kernel) // stride + 1


def residual(draw, name, x, c, h, w, maps, _):
    others = [other for other, *shape in maps if shape == [c, h, w]]
    return x + draw(st.sampled_from(others)), c, h, w


def concat(draw, name, x, c, h, w, maps, _):
    others = [(other, k) for other, k, *size in maps if size == [h, w] and k + c <= 16]
    if not others:
        return None
    other, k = draw(st.sampled_from(others))
    return sym.concat(x, other, dim=1, name=name), c + k, h, w


def split(draw, name, x, c, h, w, *_):
    if c % 2:
        return None
    a, b = sym.split(x, num_outputs=2, axis=1, name=name)
    return draw(st.sampled_from([a, b, sym.maximum(a, b), a - b])), c // 2, h, w


def copy(draw, name, x, *shape):
    y = draw(st.sampled_from([sym.identity(x), sym.Dropout(x, p=0.5), sym.BlockGrad(x)]))
    return y, *shape[:3]


# Those that passes look for come more often.
KINDS = [
    *(convolution, convolution, convolution, batch_norm, batch_norm, rectifier, rectifier),
    *(arithmetic, pooling, residual, concat, split, copy),
]

"""The operators as functions of NDArrays or Symbols, with right gradients for every `grad_req`.

MXNet does not tell an external operator its `req`: whether to write a gradient, to add to it or to
skip it. An operator of MXNet's must write the gradient of whatever has one:

- With `identity` in front of the operator, MXNet's own copy does the adding. In a graph the copy is
  the array itself, unless that is a variable.
- A weight is a large variable. In a graph it is two inputs of the operator, the second of gradient
  0, and MXNet's own sum of the two gradients does the adding. The forward costs nothing, the
  backward some passes over the gradient.
- Imperatively a view takes the place of the copy, for arrays that have a gradient.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any, ContextManager, Iterator, TypeVar

import mxnet as mx

Tensor = TypeVar("Tensor", mx.nd.NDArray, mx.sym.Symbol)


_local = threading.local()


@contextlib.contextmanager
def _switched_on(name: str) -> Iterator[None]:
    """Set a switch of this thread within this context."""
    before = getattr(_local, name, False)
    setattr(_local, name, True)
    try:
        yield
    finally:
        setattr(_local, name, before)


def portable_operators() -> ContextManager[None]:
    """Build symbols of MXNet's own operators within this context, for use without ours."""
    return _switched_on("portable")


def overwritten_gradients() -> ContextManager[None]:
    """Build graphs for weights whose gradients do not accumulate, within this context.

    Such a graph is wrong, without a word, once a weight's `grad_req` is "add". Keep it where that
    is looked after in every call.
    """
    return _switched_on("overwritten")


def is_portable(x: Tensor) -> bool:
    """Return whether `x` is a symbol being built of MXNet's own operators."""
    return isinstance(x, mx.sym.Symbol) and getattr(_local, "portable", False)


def _builtin_prelu(data: mx.sym.Symbol, alpha: mx.sym.Symbol, axis: int) -> mx.sym.Symbol:
    # LeakyReLU knows only channels on axis 1.
    swap = axis != 1
    x = mx.sym.swapaxes(data, dim1=1, dim2=axis) if swap else data
    y = mx.sym.LeakyReLU(x, gamma=alpha, act_type="prelu")
    return mx.sym.swapaxes(y, dim1=1, dim2=axis) if swap else y


def _with_req(x: Tensor) -> Tensor:
    if isinstance(x, mx.sym.Symbol):
        return mx.sym.identity(x)
    return x.reshape(x.shape) if mx.autograd.is_recording() and x.grad is not None else x


def _with_rank(x: Tensor, rank: int) -> Tensor:
    """Tell MXNet the number of axes of a variable of unknown shape, as Gluon does for a parameter.

    MXNet reserves too little memory for an external operator's shapes if a rank is unknown.
    """
    is_variable = isinstance(x, mx.sym.Symbol) and x.get_children() is None
    if is_variable and x.attr("__shape__") in (None, "()"):
        unknown = -1 if mx.util.is_np_shape() else 0
        x._set_attr(__shape__=str(rank * (unknown,)))
    return x


def _vector_with_req(x: Tensor) -> Tensor:
    if isinstance(x, mx.sym.Symbol):
        # As a row, since MXNet's print_summary cannot show vectors that a node returns.
        return mx.sym.expand_dims(_with_rank(x, 1), axis=0)
    if x.ndim == 2 and x.shape[0] == 1:  # the operators take such rows, from graphs
        raise ValueError(f"bias and slopes have one axis, got an array of shape {x.shape}")
    return _with_req(x)


def _call(operator: str, data: Tensor, weight: Tensor, vectors: list[Tensor], **settings) -> Tensor:
    """Call an operator that has a weight."""
    data, vectors = _with_req(data), list(map(_vector_with_req, vectors))
    if isinstance(data, mx.sym.Symbol):
        if getattr(_local, "overwritten", False):
            return getattr(mx.sym, operator)(data, weight, *vectors, **settings)
        inputs = [data, weight, *vectors, weight]
        return getattr(mx.sym, operator)(*inputs, weight_twice=True, **settings)
    return getattr(mx.nd, operator)(data, _with_req(weight), *vectors, **settings)


def _set_slope_defaults(alpha: Tensor) -> None:
    """Write the paper's initial slope and no weight decay into a variable that states neither.

    Module reads them there. By its name alone it would start slopes at 1 or 0, and let them decay.
    """
    if isinstance(alpha, mx.sym.Symbol) and alpha.get_children() is None:
        defaults = {"__init__": mx.init.Constant(0.25).dumps(), "__wd_mult__": "0.0"}
        alpha._set_attr(**{k: v for k, v in defaults.items() if alpha.attr(k) is None})


def _check_shape(name: str, shape: tuple[int, ...]) -> None:
    """Refuse shapes that MXNet takes for unknown: it then reads and writes foreign memory."""
    if not shape:
        raise mx.MXNetError(f"{name} has shape (); it must have at least one axis")
    if 0 in shape and not mx.util.is_np_shape():
        raise mx.MXNetError(
            f"{name} has shape {shape}; arrays without elements need mx.util.set_np_shape(True)"
        )


def _namespace(**tensors: Any) -> Any:
    """Check the tensors, and return mx.nd or mx.sym, to which all of them belong."""
    for name, tensor in tensors.items():
        if isinstance(tensor, (mx.np.ndarray, mx.sym.np._Symbol)):
            raise TypeError(f"{name} is an array of mx.np; pass {name}.as_nd_ndarray()")
    if all(isinstance(tensor, mx.nd.NDArray) for tensor in tensors.values()):
        for name, tensor in tensors.items():
            _check_shape(name, tensor.shape)
        return mx.nd
    if all(isinstance(tensor, mx.sym.Symbol) for tensor in tensors.values()):
        return mx.sym
    kinds = ", ".join(f"{name} is a {type(t).__name__}" for name, t in tensors.items())
    raise TypeError(f"{kinds}; they must all be NDArrays or all Symbols of MXNet")


def prelu(data: Tensor, alpha: Tensor, axis: int = 1) -> Tensor:
    """Parametric rectifier: x for x > 0, alpha * x otherwise (He et al. 2015, section 2.1).

    Parameters
    ----------
    data : NDArray or Symbol
        Any shape with at least one axis; float16, float32 or float64.
    alpha : NDArray or Symbol
        Shape (C,), a slope for each channel, or (1,), one slope for all; the type of `data`, or
        float32 beside float16 data. A variable of unknown shape becomes (C,). One that states no
        initialiser and no `wd_mult` gets 0.25 and 0.
    axis : int
        The channel axis of `data`; negative counts from the end.

    Returns
    -------
    NDArray or Symbol
        Shape and type of `data`. At zero the gradient is that of the second branch: alpha for the
        data, x = 0 for alpha.

    Raises
    ------
    TypeError
        If data and alpha are not both NDArrays or both Symbols.
    MXNetError
        If shapes, types or axis do not fit; the message names them.

    Notes
    -----
    A Symbol's data must have a shape when shapes are inferred. Otherwise MXNet fails with an
    MXNetError or a crash, before it calls an external operator.
    """
    F = _namespace(data=data, alpha=alpha)
    _set_slope_defaults(alpha)
    if is_portable(data):
        return _builtin_prelu(data, alpha, axis)
    return F.deeprect_prelu(_with_req(data), _vector_with_req(alpha), axis=axis)


def conv_prelu(
    data: Tensor,
    weight: Tensor,
    bias: Tensor,
    alpha: Tensor | None = None,
    pad: int = 0,
) -> Tensor:
    """Convolution of stride 1, bias and PReLU in one, by Winograd's algorithm on the CPU.

    Parameters
    ----------
    data : NDArray or Symbol
        Shape (N, C, H, W), float32, on the CPU; as all that follow.
    weight : NDArray or Symbol
        Shape (filters, C, k, k), k being 2 or 3.
    bias : NDArray or Symbol
        Shape (filters,).
    alpha : NDArray or Symbol, optional
        Slopes of the rectifier, as for `prelu`, of shape (filters,), or (1,) for one that all
        share; a plain ReLU if there is none.
    pad : int
        Rows and columns of zeros around the data, less than k.

    Returns
    -------
    NDArray or Symbol
        Shape (N, filters, H + 2 * pad + 1 - k, W + 2 * pad + 1 - k).

    Raises
    ------
    TypeError
        If the tensors are not all NDArrays or all Symbols.
    MXNetError
        If shapes, types or pad do not fit; the message names them.

    Notes
    -----
    Rounding errors are larger than those of a direct convolution: up to 1e-5 of the largest output
    (5e-5 with kernels of 2). A NaN or an infinity in the data reaches all outputs of its tile.
    """
    tensors = {"data": data, "weight": weight, "bias": bias}
    _namespace(**tensors if alpha is None else {**tensors, "alpha": alpha})
    vectors = [bias]
    if alpha is not None:
        _set_slope_defaults(alpha)
        vectors.append(alpha)
    activation = "relu" if alpha is None else "prelu"
    weight = _with_rank(weight, 4)
    return _call("deeprect_conv_prelu", data, weight, vectors, pad=pad, activation=activation)


def dense(data: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Fully-connected layer on the CPU: data times the transposed weight, plus the bias.

    Parameters
    ----------
    data : NDArray or Symbol
        Shape (N, ...), float32, on the CPU; as all that follow. All axes but the first are inputs.
    weight : NDArray or Symbol
        Shape (outputs, inputs).
    bias : NDArray or Symbol
        Shape (outputs,).

    Returns
    -------
    NDArray or Symbol
        Shape (N, outputs).

    Raises
    ------
    TypeError
        If the tensors are not all NDArrays or all Symbols.
    MXNetError
        If shapes or types do not fit; the message names them.
    """
    _namespace(data=data, weight=weight, bias=bias)
    return _call("deeprect_dense", data, _with_rank(weight, 2), [bias])


def max_pool(data: Tensor, window: int, stride: int) -> Tensor:
    """Max pooling of square windows on the CPU, without padding.

    Parameters
    ----------
    data : NDArray or Symbol
        Shape (N, C, H, W), float32, on the CPU.
    window, stride : int
        Of the windows, 1 or more. Those that do not fit into a map are left out.

    Returns
    -------
    NDArray or Symbol
        Shape (N, C, (H - window) // stride + 1, (W - window) // stride + 1). A NaN is the maximum
        of its windows; the gradient goes to the first of several maxima, row by row.

    Raises
    ------
    TypeError
        If data is neither an NDArray nor a Symbol.
    MXNetError
        If shape, type, window or stride do not fit; the message names them.
    """
    return _namespace(data=data).deeprect_max_pool(_with_req(data), window=window, stride=stride)

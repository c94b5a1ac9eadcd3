"""The operators as functions of NDArrays or Symbols, with MXNet's full gradient semantics.

MXNet never tells an external operator its `req`: whether to write a gradient, to add to it or to
skip it. `identity` in front of the operator restores that meaning, since MXNet's own copy then does
the adding. In a graph it costs nothing; imperatively it is a copy, so it is only put before arrays
whose gradient really accumulates.
"""

from __future__ import annotations

from typing import TypeVar

import mxnet as mx

Tensor = TypeVar("Tensor", mx.nd.NDArray, mx.sym.Symbol)


def _with_req(x: Tensor) -> Tensor:
    if isinstance(x, mx.sym.Symbol):
        return mx.sym.identity(x)
    return mx.nd.identity(x) if mx.autograd.is_recording() and x.grad is not None else x


def _with_rank(alpha: mx.sym.Symbol) -> mx.sym.Symbol:
    """Tell MXNet that a variable of unknown shape has one axis, as Gluon does for a parameter.

    It reserves too little memory for an external operator's shapes if one has no known rank.
    """
    is_variable = alpha.get_children() is None
    if is_variable and alpha.attr("__shape__") is None:
        unknown = -1 if mx.util.is_np_shape() else 0
        alpha._set_attr(__shape__=str((unknown,)))
    return alpha


def prelu(data: Tensor, alpha: Tensor, axis: int = 1) -> Tensor:
    """Parametric rectifier: x for x > 0, alpha * x otherwise (He et al. 2015, section 2.1).

    Parameters
    ----------
    data : NDArray or Symbol
        Any shape with at least one axis; float16, float32 or float64.
    alpha : NDArray or Symbol
        Shape (C,), a slope for each channel, or (1,), one slope for all; the type of `data`, or
        float32 beside float16 data. A variable of unknown shape becomes (C,).
    axis : int
        The channel axis of `data`; negative counts from the end.

    Returns
    -------
    NDArray or Symbol
        Shape and type of `data`. The gradient at zero is the second branch's: alpha for the data,
        x = 0 for alpha.

    Raises
    ------
    TypeError
        If data and alpha are not both NDArrays or both Symbols.
    MXNetError
        If shapes, types or axis do not fit; the message names them.

    Notes
    -----
    A Symbol's data must have a shape when shapes are inferred: MXNet fails on an unknown number of
    axes, with an MXNetError or a crash, before it calls an external operator.
    """
    if isinstance(data, mx.sym.Symbol) and isinstance(alpha, mx.sym.Symbol):
        return mx.sym.deeprect_prelu(_with_req(data), _with_req(_with_rank(alpha)), axis=axis)
    if isinstance(data, mx.nd.NDArray) and isinstance(alpha, mx.nd.NDArray):
        return mx.nd.deeprect_prelu(_with_req(data), _with_req(alpha), axis=axis)
    raise TypeError(
        f"data is a {type(data).__name__} and alpha a {type(alpha).__name__}; "
        "they must both be NDArrays or both Symbols of MXNet"
    )

"""PReLU in float64 NumPy (He et al. 2015, section 2.1): what every implementation is held to."""

import numpy as np


def along(alpha, ndim, axis):
    """Return `alpha` shaped so that it broadcasts along `axis` of an array of `ndim` axes."""
    shape = [1] * ndim
    shape[axis] = alpha.size
    return alpha.reshape(shape)


def prelu(x, alpha, axis=1):
    x = x.astype(np.float64)
    return np.where(x > 0, x, along(alpha.astype(np.float64), x.ndim, axis) * x)


def prelu_gradients(dy, x, alpha, axis=1):
    """Return the gradients of sum(dy * prelu(x, alpha)) for x and for alpha."""
    dy, x = dy.astype(np.float64), x.astype(np.float64)
    slopes = along(alpha.astype(np.float64), x.ndim, axis)
    dx = np.where(x > 0, dy, slopes * dy)
    terms = np.where(x > 0, 0, dy * x)
    if alpha.size == 1:
        return dx, terms.sum().reshape(1)
    others = tuple(i for i in range(x.ndim) if i != axis % x.ndim)
    return dx, terms.sum(axis=others)

"""Convolution + bias + PReLU and its gradients in float64, from their definitions."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def windows(x, kernel, pad):
    """Return the (N, C, OH, OW, kernel, kernel) windows of x."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    return sliding_window_view(padded, (kernel, kernel), axis=(2, 3))


def forward(x, weight, bias, alpha, pad):
    """Return z, the rectifier's input, and y."""
    z = np.einsum("nchwij,ocij->nohw", windows(x, weight.shape[2], pad), weight, optimize=True)
    z += bias.astype(np.float64)[:, None, None]
    return z, np.where(z > 0, z, alpha.astype(np.float64)[:, None, None] * z)


def backward(dy, x, weight, alpha, pad, z):
    """Return the gradients of x, weight, bias and alpha."""
    dy = dy.astype(np.float64)
    kernel = weight.shape[2]
    dz = np.where(z > 0, dy, alpha[:, None, None] * dy)
    of_x = np.einsum(
        "nohwij,ocij->nchw",
        windows(dz, kernel, kernel - 1 - pad),
        weight[:, :, ::-1, ::-1],
        optimize=True,
    )
    of_weight = np.einsum("nchwij,nohw->ocij", windows(x, kernel, pad), dz, optimize=True)
    of_alpha = np.where(z > 0, 0, dy * z).sum((0, 2, 3))
    if len(alpha) == 1:
        of_alpha = of_alpha.sum(keepdims=True)
    return of_x, of_weight, dz.sum((0, 2, 3)), of_alpha

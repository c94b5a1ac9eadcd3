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
    z, _ = forward(x, weight, bias, alpha, pad)
    dy = rng.standard_normal(z.shape).astype(np.float32)
    dy[np.abs(z) < 1e-4] = 0
    return x, weight, bias, alpha, dy


def expected(x, weight, bias, alpha, dy, pad):
    z, y = forward(x, weight, bias, alpha, pad)
    return [y, *backward(dy, x, weight, alpha, pad, z)]


def assert_close(actual, wanted, tolerance=5e-5):
    """Compare with a tolerance relative to the largest element, as rounding errors are."""
    assert len(actual) == len(wanted)
    for a, w in zip(actual, wanted):
        assert a.shape == w.shape
        np.testing.assert_allclose(a, w, rtol=0, atol=tolerance * max(1e-3, np.abs(w).max()))

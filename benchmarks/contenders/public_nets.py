"""Nets of the public kind, for inference: face recognition, detection, super-resolution, ResNet."""

from __future__ import annotations

from typing import Callable

import mxnet as mx

nn = mx.gluon.nn


def _sequential(*layers: mx.gluon.Block) -> nn.HybridSequential:
    net = nn.HybridSequential()
    net.add(*layers)
    return net


class Sum(nn.HybridBlock):
    """The sum of what several branches make of the input."""

    def __init__(self, *branches: mx.gluon.HybridBlock):
        super().__init__()
        self.branches = branches
        for branch in branches:
            self.register_child(branch)

    def hybrid_forward(self, F, x):
        return F.add_n(*(branch(x) for branch in self.branches))


def _identity() -> mx.gluon.HybridBlock:
    return nn.HybridLambda("identity")


def _conv(channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2D:
    pad = kernel // 2
    return nn.Conv2D(channels, kernel, stride, pad, groups=groups, use_bias=False)


def arcface_resnet50() -> nn.HybridSequential:
    """ArcFace's ResNet-50 (Deng et al. 2019): normalise, convolve, normalise, rectify, convolve."""

    def unit(channels: int, stride: int) -> Sum:
        body = _sequential(
            *(nn.BatchNorm(), _conv(channels, 3), nn.BatchNorm(), nn.PReLU()),
            *(_conv(channels, 3, stride), nn.BatchNorm()),
        )
        if stride == 1:
            return Sum(body, _identity())
        return Sum(body, _sequential(_conv(channels, 1, stride), nn.BatchNorm()))

    net = _sequential(_conv(64, 3), nn.BatchNorm(), nn.PReLU())
    for units, channels in ((3, 64), (4, 128), (14, 256), (3, 512)):
        net.add(*(unit(channels, 1 if i else 2) for i in range(units)))
    net.add(nn.BatchNorm(), nn.Dropout(0.4), nn.Dense(512), nn.BatchNorm(scale=False))
    return net


def mobile_face_net() -> nn.HybridSequential:
    """MobileFaceNet (Chen et al. 2018): inverted residual units with PReLU."""

    def bottleneck(channels: int, wide: int, stride: int, residual: bool) -> mx.gluon.HybridBlock:
        body = _sequential(
            *(_conv(wide, 1), nn.BatchNorm(), nn.PReLU()),
            *(_conv(wide, 3, stride, wide), nn.BatchNorm(), nn.PReLU()),
            *(_conv(channels, 1), nn.BatchNorm()),
        )
        return Sum(body, _identity()) if residual else body

    net = _sequential(_conv(64, 3, 2), nn.BatchNorm(), nn.PReLU())
    net.add(_conv(64, 3, 1, 64), nn.BatchNorm(), nn.PReLU())
    for wide, channels, units, stride in (
        (128, 64, 5, 2), (256, 128, 1, 2), (256, 128, 6, 1), (512, 128, 1, 2), (256, 128, 2, 1)
    ):  # fmt: skip
        for i in range(units):
            net.add(bottleneck(channels, wide, 1 if i else stride, i > 0 or stride == 1))
    net.add(_conv(512, 1), nn.BatchNorm(), nn.PReLU())
    net.add(nn.Conv2D(512, 7, groups=512, use_bias=False), nn.BatchNorm())
    net.add(nn.Dense(128), nn.BatchNorm(scale=False))
    return net


def _mtcnn(*layers: tuple[int, int, int]) -> list[mx.gluon.Block]:
    """Return MTCNN's convolutions: (filters, kernel, the pooling's window or 0) each."""
    made: list[mx.gluon.Block] = []
    for filters, kernel, window in layers:
        made += [nn.Conv2D(filters, kernel), nn.PReLU()]
        if window:
            made.append(nn.MaxPool2D(window, 2, ceil_mode=True))
    return made


def mtcnn_p() -> nn.HybridSequential:
    """MTCNN's proposal net (Zhang et al. 2016), all of its outputs side by side."""
    return _sequential(*_mtcnn((10, 3, 2), (16, 3, 0), (32, 3, 0)), nn.Conv2D(6, 1))


def mtcnn_r() -> nn.HybridSequential:
    """MTCNN's refinement net."""
    net = _sequential(*_mtcnn((28, 3, 3), (48, 3, 3), (64, 2, 0)))
    net.add(nn.Dense(128), nn.PReLU(), nn.Dense(6))
    return net


def mtcnn_o() -> nn.HybridSequential:
    """MTCNN's output net."""
    net = _sequential(*_mtcnn((32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, 0)))
    net.add(nn.Dense(256), nn.PReLU(), nn.Dense(16))
    return net


def _shuffle() -> mx.gluon.HybridBlock:
    return nn.HybridLambda(lambda F, x: F.depth_to_space(x, 2))


def srresnet() -> nn.HybridSequential:
    """SRResNet (Ledig et al. 2017), which enlarges four times."""
    units = [
        Sum(
            _sequential(
                *(nn.Conv2D(64, 3, 1, 1), nn.BatchNorm(), nn.PReLU()),
                *(nn.Conv2D(64, 3, 1, 1), nn.BatchNorm()),
            ),
            _identity(),
        )
        for _ in range(16)
    ]
    body = _sequential(*units, nn.Conv2D(64, 3, 1, 1), nn.BatchNorm())
    net = _sequential(nn.Conv2D(64, 9, 1, 4), nn.PReLU(), Sum(body, _identity()))
    for _ in range(2):
        net.add(nn.Conv2D(256, 3, 1, 1), _shuffle(), nn.PReLU())
    net.add(nn.Conv2D(3, 9, 1, 4))
    return net


def vdsr() -> mx.gluon.HybridBlock:
    """VDSR (Kim et al. 2016): twenty convolutions, whose output is added to the input."""
    layers = [nn.Conv2D(64, 3, 1, 1, activation="relu") for _ in range(19)]
    return Sum(_sequential(*layers, nn.Conv2D(1, 3, 1, 1)), _identity())


def fsrcnn() -> nn.HybridSequential:
    """FSRCNN (Dong et al. 2016), which enlarges three times."""
    net = _sequential(nn.Conv2D(56, 5, 1, 2), nn.PReLU(), nn.Conv2D(12, 1), nn.PReLU())
    for _ in range(4):
        net.add(nn.Conv2D(12, 3, 1, 1), nn.PReLU())
    net.add(nn.Conv2D(56, 1), nn.PReLU(), nn.Conv2DTranspose(1, 9, 3, 4, output_padding=2))
    return net


def resnet50_v1() -> mx.gluon.HybridBlock:
    """ResNet-50 (He et al. 2016), of Gluon's model zoo."""
    return mx.gluon.model_zoo.vision.resnet50_v1()


# By name: the function that builds the net, and the shape of an image.
NETS: dict[str, tuple[Callable[[], mx.gluon.HybridBlock], tuple[int, int, int]]] = {
    "arcface_resnet50": (arcface_resnet50, (3, 112, 112)),
    "mobile_face_net": (mobile_face_net, (3, 112, 112)),
    "mtcnn_p": (mtcnn_p, (3, 240, 320)),
    "mtcnn_r": (mtcnn_r, (3, 24, 24)),
    "mtcnn_o": (mtcnn_o, (3, 48, 48)),
    "srresnet": (srresnet, (3, 128, 128)),
    "vdsr": (vdsr, (1, 256, 256)),
    "fsrcnn": (fsrcnn, (1, 256, 256)),
    "resnet50_v1": (resnet50_v1, (3, 224, 224)),
}


def build(name: str) -> mx.gluon.HybridBlock:
    """Return a net with the weights that its name and a seed give."""
    make, shape = NETS[name]
    mx.random.seed(0)
    net = make()
    net.initialize(mx.init.MSRAPrelu(slope=0.25))
    with mx.autograd.train_mode():  # gives batch normalisation its statistics
        net(mx.nd.random.normal(shape=(2, *shape)))
    mx.nd.waitall()
    return net

"""Give a net the class names and the preprocessing of ImageNet."""

from __future__ import annotations

from ..data.imagenet_facts import class_names, preprocess
from .network import DeepRect


def describe(net: DeepRect) -> DeepRect:
    """Give a net ImageNet's class names and preprocessing, and return it.

    Raises
    ------
    ValueError
        If it does not have 1000 classes and three input channels.
    """
    config = net.config
    if (config["classes"], config["in_channels"]) != (1000, 3):
        raise ValueError(
            f"{config['name']} with {config['classes']} classes and {config['in_channels']} "
            "channels is no net of ImageNet's 1000 classes and 3 channels"
        )
    net.classes = class_names()
    net.preprocess = preprocess(config["input_size"])
    return net

"""Weights from one net to another: a new activation, a new head, or both."""

from __future__ import annotations

from pathlib import Path

import mxnet as mx

from .network import DeepRect

HEAD = ("output.weight", "output.bias")


def _is_slope(name: str) -> bool:
    return name.endswith(".alpha")


def load_weights(net: DeepRect, source: DeepRect | Path | str) -> list[str]:
    """Fill a net with the weights of another, which may differ in activation or classes.

    The slopes of a PReLU net stay as they are if the source, a ReLU net, has none; the output layer
    stays as it is if the source has another number of classes. All else must fit.

    Parameters
    ----------
    net : DeepRect
        Initialised, for what it keeps.
    source : DeepRect or path
        A net, or a file that `save_parameters` wrote.

    Returns
    -------
    list of str
        The structural names of the parameters that were kept.

    Raises
    ------
    ValueError
        If the source lacks other parameters, has slopes that the net does not, or has other shapes;
        the net is unchanged then.
    RuntimeError
        If the net is not initialised.
    """
    if isinstance(source, DeepRect):
        found = {name: p.data() for name, p in source._collect_params_with_prefix().items()}
    else:
        found = mx.nd.load(str(source))
    own = net._collect_params_with_prefix()
    net.output.weight.data()  # raises if the net is not initialised
    kept = set()
    if not any(_is_slope(name) for name in found):
        kept.update(filter(_is_slope, own))
    if HEAD[0] in found and len(found[HEAD[0]]) != net.config["classes"]:
        kept.update(HEAD)
        found = {name: array for name, array in found.items() if name not in HEAD}
    theirs = {name: array.shape for name, array in found.items()}
    ours = {name: parameter.shape for name, parameter in own.items()}
    wrong = [n for n in {**ours, **theirs} if n not in kept and theirs.get(n) != ours.get(n)]
    if wrong:
        name, more = wrong[0], len(wrong) - 1
        raise ValueError(
            f"the weights do not fit {net.config['name']} with {net.config['activation']}: {name} "
            f"has shape {theirs.get(name, 'none')} there and {ours.get(name, 'none')} here"
            + (f", and {more} more parameters do not fit" if more else "")
        )
    for name, array in found.items():
        own[name].set_data(array)
    return sorted(kept)

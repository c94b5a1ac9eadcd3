"""The paper's claims, one in each module, in the order of the report."""

from . import (
    first_layer,
    imagenet,
    initialisation,
    rectifiers,
    slopes,
    variance,
    views,
    width_depth,
)

CLAIMS = [
    slopes.CLAIM,
    rectifiers.CLAIM,
    initialisation.CLAIM,
    variance.CLAIM,
    first_layer.CLAIM,
    width_depth.CLAIM,
    views.CLAIM,
    imagenet.CLAIM,
]

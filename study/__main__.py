"""The paper's claims, measured again: run what has no row yet, and write or check the report."""

from . import main
from .claims import (
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


if __name__ == "__main__":
    main(CLAIMS, __doc__)

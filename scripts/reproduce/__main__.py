"""The paper's claims, measured again: run what has no row yet, and write or check the report."""

import first_layer
import imagenet
import initialisation
import rectifiers
import slopes
import variance
import views
import width_depth

from deeprect_gluon.reproduction import main

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

"""DALI's images beside ours. DALI is no dependency: pip install nvidia-dali-cuda120==1.53.0."""

import numpy as np
import pytest
from PIL import Image

from deeprect_gluon.data.dali import DALIRecords, _shape
from deeprect_gluon.data.imagenet import ImageRecords, decode


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_shape_is_that_of_the_upright_image(encode, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(Image.new("RGB", (40, 24)), "JPEG", exif=exif)
    assert _shape(content) == decode(content).shape[:2]


def test_without_dali_an_error_tells_how_to_get_it(records):
    try:
        import nvidia.dali  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match="pip install nvidia-dali-cuda120"):
            DALIRecords(records, "train", 8, train=True)


def test_images_and_labels_are_ours(records):
    pytest.importorskip("nvidia.dali")
    for rank in (0, 1):
        options = {"train": True, "threads": 2, "seed": 5, "rank": rank, "size": 2}
        theirs = list(DALIRecords(records, "train", 16, **options).epoch(2, 1))
        ours = list(ImageRecords(records, "train", 16, **options).epoch(2, 1))
        assert len(theirs) == len(ours) == 2
        for (x, labels), (expected, expected_labels) in zip(theirs, ours):
            np.testing.assert_array_equal(labels.asnumpy(), expected_labels.asnumpy())
            difference = abs(x.asnumpy() - expected.asnumpy())
            assert difference.mean() < 1e-4
            assert difference.max() < 0.1


def test_evaluation_has_our_bits(records):
    pytest.importorskip("nvidia.dali")
    pairs = zip(
        *(kind(records, "val", 8, train=False).epoch() for kind in (DALIRecords, ImageRecords))
    )
    for (x, _), (expected, _) in pairs:
        np.testing.assert_array_equal(x.asnumpy(), expected.asnumpy())

"""Show what docs/imagenet.md says about MXNet's `ImageRecordIter`."""

import mxnet as mx
import numpy as np
import pytest
from PIL import Image

from deeprect_gluon.data.augment import View, render
from deeprect_gluon.images import resized_shape


@pytest.fixture
def write_records(tmp_path, encode):
    """Return a function that writes images, and makes MXNet's iterator over them."""

    def written(images):
        record, index = str(tmp_path / "native.rec"), str(tmp_path / "native.idx")
        writer = mx.recordio.MXIndexedRecordIO(index, record, "w")
        for i, image in enumerate(images):
            header = mx.recordio.IRHeader(0, float(i), i, 0)
            writer.write_idx(i, mx.recordio.pack(header, encode(Image.fromarray(image), "PNG")))
        writer.close()

        def iterate(batch_size, size, **options):
            return mx.io.ImageRecordIter(
                path_imgrec=record,
                path_imgidx=index,
                data_shape=(3, size, size),
                batch_size=batch_size,
                **options,
            )

        return iterate

    return written


def labels(iterator):
    """Return the labels of an epoch, and rewind."""
    found = [batch.label[0].asnumpy().astype(int) for batch in iterator]
    iterator.reset()
    return np.concatenate(found).tolist()


def test_epochs_of_the_native_iterator_do_not_hold_each_image_once(write_records):
    iterate = write_records([np.zeros((8, 8, 3), np.uint8)] * 10)
    iterator = iterate(4, 8, shuffle=True, seed=3)
    epochs = [labels(iterator) for _ in range(2)]
    assert len(epochs[0]) == 12  # filled up with images that the next epoch then lacks
    assert len(set(epochs[1])) < 10
    parts = [labels(iterate(2, 8, num_parts=3, part_index=part)) for part in range(3)]
    assert [len(part) for part in parts] == [4, 4, 2]  # and each keeps its own in every epoch


def test_the_order_of_the_native_iterator_hangs_on_how_often_it_was_reset(write_records):
    iterate = write_records([np.zeros((8, 8, 3), np.uint8)] * 8)
    iterator = iterate(4, 8, shuffle=True, seed=3)
    first, second = labels(iterator), labels(iterator)
    assert first != second
    assert labels(iterate(4, 8, shuffle=True, seed=3)) == first  # no way to begin with the second


@pytest.mark.parametrize(("resize", "scale"), [(256, 1.5), (512, 0.75)])
def test_the_native_iterator_jitters_by_resizing_twice(write_records, resize, scale):
    """Its own jitter, at one scale: sides of 384 pixels, from the image's 375."""
    image = np.random.default_rng(0).integers(0, 256, (375, 500, 3), np.uint8)
    iterate = write_records([image])
    options = {"resize": resize, "min_random_scale": scale, "max_random_scale": scale}
    native = next(iterate(1, 224, **options)).data[0].asnumpy()[0]
    height, width = resized_shape(image.shape, 384)
    top, left = (height - 224) // 2, (width - 224) // 2
    ours = np.empty((3, 224, 224), np.float32)
    render(image, View(384, top, left, False, np.zeros(3)), (0, 0, 0), (1, 1, 1), ours)
    once = np.asarray(Image.fromarray(image).resize((width, height), Image.BILINEAR))
    once = once[top : top + 224, left : left + 224].transpose(2, 0, 1).astype(float)

    def detail(pixels):
        return abs(np.diff(pixels)).mean()

    assert abs(255 * ours - once).mean() < 0.5
    assert detail(native) < 0.9 * detail(once)

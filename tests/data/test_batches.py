"""Batches: the part of each worker, and the augmentation."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeprect_gluon.data import Batches, shift_and_flip


def dataset(n):
    """Image i is constant i, so that a batch says which images it holds."""
    return np.broadcast_to(np.arange(n, dtype=np.float32)[:, None, None, None], (n, 1, 3, 3)), (
        np.arange(n, dtype=np.int32)
    )


def seen(batches, epoch=0):
    return [labels.asnumpy().astype(int).tolist() for _, labels in batches.epoch(epoch)]


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(16, 60),
    batch=st.integers(4, 16),
    size=st.integers(1, 4),
    seed=st.integers(0, 2**32),
    shuffle=st.booleans(),
)
def test_workers_see_together_what_one_would(n, batch, size, seed, shuffle):
    alone = seen(Batches(*dataset(n), batch, shuffle, seed))
    together = [
        seen(Batches(*dataset(n), batch, shuffle, seed, rank=rank, size=size))
        for rank in range(size)
    ]
    for step, batch_alone in enumerate(alone):
        parts = [worker[step] for worker in together if step < len(worker)]
        assert list(chain(*parts)) == batch_alone
    everything = list(chain(*alone))
    assert len(set(everything)) == len(everything)
    assert len(everything) == (n // batch * batch if shuffle else n)


def test_images_stay_with_their_labels_and_epochs_differ():
    batches = Batches(*dataset(20), 5, shuffle=True, seed=3)
    for images, labels in batches.epoch(1):
        assert (images.asnumpy()[:, 0, 0, 0] == labels.asnumpy()).all()
    assert seen(batches, 1) == seen(batches, 1)
    assert seen(batches, 1) != seen(batches, 2)


def test_an_epoch_can_start_at_any_step():
    batches = Batches(*dataset(20), 5, shuffle=True, seed=3)
    for start in range(5):
        rest = [labels.asnumpy().tolist() for _, labels in batches.epoch(1, start)]
        assert rest == seen(batches, 1)[start:]


def test_augmentation_does_not_depend_on_the_number_of_workers():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(16, 1, 8, 8)).astype(np.float32)
    labels = np.arange(16, dtype=np.int32)

    def draw(rank, size):
        batches = Batches(images, labels, 8, True, 5, shift_and_flip, rank, size)
        return [x.asnumpy() for x, _ in batches.epoch(0)]

    whole = draw(0, 1)
    for step, (a, b) in enumerate(zip(draw(0, 2), draw(1, 2))):
        assert (np.concatenate([a, b]) == whole[step]).all()


def test_shift_and_flip_gives_every_shift_and_both_hands():
    image = np.arange(36, dtype=np.float32).reshape(1, 1, 6, 6)
    padded = np.pad(image[0, 0], 2, mode="edge")
    views = {}
    for top in range(5):
        for left in range(5):
            view = padded[top : top + 6, left : left + 6]
            views[view.tobytes()] = (top, left, False)
            views[view[:, ::-1].tobytes()] = (top, left, True)
    out = shift_and_flip(np.repeat(image, 4000, axis=0), np.random.default_rng(0))
    assert out.shape == (4000, 1, 6, 6)
    drawn = [views[np.ascontiguousarray(o[0]).tobytes()] for o in out]
    counts = np.bincount([v[0] * 10 + v[1] * 2 + v[2] for v in drawn], minlength=50)
    # 50 equally likely outcomes, 80 expected of each: 5 standard deviations.
    assert (abs(counts - 80) < 5 * np.sqrt(80)).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 21}, "batch_size=21"),
        ({"batch_size": 3, "size": 4}, "some of 4 workers without any"),
    ],
)
def test_impossible_batches_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        Batches(*dataset(20), shuffle=True, **arguments)


def test_labels_must_match_images():
    with pytest.raises(ValueError, match="20 images and 19 labels"):
        Batches(dataset(20)[0], dataset(19)[1], 5)

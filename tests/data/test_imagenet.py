"""The pipeline: the order of the images, their bits, and the errors for damaged files."""

import hashlib
import json
import shutil
import threading
from itertools import chain

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeprect_gluon.data import records as recordio
from deeprect_gluon.data.imagenet import ImageRecords
from deeprect_gluon.data.imagenet_facts import MEAN, STD
from deeprect_gluon.data.records import Shards
from deeprect_gluon.images import Preprocess, read


def small_views(folder, batch_size=4, train=True, **options):
    options = {"input_size": 32, "sides": (37, 73), "threads": 2, **options}
    return ImageRecords(folder, "train", batch_size, train=train, **options)


def labels(batches, *place):
    return [part.asnumpy().astype(int).tolist() for _, part in batches.epoch(*place)]


def bits(batches, *place):
    return [(x.asnumpy().tobytes(), y.asnumpy().tobytes()) for x, y in batches.epoch(*place)]


@settings(max_examples=12, deadline=None)
@given(
    size=st.integers(1, 3),
    per_worker=st.integers(1, 4),
    epoch=st.integers(0, 5),
    train=st.booleans(),
)
def test_each_image_comes_once_over_all_workers(numbered, size, per_worker, epoch, train):
    batch = size * per_worker
    alone = labels(small_views(numbered, batch, train), epoch)
    workers = [small_views(numbered, batch, train, rank=rank, size=size) for rank in range(size)]
    parts = [labels(worker, epoch) for worker in workers]
    assert len(alone) == len(workers[0]) == (23 // batch if train else -(-23 // batch))
    for step, together in enumerate(alone):
        assert list(chain(*(part[step] for part in parts if step < len(part)))) == together
    everything = list(chain(*alone))
    assert len(set(everything)) == len(everything) == (23 // batch * batch if train else 23)


def test_a_worker_may_have_no_part_of_the_last_batch(numbered):
    parts = [labels(small_views(numbered, 11, train=False, rank=rank, size=3)) for rank in range(3)]
    assert [len(part) for part in parts] == [3, 2, 2]
    assert sorted(chain(*chain(*parts))) == list(range(23))


def test_order_and_views_are_drawn_from_seed_and_epoch(numbered):
    first = bits(small_views(numbered, seed=1), 2)
    assert bits(small_views(numbered, seed=1), 2) == first
    orders = [
        list(chain(*labels(small_views(numbered, 23, seed=seed), epoch)))
        for seed, epoch in ((1, 2), (1, 3), (2, 2))
    ]
    assert len({tuple(order) for order in orders}) == 3
    # An image is seen differently in another epoch, and not because of its place in the order.
    views = [dict(zip(*by_label(numbered, epoch))) for epoch in (0, 1)]
    assert all((views[0][label] != views[1][label]).any() for label in range(23))


def by_label(folder, epoch):
    ((x, y),) = small_views(folder, 23).epoch(epoch)
    return y.asnumpy().astype(int), x.asnumpy()


def test_threads_and_workers_change_no_bit(numbered):
    expected = bits(small_views(numbered, 6, threads=1))
    assert bits(small_views(numbered, 6, threads=3)) == expected
    parts = [
        [x.asnumpy() for x, _ in small_views(numbered, 6, rank=rank, size=2).epoch()]
        for rank in range(2)
    ]
    together = [np.concatenate(pair).tobytes() for pair in zip(*parts)]
    assert together == [images for images, _ in expected]


@pytest.mark.parametrize("train", [True, False])
def test_an_epoch_begun_at_a_step_is_the_rest_of_the_whole(numbered, train):
    batches = small_views(numbered, 4, train)
    whole = bits(batches, 3)
    for start in range(len(batches) + 1):
        assert bits(batches, 3, start) == whole[start:]
    with pytest.raises(ValueError, match=r"start=7 is not a step of an epoch of"):
        batches.epoch(3, 7)


def test_steps_before_the_start_are_not_read(numbered, tmp_path):
    folder = shutil.copytree(numbered, tmp_path / "damaged")
    batches = small_views(folder, 4)
    order = labels(batches)
    shards = Shards(folder, "train")
    early = next(i for i in range(23) if shards.read(i)[1] == order[0][0])
    _damage(shards, early)
    assert labels(batches, 0, 1) == order[1:]
    with pytest.raises(ValueError, match="damaged"):
        labels(batches)


def test_evaluation_has_the_bits_of_the_nets_own_preprocessing(records):
    batches = ImageRecords(records, "val", 8, train=False)
    preprocess = Preprocess(224, MEAN, STD, resize=256)
    seen = np.concatenate([x.asnumpy() for x, _ in batches.epoch()])
    shards = Shards(records, "val")
    assert len(seen) == len(shards) == 20
    for i, image in enumerate(seen):
        np.testing.assert_array_equal(image, preprocess(read(shards.read(i)[0])).asnumpy()[0])


def test_batches_are_what_a_net_takes(records):
    batches = ImageRecords(records, "train", 8, train=True)
    assert batches.classes == tuple(f"n9{i:07d}" for i in range(10))
    x, y = next(batches.epoch())
    assert x.shape == (8, 3, 224, 224)
    assert x.dtype == y.dtype == np.float32
    del batches
    mx.nd.waitall()
    assert np.isfinite((x + 0).asnumpy()).all()


def _damage(shards, i):
    shard, _, start, length = shards._positions[i].tolist()
    with open(shards._files[shard].name, "r+b") as file:
        file.seek(start + length // 2)
        byte = file.read(1)
        file.seek(start + length // 2)
        file.write(bytes([byte[0] ^ 1]))


@pytest.fixture
def copy(numbered, tmp_path):
    return shutil.copytree(numbered, tmp_path / "copy")


def test_a_damaged_record_is_named(copy):
    shards = Shards(copy, "train")
    label = shards.read(5)[1]
    _damage(shards, 5)
    message = rf"record 5 of .*train-00000\.rec \(n{label:08d}/image_{label}\.JPEG\) is damaged"
    with pytest.raises(ValueError, match=message + r" \(its checksum is wrong\)"):
        labels(small_views(copy))
    with pytest.raises(ValueError, match=r"train-00000\.rec was changed: its SHA-256 is"):
        recordio.verify(copy, "train")


def test_what_is_no_image_is_named(copy):
    shards = Shards(copy, "train")
    content, label = shards.read(3)
    path = copy / "train-00000.rec"
    other = recordio.pack(b"x" * len(content), label, 3)
    path.write_bytes(path.read_bytes().replace(recordio.pack(content, label, 3), other))
    with pytest.raises(ValueError, match=r"record 3 of .* is not an image that OpenCV decodes"):
        labels(small_views(copy))


@pytest.mark.parametrize(
    ("harm", "error", "words"),
    [
        (lambda f: (f / "train.json").unlink(), FileNotFoundError, "holds no records of the split"),
        (lambda f: (f / "train-00001.idx").unlink(), FileNotFoundError, r"00001\.idx is missing"),
        (lambda f: (f / "train-00002.rec").unlink(), FileNotFoundError, r"00002\.rec is missing"),
        (lambda f: _cut(f / "train-00002.rec"), ValueError, r"00002\.rec has \d+ bytes instead of"),
        (lambda f: _edit(f / "train-00000.idx"), ValueError, r"00000\.idx was changed: its SHA"),
        (lambda f: _cut(f / "train.json"), ValueError, "does not describe records"),
        (lambda f: _set(f, "complete", False), ValueError, "preparation was not finished"),
        (lambda f: _set(f, "format", 99), ValueError, "is of format 99, not 1"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(copy, harm, error, words):
    harm(copy)
    with pytest.raises(error, match=words):
        small_views(copy)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def _edit(path):
    path.write_text(path.read_text().replace("1", "2"))


def _set(folder, key, value):
    path = folder / "train.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"batch_size": 0}, "batch_size=0 with 23 images; give 1 to 23"),
        ({"batch_size": 24}, "batch_size=24 with 23 images"),
        ({"batch_size": 3, "size": 4}, "leaves some of 4 workers without any"),
        ({"sides": (31, 64)}, "room for a crop of input_size=32"),
        ({"sides": (64, 37)}, r"sides=\(64, 37\)"),
        ({"threads": 0}, "threads=0"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(numbered, arguments, words):
    with pytest.raises(ValueError, match=words):
        small_views(numbered, **arguments)


def test_a_consumer_that_stops_leaves_no_thread(numbered):
    steps = small_views(numbered, 2, threads=3).epoch()
    next(steps)
    assert any(thread.name.startswith("images") for thread in threading.enumerate())
    steps.close()
    assert not any(thread.name.startswith("images") for thread in threading.enumerate())


def test_few_batches_are_made_ahead(numbered, monkeypatch):
    loaded = []
    load = ImageRecords._load
    monkeypatch.setattr(
        ImageRecords, "_load", lambda self, *a: loaded.append(a[1]) or load(self, *a)
    )
    steps = small_views(numbered, 2, threads=1).epoch()
    next(steps)
    assert len(loaded) <= 6  # the batch that was given, and two ahead
    steps.close()


def test_mxnets_own_readers_read_the_shards(records):
    shards, names = Shards(records, "train"), (records / "train-00000.lst").read_text()
    reader = mx.recordio.MXIndexedRecordIO(
        str(records / "train-00000.idx"), str(records / "train-00000.rec"), "r"
    )
    for i, line in enumerate(names.splitlines()):
        key, label, name = line.split("\t")
        header, content = mx.recordio.unpack(reader.read_idx(int(key)))
        assert (content, int(header.label)) == shards.read(i)
        assert (str(int(header.label)), header.id) == (label, int(key))
        assert name.startswith(shards.classes[int(label)])
    iterator = mx.io.ImageRecordIter(
        path_imgrec=str(records / "train-00000.rec"),
        path_imgidx=str(records / "train-00000.idx"),
        data_shape=(3, 64, 64),
        batch_size=16,
    )
    native = next(iterator).label[0].asnumpy().astype(int).tolist()
    assert native == [shards.read(i)[1] for i in range(16)]


@settings(max_examples=50, deadline=None)
@given(
    words=st.lists(st.sampled_from([b"\x0a\x23\xd7\xce", b"abcd", b"e", b"\0\0\0\0"]), max_size=30)
)
def test_records_with_the_formats_magic_number_inside(words, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "magic.rec"
    contents = [b"".join(words), b"next", b"".join(words[::-1])]
    writer = mx.recordio.MXRecordIO(str(path), "w")
    for i, content in enumerate(contents):
        writer.write(recordio.pack(content, 7, i))
    writer.close()
    position = 0
    for i, content in enumerate(contents):
        record, position = recordio.unframe(path.read_bytes(), position)
        assert recordio.unpack(record, i) == (content, 7)
    assert position == path.stat().st_size


def test_verification_compares_all_bytes(records):
    assert recordio.verify(records, "val") == 20
    described = json.loads((records / "val.json").read_text())["shards"][0]["files"]
    for name, expected in described.items():
        content = (records / name).read_bytes()
        assert expected == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

"""Preparation: the content of the shards, damaged sources and interrupted runs."""

import io
import multiprocessing
import os
import resource
import shutil
import signal
import tarfile
import time
from pathlib import Path

import filelock
import numpy as np
import psutil
import pytest
from PIL import Image

from deeprect_gluon.data import small_imagenet
from deeprect_gluon.data.imagenet_facts import class_names, wordnet_ids
from deeprect_gluon.data.imagenet_sources import Source, read_labels, scan_classes, scan_flat
from deeprect_gluon.data.prepare import DamagedImagesError, find_classes, prepare, summary
from deeprect_gluon.data.records import Shards, read_metadata, verify
from deeprect_gluon.data.shard import Packing, recode
from deeprect_gluon.images import read, resize_shorter

DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
PLAIN = Packing(images_per_shard=16)


def content(folder):
    """Return the bytes of all files but the lock."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def stored(folder, split):
    shards = Shards(folder, split)
    return sorted(shards.read(i) for i in range(len(shards)))


def pack(output, sources, split="train", packing=PLAIN, **options):
    return prepare(output, split, sources, find_classes(sources), packing, **options)


def test_all_images_are_packed_with_the_labels_of_their_folders(small, records):
    expected = []
    for label, folder in enumerate(sorted((small / "train").iterdir())):
        expected += [(path.read_bytes(), label) for path in folder.iterdir()]
    assert stored(records, "train") == sorted(expected)
    metadata = read_metadata(records, "train")
    assert metadata["images"] == len(expected) == 60
    assert [shard["images"] for shard in metadata["shards"]] == [16, 16, 16, 12]


def test_the_order_is_shuffled_by_the_seed(small, records, tmp_path):
    def labels(folder):
        shards = Shards(folder, "train")
        return [shards.read(i)[1] for i in range(len(shards))]

    assert labels(records) != sorted(labels(records))
    pack(tmp_path, scan_classes(small / "train"), packing=Packing(seed=1, images_per_shard=16))
    assert labels(tmp_path) != labels(records)
    assert sorted(labels(tmp_path)) == sorted(labels(records))


def test_archives_and_processes_change_no_byte(small, records, tmp_path):
    """Compare archives, and two processes, with folders and one process."""
    expected = {name: data for name, data in content(records).items() if "train" in name}
    archive = small / "ILSVRC2012_img_train.tar"
    pack(tmp_path / "archive", scan_classes(archive), processes=2)
    assert content(tmp_path / "archive") == expected
    with tarfile.open(archive) as outer:
        outer.extractall(tmp_path / "tars")
    pack(tmp_path / "unpacked", scan_classes(tmp_path / "tars"))
    assert content(tmp_path / "unpacked") == expected


def test_the_development_kit_gives_validation_images_their_classes(small, tmp_path):
    truth = {path.read_bytes(): path.parent.name for path in (small / "val").glob("*/*")}
    sources = scan_flat(small / "ILSVRC2012_img_val.tar", small / DEVKIT)
    assert [source.name for source in sources] == [
        f"ILSVRC2012_val_{i:08d}.JPEG" for i in range(1, 21)
    ]
    assert [source.wordnet_id for source in sources] == [truth[s.read()] for s in sources]
    # The kit numbers the classes in another order than we do, so this checks the mapping.
    with tarfile.open(small / DEVKIT) as kit:
        kit.extractall(tmp_path)
    numbers = next(tmp_path.rglob("*ground_truth.txt")).read_text().split()
    ids = [small_imagenet.class_id(int(number) - 1) for number in numbers]
    assert ids != [source.wordnet_id for source in sources]
    # The kit and the images may be unpacked.
    with tarfile.open(small / "ILSVRC2012_img_val.tar") as archive:
        archive.extractall(tmp_path / "images")
    unpacked = scan_flat(tmp_path / "images", tmp_path)
    assert [s[3:] for s in unpacked] == [s[3:] for s in sources]


@pytest.mark.parametrize(
    "line",
    ["{0}.JPEG,{1}", "{0}.JPEG {1}", "{0},{1} 85 1 499 272 {1} 3 4 5 6"],
    ids=["commas", "spaces", "kaggle"],
)
def test_labels_can_be_a_list(small, tmp_path, line):
    sources = scan_flat(small / "ILSVRC2012_img_val.tar", small / DEVKIT)
    lines = [line.format(Path(s.name).stem, s.wordnet_id) for s in sources]
    listing = tmp_path / "labels.csv"
    listing.write_text("\n".join(["ImageId,PredictionString", *lines[::-1], ""]))
    assert scan_flat(small / "ILSVRC2012_img_val.tar", listing) == sources


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a n1\nb n2\n", r"no label for 1 of 3 images, c first"),
        ("a n1\nb n2\nc n1\nd n1\n", r"labels of 4 images, but there are 3: d is missing"),
        ("a n1\nb\nc n2\n", r"the line 'b' has no class"),
    ],
)
def test_labels_must_fit_the_images(tmp_path, text, words):
    listing = tmp_path / "labels.txt"
    listing.write_text(text)
    with pytest.raises(ValueError, match=words):
        read_labels(listing, ["a", "b", "c"])


def test_the_development_kit_must_fit_the_images(small, tmp_path):
    with pytest.raises(ValueError, match="has labels of 20 images; there are 19"):
        read_labels(small / DEVKIT, ["x"] * 19)
    with pytest.raises(ValueError, match="holds no ILSVRC2012_validation_ground_truth.txt"):
        read_labels(tmp_path, ["x"])
    with pytest.raises(FileNotFoundError, match="nowhere is missing"):
        read_labels(tmp_path / "nowhere", ["x"])


def test_classes_of_ilsvrc_get_their_names():
    sources = [Source(Path("x"), 0, 1, name, name) for name in wordnet_ids()[::-1]]
    classes = find_classes(sources)
    assert [entry["id"] for entry in classes] == sorted(wordnet_ids())
    assert [entry["name"] for entry in classes] == list(class_names())
    assert (classes[0]["id"], classes[0]["name"]) == ("n01440764", "tench, Tinca tinca")
    assert find_classes(sources[:3])[0] == {"id": "n13054560", "name": "n13054560"}


def test_a_class_that_training_does_not_have_is_refused(small, tmp_path):
    sources = scan_classes(small / "val")
    with pytest.raises(ValueError, match="n90000009, which is not one of the 9 classes"):
        prepare(tmp_path, "val", sources, find_classes(sources)[:9], PLAIN)


@pytest.mark.parametrize("cut", [700, 5120 * 3, -512])
def test_a_truncated_archive_is_refused(small, tmp_path, cut):
    whole = (small / "ILSVRC2012_img_train.tar").read_bytes()
    with tarfile.open(small / "ILSVRC2012_img_train.tar") as archive:
        end = max(member.offset_data + member.size for member in archive)
    path = tmp_path / "cut.tar"
    path.write_bytes(whole[: cut if cut > 0 else end])
    with pytest.raises(ValueError, match=r"cut\.tar is truncated or no uncompressed archive"):
        scan_classes(path)


def test_places_without_images_are_refused(small, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is missing"):
        scan_classes(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="needs its labels"):
        scan_classes(small / "ILSVRC2012_img_val.tar")
    (tmp_path / "text").write_text("no archive at all, but long enough to look at" * 30)
    with pytest.raises(ValueError, match="no uncompressed archive"):
        scan_classes(tmp_path / "text")


@pytest.fixture
def picture():
    """A smooth RGB picture, of 60x80 pixels."""
    rows, columns = np.mgrid[:60, :80]
    values = np.stack([3 * columns, 4 * rows, 255 - columns - rows], -1)
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def test_grey_and_rgb_jpegs_keep_their_bytes(picture, encode):
    for mode in ("L", "RGB"):
        for options in ({}, {"progressive": True}, {"quality": 30}):
            data = encode(picture.convert(mode), "JPEG", **options)
            assert recode(data, Packing()) == data


def test_other_formats_become_rgb_jpegs(picture, encode):
    """Recode a PNG and CMYK images, which ImageNet names .JPEG."""
    reference = np.asarray(picture, int)
    # Pillow converts to CMYK without black: each ink is 255 minus its channel.
    cmyk = encode(picture.convert("CMYK"), "JPEG", quality=95)
    images = [cmyk, encode(picture, "PNG"), encode(picture.convert("RGBA"), "PNG")]
    for data in images:
        result = recode(data, Packing())
        with Image.open(io.BytesIO(result)) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert abs(np.asarray(image, int) - reference).max() < 16
            assert abs(np.asarray(image, int) - reference).mean() < 2


def test_large_images_are_resized(picture, encode):
    data = encode(picture, "JPEG", quality=95)
    result = read(recode(data, Packing(shorter_side=30, quality=95)))
    assert result.shape == (30, 40, 3)
    assert abs(result - resize_shorter(read(data), 30).astype(int)).mean() < 3
    assert recode(data, Packing(shorter_side=60)) == data


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damage_of_any_kind_is_noticed_or_harmless(picture, encode):
    rng = np.random.default_rng(0)
    noticed = 0
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "text"
    for kind, options in (("JPEG", {"exif": exif}), ("PNG", {})):
        data = encode(picture, kind, **options)
        for _ in range(150):
            damaged = bytearray(data)
            for at in rng.integers(min(400, len(data)), size=2):
                damaged[at] = rng.integers(256)
            try:
                recode(bytes(damaged), Packing(shorter_side=20))
            except ValueError:
                noticed += 1
        for length in rng.integers(len(data) - 20, size=20):
            with pytest.raises(ValueError, match="not a whole image"):
                recode(data[:length], Packing())
    assert noticed > 50


@pytest.fixture
def with_damage(small, tmp_path):
    """The training folders, with one truncated image and one that is text."""
    folder = shutil.copytree(small / "train", tmp_path / "damaged")
    cut = folder / "n90000002/n90000002_1.JPEG"
    cut.write_bytes(cut.read_bytes()[:-1000])
    (folder / "n90000004/n90000004_0.JPEG").write_text("<html>not found</html>")
    return folder


def test_damaged_images_are_listed_and_stop_the_work(with_damage, small, records, tmp_path):
    output, sources = tmp_path / "out", scan_classes(with_damage)
    with pytest.raises(DamagedImagesError, match="2 of 60 images of train are damaged"):
        pack(output, sources)
    with pytest.raises(ValueError, match="not finished"):
        Shards(output, "train")
    listed = (output / "train-damaged.txt").read_text().splitlines()
    assert sorted(line.split("\t")[0] for line in listed) == [
        "n90000002/n90000002_1.JPEG",
        "n90000004/n90000004_0.JPEG",
    ]
    metadata = pack(output, sources, allow_damaged=True)
    assert metadata["images"] == len(stored(output, "train")) == verify(output, "train") == 58
    assert "2 damaged ones were left out" in summary(metadata)
    # With whole files in their place, the result is that of an undamaged set.
    for name in ("n90000002/n90000002_1.JPEG", "n90000004/n90000004_0.JPEG"):
        shutil.copy(small / "train" / name, with_damage / name)
    pack(output, scan_classes(with_damage))
    assert content(output) == {k: v for k, v in content(records).items() if "train" in k}


def test_finished_shards_are_kept_and_damaged_ones_made_again(small, tmp_path):
    sources = scan_classes(small / "train")
    pack(tmp_path, sources)
    before = content(tmp_path)
    inodes = {path.name: path.stat().st_ino for path in tmp_path.glob("*.rec")}
    harmed = bytearray(before["train-00001.rec"])
    harmed[1000] ^= 1
    (tmp_path / "train-00001.rec").write_bytes(harmed)
    (tmp_path / "train-00002.idx").unlink()
    pack(tmp_path, sources)
    assert content(tmp_path) == before
    kept = {p.name for p in tmp_path.glob("*.rec") if p.stat().st_ino == inodes[p.name]}
    assert kept == {"train-00000.rec", "train-00003.rec"}


def test_other_options_do_not_overwrite_a_set(small, tmp_path):
    sources = scan_classes(small / "val")
    pack(tmp_path, sources, "val")
    with pytest.raises(ValueError, match="describes records with other packing"):
        pack(tmp_path, sources, "val", Packing(seed=9, images_per_shard=16))
    with pytest.raises(ValueError, match="describes records with other sources, 20 instead of 19"):
        prepare(tmp_path, "val", sources[:19], find_classes(sources), PLAIN)


def in_child(function, *args):
    """Begin a call in a process of its own, and return the process."""
    process = multiprocessing.get_context("fork").Process(target=function, args=args)
    process.start()
    return process


def pack_pairs(output, sources):
    pack(output, sources, packing=Packing(images_per_shard=2), processes=2)


@pytest.mark.slow
def test_killed_and_restarted_it_makes_the_same_bytes(small, tmp_path):
    """Send SIGKILL to the parent alone, at several points; its workers must end too."""
    sources = scan_classes(small / "train")
    pack_pairs(tmp_path / "whole", sources)
    output = tmp_path / "killed"
    for shards in (0, 1, 5, 14, 22):
        process = in_child(pack_pairs, output, sources)
        deadline = time.monotonic() + 60
        while (
            len(list(output.glob("train-*.rec"))) < shards
            or not psutil.Process(process.pid).children()
        ):
            assert time.monotonic() < deadline
            assert process.is_alive()
            time.sleep(0.001)
        workers = psutil.Process(process.pid).children()
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert not psutil.wait_procs(workers, timeout=10)[1]
        with pytest.raises((ValueError, FileNotFoundError), match="not finished|no records"):
            Shards(output, "train")
    (output / f".{os.getpid()}.train-00000.rec").write_text("unfinished")
    pack_pairs(output, sources)
    assert content(output) == content(tmp_path / "whole")
    assert verify(output, "train") == 60


def test_two_preparations_do_not_mix(small, tmp_path):
    with filelock.FileLock(tmp_path / ".lock"), pytest.raises(
        BlockingIOError, match="another process is preparing records in"
    ):
        pack(tmp_path, scan_classes(small / "val"))
    pack(tmp_path, scan_classes(small / "val"))


def pack_on_small_disk(output, sources):
    # A limit on the size of files stands for the disk.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
    try:
        pack(output, sources)
    except OSError as error:
        os._exit(3 if "see whether the disk is full" in str(error) else 4)


def test_a_disk_that_is_full_is_told(small, tmp_path):
    process = in_child(pack_on_small_disk, tmp_path, scan_classes(small / "train"))
    process.join(60)
    assert process.exitcode == 3
    assert not list(tmp_path.glob("*train-*"))

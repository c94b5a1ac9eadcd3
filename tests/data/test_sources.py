"""Finding images and labels: exact names, nothing left out unnamed, and archives from strangers."""

import io
import logging
import os
import tarfile

import numpy as np
import pytest
from PIL import Image

from deeprect_gluon.data.imagenet_sources import read_labels, scan_classes, scan_flat
from deeprect_gluon.data.prepare import DamagedImagesError, find_classes, prepare
from deeprect_gluon.data.records import Shards
from deeprect_gluon.data.shard import Packing


def picture(seed, form="JPEG"):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 8, 3), np.uint8)
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def fill(folder, *names):
    """Write an image of its own under each name; return {name: bytes}."""
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(seed))
    return {name: (folder / name).read_bytes() for name in names}


def archive(path, members, **options):
    """Write {name: bytes, or a TarInfo that needs none} as an archive."""
    with tarfile.open(path, "w", **options) as tar:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                tar.addfile(content)
                continue
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def link(kind, target):
    member = tarfile.TarInfo("link")
    member.type, member.linkname = kind, target
    return member


def flat(tmp_path, names, listing):
    """Return {name: class} of a folder of such images and the content of a list."""
    fill(tmp_path / "images", *names)
    mode = "wb" if isinstance(listing, bytes) else "w"
    with (tmp_path / "labels").open(mode) as file:
        file.write(listing)
    sources = scan_flat(tmp_path / "images", tmp_path / "labels")
    return {source.name: source.wordnet_id for source in sources}


@pytest.mark.parametrize(
    ("listing", "classes"),
    [
        ("a.jpg,cat\na.png,dog\nx/1.jpg,cow\ny/1.jpg,hen\n", ["cat", "dog", "cow", "hen"]),
        ("a.jpg cat\na.png dog\nx/1 cow\ny/1 hen", ["cat", "dog", "cow", "hen"]),
        (
            "a.jpg,golden retriever\na.png\tgrey cat\nx/1.jpg big cow\n./y/1.jpg, hen \n",
            ["golden retriever", "grey cat", "big cow", "hen"],
        ),
        ("\ufeffa.jpg,cat\r\na.png,dog\r\nx/1.jpg,cow\r\ny/1.jpg,hen\r\n".encode(), None),
        ('a.jpg,"cat, grey"\na.png,"a ""dog"""\nx/1,c\ny/1,d', ["cat, grey", 'a "dog"', "c", "d"]),
    ],
    ids=["names", "stems in folders", "spaces", "byte-order mark", "quotes"],
)
def test_labels_went_to_other_images_of_the_same_stem(tmp_path, listing, classes):
    names = ["a.jpg", "a.png", "x/1.jpg", "y/1.jpg"]
    found = flat(tmp_path, names, listing)
    assert found == dict(zip(names, classes or ["cat", "dog", "cow", "hen"]))


@pytest.mark.parametrize(
    ("listing", "words"),
    [
        ("a,cat\nb.jpg,dog\n", "a may be a.jpg or a.png; give the whole name"),
        ("a.jpg,cat\na.png,dog\nb.jpg,dog\nb.jpg,cat\n", "lists b.jpg twice"),
        ("a.jpg,cat\na.png,dog\nb.jpg,dog\nb,dog\n", "lists b.jpg twice"),
        ("a.jpg,cat\na.png,dog\nb.jpg,dog,cat\n", "has 3 fields; give a name and a class"),
        ("a.jpg,cat\na.png,dog\nb.jpg,\n", "the line 'b.jpg,' has no class"),
        ("a.jpg,cat\na.png,dog\nb.jpg,dog\nz/b.jpg,cat\n", "there are 3: z/b.jpg is missing"),
    ],
)
def test_a_label_that_may_be_of_two_images_took_the_last(tmp_path, listing, words):
    with pytest.raises(ValueError, match=words):
        flat(tmp_path, ["a.jpg", "a.png", "b.jpg"], listing)


def test_a_missing_validation_image_moved_the_labels_of_those_after_it(small):
    names = [f"ILSVRC2012_val_{i:08d}.JPEG" for i in range(1, 21)]
    labels = read_labels(small / "ILSVRC2012_devkit_t12.tar.gz", names)
    names[2] = "another.jpg"  # the number of images is still right
    with pytest.raises(ValueError, match="no label for 1 of 20 images, another.jpg first"):
        read_labels(small / "ILSVRC2012_devkit_t12.tar.gz", names)
    assert len(set(labels)) > 1


SUFFIXES = ("jpg", "JPEG", "jfif", "jpe", "png", "webp", "bmp", "gif", "tiff", "ppm")


def test_suffixes_and_folders_were_left_out_and_the_rest_without_a_word(tmp_path, caplog):
    names = [f"cat/{i}.{suffix}" for i, suffix in enumerate(SUFFIXES)]
    fill(tmp_path, *names, "dog/deep/er/1.jpg", "cat/notes.txt", "dog/deep/a.zip", "loose.jpg")
    with caplog.at_level(logging.WARNING):
        found = scan_classes(tmp_path)
    assert [source.name for source in found] == [*sorted(names), "dog/deep/er/1.jpg"]
    assert {source.wordnet_id for source in found} == {"cat", "dog"}
    (message,) = caplog.messages
    assert "left out 3 files" in message
    for name in ("cat/notes.txt", "dog/deep/a.zip", "loose.jpg"):
        assert name in message


def test_links_and_folders_in_archives_were_left_out(tmp_path, caplog):
    one, two = picture(1), picture(2)
    inner = archive(
        tmp_path / "cat.tar",
        {
            "./one.jpg": one,
            "deep/two.jpg": two,
            "hard.jpg": link(tarfile.LNKTYPE, "./one.jpg"),
            "deep/soft.jpg": link(tarfile.SYMTYPE, "../one.jpg"),
            "deep/again.jpg": link(tarfile.SYMTYPE, "soft.jpg"),
            "read.me": b"text",
        },
    ).read_bytes()
    outer = archive(tmp_path / "outer.tar", {"cat.tar": inner, "license": b"text"})
    (tmp_path / "folder").mkdir()
    (tmp_path / "cat.tar").rename(tmp_path / "folder/cat.tar")
    for place, left_out in ((outer, 2), (tmp_path / "folder", 1)):
        caplog.clear()
        found = scan_classes(place)
        assert {source.name: source.read() for source in found} == {
            "cat/one.jpg": one,
            "cat/deep/two.jpg": two,
            "cat/hard.jpg": one,
            "cat/deep/soft.jpg": one,
            "cat/deep/again.jpg": one,
        }
        assert f"left out {left_out} files" in caplog.text
        assert "read.me" in caplog.text


def fifo(path):
    os.mkfifo(path)


def dangling(path):
    path.symlink_to("nothing")


@pytest.mark.parametrize("make", [fifo, dangling], ids=["pipe", "dangling link"])
def test_what_is_no_file_hung_or_was_counted(tmp_path, make):
    fill(tmp_path, "cat/1.jpg")
    make(tmp_path / "cat/2.jpg")
    with pytest.raises(ValueError, match=r"cat/2\.jpg is no file, or a link to none"):
        scan_classes(tmp_path)
    make(tmp_path / "place")
    with pytest.raises((ValueError, FileNotFoundError), match="place is (neither|missing)"):
        scan_classes(tmp_path / "place")


def test_a_link_to_the_folder_above_was_followed_for_ever(tmp_path):
    fill(tmp_path, "cat/1.jpg")
    (tmp_path / "cat/up").symlink_to(tmp_path / "cat")
    with pytest.raises(ValueError, match="cat/up is a link to .*cat, which is read already"):
        scan_classes(tmp_path)


def test_a_sparse_member_took_bytes_of_its_neighbours(tmp_path):
    member = tarfile.TarInfo("sparse.jpg")
    member.pax_headers = {
        "GNU.sparse.map": "0,1,900,1",
        "GNU.sparse.size": "1000",
        "GNU.sparse.numblocks": "2",
    }
    path = archive(
        tmp_path / "cat.tar", {"sparse.jpg": member, "b.jpg": picture(1)}, format=tarfile.PAX_FORMAT
    )
    with tarfile.open(path) as tar:
        assert tar.getmember("sparse.jpg").issparse()
    with pytest.raises(ValueError, match=r"sparse\.jpg is no plain file \(a sparse one"):
        scan_classes(tmp_path)


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.SYMTYPE])
def test_members_that_hold_no_bytes_are_refused(tmp_path, kind):
    archive(tmp_path / "cat.tar", {"a.jpg": link(kind, "a.jpg")})
    with pytest.raises(ValueError, match=r"a\.jpg is no plain file"):
        scan_classes(tmp_path)


def test_the_second_of_two_archives_in_one_file_was_lost(tmp_path):
    one = archive(tmp_path / "one", {"1.jpg": picture(1)}).read_bytes()
    two = archive(tmp_path / "two", {"2.jpg": picture(2)}).read_bytes()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/cat.tar").write_bytes(one + two)
    with pytest.raises(ValueError, match="goes on behind its end, as two archives in one file"):
        scan_classes(tmp_path / "folder")
    outer = archive(tmp_path / "outer.tar", {"cat.tar": one + two})
    with pytest.raises(ValueError, match="goes on behind its end"):
        scan_classes(outer)
    (tmp_path / "folder/cat.tar").write_bytes(one + bytes(1 << 20))
    assert len(scan_classes(tmp_path / "folder")) == 1


def test_two_images_of_one_name_are_refused(tmp_path):
    path = archive(tmp_path / "cat.tar", {"1.jpg": picture(1)})
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo("./1.jpg")
        tar.addfile(member)
    with pytest.raises(ValueError, match=r"holds 1\.jpg twice"):
        scan_classes(tmp_path)
    path.unlink()
    archive(path, {"1.jpg": picture(1)})
    fill(tmp_path, "cat/1.jpg")
    with pytest.raises(ValueError, match=r"two images of the name cat/1\.jpg"):
        scan_classes(tmp_path)


def test_names_that_are_not_utf_8_or_one_line_ended_with_a_codec_error(tmp_path):
    place = os.fsencode(tmp_path / "set")
    names = [b"caf\xe9/\xff.jpg", b"caf\xe9/two\nlines\tand\x1b[31m.jpg", "häuser/ß.jpg".encode()]
    contents = []
    for seed, name in enumerate(names):
        os.makedirs(os.path.dirname(os.path.join(place, name)), exist_ok=True)
        with open(os.path.join(place, name), "wb") as file:
            contents.append(picture(seed))
            file.write(contents[-1])
    sources = scan_classes(tmp_path / "set")
    shown = {
        r"caf\xe9/\xff.jpg": contents[0],
        r"caf\xe9/two\nlines\tand\x1b[31m.jpg": contents[1],
        "häuser/ß.jpg": contents[2],
    }
    assert {source.name: source.read() for source in sources} == shown
    prepare(tmp_path / "out", "train", sources, find_classes(sources), Packing())
    shards = Shards(tmp_path / "out", "train")
    assert shards.classes == (r"caf\xe9", "häuser")
    described = {shards.describe(i): shards.read(i)[0] for i in range(3)}
    for name, content in shown.items():
        (found,) = (data for text, data in described.items() if text.endswith(f"({name})"))
        assert found == content
    # A list of labels may hold such names too.
    lines = [os.path.basename(name) + b",class \xfe\n" for name in (names[0], names[2])]
    (tmp_path / "labels").write_bytes(b"".join(lines))
    names = [r"\xff.jpg", "ß.jpg"]
    assert read_labels(tmp_path / "labels", names) == [r"class \xfe"] * 2


def test_a_sparse_image_of_20_gb_ended_in_a_memory_error(tmp_path):
    fill(tmp_path / "set", "cat/1.jpg")
    with (tmp_path / "set/cat/2.jpg").open("wb") as file:
        file.truncate(20 << 30)
    sources = scan_classes(tmp_path / "set")
    with pytest.raises(DamagedImagesError, match="1 of 2 images of train are damaged, cat/2.jpg"):
        prepare(tmp_path / "out", "train", sources, find_classes(sources), Packing())
    assert "21,474,836,480 bytes" in (tmp_path / "out/train-damaged.txt").read_text()

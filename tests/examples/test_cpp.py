"""The C++ example, built as its user builds it, gives Python's answers and says what is wrong."""

import itertools
import shutil
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import deeprect_gluon as dg
import zoo
from deeprect_gluon import images
from deeprect_gluon.data import fashion_mnist
from deeprect_gluon.export import export
from deeprect_gluon.files import sha256

SOURCES = Path(__file__).parents[2] / "examples" / "cpp"
COMPILER = shutil.which("g++")
OPERATORS = dg.native.PATH


def has_headers():
    """Whether the libraries' headers and a static libjpeg are there: the program is linked."""
    headers = ("cstdio", "jpeglib.h", "nlohmann/json_fwd.hpp", "openssl/sha.h")
    text = "".join(f"#include <{header}>\n" for header in headers) + "int main() {}"
    flags = ["-x", "c++", "-", "-o", "/dev/null", "-Wl,-Bstatic", "-ljpeg", "-Wl,-Bdynamic"]
    return not subprocess.run([COMPILER, *flags], input=text, text=True, stderr=-1).returncode


pytestmark = pytest.mark.skipif(
    not (COMPILER and has_headers()),
    reason="needs g++ and Debian's packages libjpeg62-turbo-dev, nlohmann-json3-dev, libssl-dev",
)


@pytest.fixture(scope="module")
def classify(tmp_path_factory):
    """Build the program; return a function that runs it and returns what it printed."""
    build = tmp_path_factory.mktemp("build")
    made = subprocess.run(
        ["make", "-j2", "-C", str(SOURCES), f"BUILD={build}", f"PYTHON={sys.executable}"],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    assert "warning" not in made.stderr

    def run(*arguments):
        command = [build / "classify", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """JPEG files: real grey ones, and coloured ones of many shapes and all orientations."""
    place = tmp_path_factory.mktemp("images")
    for i, pixels in enumerate(fashion_mnist.load("test")[0][:6]):
        Image.fromarray(pixels).save(place / f"fashion{i}.jpg", quality=85 + i)
    rng = np.random.default_rng(1)
    sizes = [(640, 480), (333, 1000), (257, 31), (64, 64), (40, 25), (28, 28), (200, 73), (99, 101)]
    for orientation, (width, height) in enumerate(sizes, start=1):
        blobs = Image.fromarray(rng.integers(0, 256, (7, 9, 3), np.uint8))
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"progressive": orientation % 2 == 0, "subsampling": orientation % 3}
        picture = blobs.resize((width, height), Image.BICUBIC)
        picture.save(place / f"colour{orientation}.jpg", exif=exif, **options)
    return place


def random_net(channels, size, resize):
    net = dg.models.get_model(
        "deeprect_small14",
        classes=7,
        in_channels=channels,
        input_size=size,
        stem="small_image",
        width=0.125,
        hidden=(16,),
    )
    net.initialize(dg.initializer.MSRA(dg.initializer.rectifier_slopes(net), seed=1))
    mean, std = (0.485, 0.456, 0.406)[:channels], (0.229, 0.224, 0.225)[:channels]
    net.preprocess = images.Preprocess(size, mean, std, resize=resize)
    return net


def shipped_net():
    return zoo.get_model("deeprect_small14", pretrained=True)


def parse(text):
    """Return {file: {class: probability}}, classes in the order printed."""
    results, found = {}, {}
    for line in text.splitlines():
        if line.startswith("  "):
            probability, name = line.strip().split("  ", 1)
            found[name] = float(probability)
        else:
            found = results[line] = {}
    return results


def python_answer(net, path):
    x = net.preprocess(images.read(path, net.config["in_channels"]))
    probabilities = net(x).softmax().asnumpy()[0]
    names = net.classes or [f"class {i}" for i in range(len(probabilities))]
    return dict(zip(names, probabilities))


# Six decimals are printed. One pixel that is off by one was seen to change an answer of these nets
# by 5e-6 or more, mostly by 1e-4.
@pytest.mark.parametrize("form", ["operator", "portable"])
@pytest.mark.parametrize(
    "make_net",
    [shipped_net, lambda: random_net(3, 64, 73), lambda: random_net(1, 32, 32)],
    ids=["fashion_mnist", "rgb", "grey"],
)
def test_answers_equal_pythons(classify, folder, tmp_path, make_net, form):
    net = make_net()
    export(net, tmp_path / "net", portable=form == "portable")
    options = ["--operators", OPERATORS] if form == "operator" else []
    files = sorted(map(str, folder.iterdir()))
    done = classify("--top", 20, *options, tmp_path / "net", *files)
    assert (done.returncode, done.stderr) == (0, "")
    results = parse(done.stdout)
    assert list(results) == files
    for path, found in results.items():
        expected = python_answer(net, path)
        assert found.keys() == expected.keys()
        error = max(abs(found[name] - expected[name]) for name in expected)
        assert error < (2e-6 if form == "operator" else 1e-5), path
        assert list(found.values()) == sorted(found.values(), reverse=True)


def with_exif(path, orders, kind, cut):
    """Insert EXIF data that state orientation 6 as a number of a kind, in two segments if cut."""
    value = struct.pack(orders + {3: "HH", 4: "I"}[kind], *([6, 0] if kind == 3 else [6]))
    entry = struct.pack(orders + "HHI", 0x0112, kind, 1) + value
    tiff = (
        {"<": b"II", ">": b"MM"}[orders] + struct.pack(orders + "HIH", 42, 8, 1) + entry + b"\0" * 4
    )
    segments = b""
    for part in (tiff[:cut], tiff[cut:]):
        if part:
            segments += b"\xff\xe1" + struct.pack(">H", 8 + len(part)) + b"Exif\0\0" + part
    content = path.read_bytes()
    path.write_bytes(content[:2] + segments + content[2:])


def test_orientations_as_long_and_in_a_second_segment(classify, tmp_path):
    net = random_net(3, 64, 73)
    export(net, tmp_path / "net", portable=True)
    rng = np.random.default_rng(2)
    blobs = Image.fromarray(rng.integers(0, 256, (7, 9, 3), np.uint8)).resize((90, 70))
    files = []
    for orders, kind, cut in itertools.product("<>", (3, 4), (None, 9, 20)):
        files.append(str(tmp_path / f"{'be'[orders == '<']}{kind}{cut}.jpg"))
        blobs.save(files[-1])
        with_exif(Path(files[-1]), orders, kind, cut)
        assert images.read(files[-1]).shape == (90, 70, 3)
    results = parse(classify("--top", 7, tmp_path / "net", *files).stdout)
    expected = python_answer(net, files[0])
    for path in files:
        assert max(abs(results[path][name] - expected[name]) for name in expected) < 1e-5, path


def test_half_precision_and_five_classes_unless_asked(classify, folder, tmp_path):
    net = shipped_net()
    export(net, tmp_path / "net", portable=True, inference=True, half=True)
    path = str(folder / "fashion0.jpg")
    (found,) = parse(classify(tmp_path / "net", path).stdout).values()
    expected = python_answer(net, path)
    assert list(found) == sorted(expected, key=expected.get, reverse=True)[:5]
    assert next(iter(found)) == "Ankle boot"


@pytest.mark.slow
def test_the_process_ended_while_threads_of_mxnets_engine_were_at_work(classify, exported):
    """Its memory was corrupted: in one of twenty runs on busy cores, in one of 500 on idle ones."""
    Image.fromarray(fashion_mnist.load("test")[0][0]).save(exported / "boot.jpg")

    def run(_):
        return classify(exported / "portable", *3 * [exported / "boot.jpg"])

    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(run, range(300)))
    assert {(done.returncode, done.stdout, done.stderr) for done in runs} == {
        (0, runs[0].stdout, "")
    }


def test_without_mxnet_the_build_says_what_to_name(tmp_path):
    command = ["make", "-C", str(SOURCES), f"BUILD={tmp_path}", "PYTHON=/nowhere/python"]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode != 0
    assert "/nowhere/python has no MXNet; name the interpreter" in made.stderr


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    place = tmp_path_factory.mktemp("export")
    export(random_net(1, 28, 28), place / "net")
    export(random_net(1, 28, 28), place / "portable", portable=True)
    return place


def cut(path, length):
    path.write_bytes(path.read_bytes()[:length])


def damage_images(place):
    whole = (place / "whole.jpg").read_bytes()
    (place / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (place / "unfinished.jpg").write_bytes(whole[:-2])
    (place / "empty.jpg").touch()
    (place / "text.jpg").write_text("no image")
    Image.new("CMYK", (20, 20)).save(place / "cmyk.jpg")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: classify"),
        (["portable"], "usage: classify"),
        (["--top", "0", "portable", "whole.jpg"], "--top 0"),
        (["--bottom", "portable", "whole.jpg"], "unknown or incomplete option --bottom"),
        (["absent", "whole.jpg"], "cannot read absent.json: No such file"),
        (["net", "whole.jpg"], "give --operators LIBDEEPRECT.SO"),
        (["--operators", "whole.jpg", "net", "whole.jpg"], "cannot load whole.jpg"),
        (["portable", "absent.jpg"], "cannot read absent.jpg: No such file"),
        (["portable", "."], ". is a folder"),
        (["portable", "empty.jpg"], "empty.jpg is no JPEG file"),
        (["portable", "text.jpg"], "text.jpg is no JPEG file"),
        (["portable", "half.jpg"], "half.jpg is not a whole JPEG file: Premature end"),
        (["portable", "unfinished.jpg"], "unfinished.jpg is not a whole JPEG file"),
        (["portable", "cmyk.jpg"], "save it in RGB or grey"),
    ],
)
def test_bad_arguments_and_images(classify, exported, monkeypatch, arguments, message):
    monkeypatch.chdir(exported)
    Image.fromarray(fashion_mnist.load("test")[0][0]).save("whole.jpg")
    damage_images(exported)
    done = classify(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert done.stderr.startswith("classify: ")
    assert done.stderr.count("\n") == 1 + ("unknown" in message)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: cut(p / "net-0000.params", 1000), "net-0000.params has 1000 bytes, but"),
        (lambda p: cut(p / "net-symbol.json", 100), "net-symbol.json has 100 bytes, but"),
        (lambda p: (p / "net-0000.params").unlink(), "cannot read net-0000.params: No such file"),
        (lambda p: cut(p / "net.json", 200), "the sidecar net.json is not valid"),
        (
            lambda p: replace(p / "net.json", '"net-0000.params"', '"../net-0000.params"'),
            "'../net-0000.params' is no plain name",
        ),
        (lambda p: replace(p / "net.json", '"portable"', '"onnx"'), "was exported as onnx"),
        (lambda p: replace(p / "net.json", '"resize": 28', '"resize": 27'), "'resize'"),
        (lambda p: replace(p / "net.json", '"channels": 1', '"channels": 2'), "1 or 3 channels"),
        (lambda p: replace(p / "net.json", '"schema": 1', '"schema": 2'), "another version"),
        (
            lambda p: flip_a_bit(p / "net-0000.params"),
            "net-0000.params is not the file that was exported; copy it again",
        ),
        (
            lambda p: flip_a_bit(p / "net-symbol.json"),
            "net-symbol.json is not the file that was exported; copy it again",
        ),
        (lambda p: forge(p / "net.json", p / "net-0000.params"), "MXNet refuses the net: "),
    ],
)
def test_a_damaged_export_is_refused(classify, folder, tmp_path, monkeypatch, damage, message):
    monkeypatch.chdir(tmp_path)
    export(random_net(1, 28, 28), "net", portable=True)
    damage(tmp_path)
    done = classify("net", folder / "fashion0.jpg")
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def replace(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def forge(sidecar, path):
    """Overwrite a file, and state its new digest."""
    before = sha256(path)
    path.write_bytes(bytes(path.stat().st_size))
    replace(sidecar, before, sha256(path))

"""Fashion-MNIST: where its files are found, and which files are refused."""

import functools
import gzip
import hashlib
import http.server
import shutil
import threading

import numpy as np
import pytest

from deeprect_gluon.data import fashion_mnist

LABELS = "t10k-labels-idx1-ubyte"


@pytest.fixture
def files(tmp_path):
    """A folder with the real test files."""
    folder = tmp_path / "files"
    folder.mkdir()
    for part in ("images-idx3", "labels-idx1"):
        name = f"t10k-{part}-ubyte"
        shutil.copy(fashion_mnist._find(name), folder / f"{name}.gz")
    return folder


@pytest.fixture
def elsewhere(files, tmp_path, monkeypatch):
    """No dataset but what the test provides, in `files`."""
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "no-debian")
    monkeypatch.setenv("MXNET_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DEEPRECT_DATA", raising=False)
    monkeypatch.setattr(fashion_mnist, "MIRRORS", ())


@pytest.fixture
def serve():
    servers = []

    def start(folder):
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()


def test_contents():
    for split, n in (("train", 60000), ("test", 10000)):
        images, labels = fashion_mnist.load(split)
        assert images.shape == (n, 28, 28)
        assert images.dtype == np.uint8
        assert (np.bincount(labels) == n // 10).all()


def test_normalisation_is_that_of_the_training_pixels():
    images, _ = fashion_mnist.load("train")
    inputs = fashion_mnist.to_input(images[::7])
    assert inputs.shape == (8572, 1, 28, 28)
    assert abs(inputs.mean()) < 0.02
    assert abs(inputs.std() - 1) < 0.02
    larger = fashion_mnist.to_input(images[:3], 33)
    assert (larger[:, :, 2:30, 2:30] == fashion_mnist.to_input(images[:3])).all()
    assert (larger[:, :, :2] == larger[0, 0, 0, 0]).all()
    with pytest.raises(ValueError, match="size must be a whole number of at least 28, got 27"):
        fashion_mnist.to_input(images[:3], 27)


def test_environment_comes_first(elsewhere, files, monkeypatch):
    monkeypatch.setenv("DEEPRECT_DATA", str(files))
    assert fashion_mnist._find(LABELS).parent == files
    images, labels = fashion_mnist.load("test")
    assert len(images) == len(labels) == 10000


def test_plain_files_are_read_too(elsewhere, files, monkeypatch):
    monkeypatch.setenv("DEEPRECT_DATA", str(files))
    packed = files / f"{LABELS}.gz"
    (files / LABELS).write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    assert len(fashion_mnist.load("test")[1]) == 10000


@pytest.mark.parametrize("keep", [0, 9, 1000, -1])
def test_truncated_file_is_refused_by_name(elsewhere, files, monkeypatch, keep):
    monkeypatch.setenv("DEEPRECT_DATA", str(files))
    path = files / f"{LABELS}.gz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=f"{path} is"):
        fashion_mnist.load("test")
    assert path.exists()


@pytest.mark.parametrize("at", [0, 3, 200, 3000, -6])
def test_damaged_file_is_refused_by_name(elsewhere, files, monkeypatch, at):
    monkeypatch.setenv("DEEPRECT_DATA", str(files))
    path = files / f"{LABELS}.gz"
    content = bytearray(path.read_bytes())
    content[at] ^= 0x55
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path} is"):
        fashion_mnist.load("test")


def test_wrong_file_is_refused_by_name(elsewhere, files, monkeypatch):
    monkeypatch.setenv("DEEPRECT_DATA", str(files))
    path = files / f"{LABELS}.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[5000] ^= 1
    path.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(ValueError, match=f"{path} is not the published {LABELS}"):
        fashion_mnist.load("test")


def test_nowhere_says_what_to_do(elsewhere):
    with pytest.raises(FileNotFoundError, match="install Debian's package dataset-fashion-mnist"):
        fashion_mnist.load("test")


def test_bad_mirrors_are_passed_over(elsewhere, files, tmp_path, serve, monkeypatch):
    """One mirror refuses connections, two send wrong files; the last is right."""
    name, (content_sha256, _) = LABELS, fashion_mnist.FILES[LABELS]
    liar = tmp_path / "liar"
    liar.mkdir()
    (liar / f"{name}.gz").write_bytes(b"<html>Not found</html>")
    empty = tmp_path / "empty"
    empty.mkdir()
    # The mirrors' compressed bytes are not Debian's, so this mirror's digest is what it serves.
    served = files / f"{name}.gz"
    digest = hashlib.sha1(served.read_bytes()).hexdigest()
    monkeypatch.setitem(fashion_mnist.FILES, name, (content_sha256, digest))
    mirrors = ("http://127.0.0.1:9/", serve(empty), serve(liar), serve(files))
    monkeypatch.setattr(fashion_mnist, "MIRRORS", mirrors)
    assert len(fashion_mnist._read(name)) == 10000
    assert fashion_mnist._find(name).parent == fashion_mnist._gluon_folder()


def test_unknown_split():
    with pytest.raises(ValueError, match="split must be one of 'train', 'test', got 'validation'"):
        fashion_mnist.load("validation")

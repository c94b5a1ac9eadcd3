"""The prediction command: files, folders, URLs of a real server, damaged images."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from PIL import Image

from deeprect_gluon.data import fashion_mnist
from deeprect_gluon.images import decoding, prediction
from deeprect_gluon.initializer import MSRA, rectifier_slopes
from deeprect_gluon.train import fashion_mnist as training

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    net = training.build("deeprect_small14", width=0.0625, hidden=(16, 16))
    net.initialize(MSRA(rectifier_slopes(net), seed=1))
    folder = tmp_path_factory.mktemp("run")
    net.save_parameters(str(folder / "weights.params"))
    config = {"model": net.config, "dataset": "fashion_mnist"}
    (folder / "config.json").write_text(json.dumps(config))
    return net, folder / "weights.params"


@pytest.fixture
def folder(tmp_path):
    """Two images, a damaged one, and a text."""
    place = tmp_path / "images"
    place.mkdir()
    pixels = fashion_mnist.load("test")[0]
    for name, image in zip("ab", pixels):
        Image.fromarray(image).save(place / f"{name}.png")
    (place / "damaged.png").write_bytes((place / "a.png").read_bytes()[:150])
    (place / "notes.txt").write_text("no image")
    return place


def test_a_folder_gives_the_net_s_probabilities_and_names_the_damaged_image(checkpoint, folder):
    net, weights = checkpoint
    command = [sys.executable, str(ROOT / "scripts" / "predict.py"), str(folder)]
    command += ["--weights", str(weights), "--top", "10", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 1
    assert "damaged.png: not a whole image" in done.stderr
    assert "notes.txt" not in done.stderr
    results = json.loads(done.stdout)
    assert [Path(r["image"]).name for r in results] == ["a.png", "b.png"]
    inputs = fashion_mnist.to_input(fashion_mnist.load("test")[0][:2], 28)
    expected = net(mx.nd.array(inputs)).softmax().asnumpy()
    for result, row in zip(results, expected):
        found = {c["index"]: c["probability"] for c in result["classes"]}
        np.testing.assert_allclose([found[i] for i in range(10)], row, rtol=1e-4)
        assert all(c["name"] == fashion_mnist.CLASSES[c["index"]] for c in result["classes"])
        values = [c["probability"] for c in result["classes"]]
        assert values == sorted(values, reverse=True)


def test_urls_text_and_pictures(checkpoint, folder, tmp_path, run_script):
    _, weights = checkpoint
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        urls = (f"{url}/a.png", f"{url}/absent.png")
        more = ("--weights", weights, "--annotate", tmp_path / "out", "--view", "ten")
        done = run_script("predict.py", *urls, *more)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == f"{url}/a.png"
    assert len(lines) == 6
    assert lines[1].split()[0].endswith("%")
    assert "absent.png: HTTP Error 404" in done.stderr
    (picture,) = (tmp_path / "out").iterdir()
    with Image.open(picture) as image:
        assert image.size == (320, 320 + 5 * 18 + 8)


@contextlib.contextmanager
def answering(*parts):
    """Serve one connection with these bytes, endlessly the last; yield its URL."""
    stop = threading.Event()

    def work():
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                for part in parts:
                    connection.sendall(part)
                while parts and not stop.wait(0.01):
                    connection.sendall(parts[-1])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/x.png"
        finally:
            stop.set()
            thread.join()


HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


def test_a_url_that_never_ends_was_read_for_ever(monkeypatch):
    with answering(HEAD, b"1") as url, pytest.raises(OSError, match="not come within 0.2 seconds"):
        prediction.load(url, 1, timeout=0.2)
    with answering(b"X: 1\r\n") as url, pytest.raises(OSError, match=r"no HTTP|not come within"):
        prediction.load(url, 1, timeout=0.2)
    monkeypatch.setattr(prediction, "MOST_BYTES", 1 << 20)
    monkeypatch.setattr(decoding, "MOST_BYTES", 1 << 20)
    with answering(HEAD, bytes(1 << 20)) as url, pytest.raises(ValueError, match="1,048,577 bytes"):
        prediction.load(url, 1)


def test_names_that_are_not_utf_8_ended_the_prediction(checkpoint, folder, tmp_path):
    """In a process of its own: output is encoded as that of a terminal."""
    name = os.path.join(os.fsencode(folder), b"caf\xe9\n.png")
    os.rename(folder / "b.png", name)
    weights = str(checkpoint[1])
    command = [sys.executable, str(ROOT / "scripts" / "predict.py"), "--weights", weights, name]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    for more in ([], ["--json"]):
        done = subprocess.run(
            [*command, *more, "--annotate", tmp_path / "out"],
            capture_output=True,
            timeout=300,
            cwd=ROOT,
            env=environment,
        )
        assert done.returncode == 0, done.stderr
        shown = (
            json.loads(done.stdout)[0]["image"] if more else done.stdout.decode().splitlines()[0]
        )
        assert shown == f"{folder}/caf\\xe9\\n.png"


def test_an_image_too_large_to_be_resized_is_skipped(checkpoint, folder, run_script):
    Image.new("L", (1, 10_000_000)).save(folder / "b.png")
    done = run_script("predict.py", folder / "b.png", folder / "a.png", "--weights", checkpoint[1])
    assert done.returncode == 1
    assert "skipped" in done.stderr
    assert "is too long a strip" in done.stderr
    assert done.stdout.startswith(f"{folder}/a.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{empty}", "--weights", "{weights}"], "has no images in it"),
        (["x.png", "--weights", "{empty}/weights.params"], "config.json"),
        (["x.png", "--model", "deeprect_x"], "unknown model 'deeprect_x'"),
        (["x.png", "--model", "deeprect_b:absent"], "deeprect_b"),
    ],
)
def test_bad_arguments_end_with_one_line(checkpoint, tmp_path, run_script, arguments, message):
    values = {"empty": tmp_path, "weights": checkpoint[1]}
    done = run_script("predict.py", *(argument.format(**values) for argument in arguments))
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("predict.py: ")
    assert message in sentence


def test_all_images_whole_is_success(checkpoint, folder, run_script):
    done = run_script("predict.py", folder / "a.png", "--weights", checkpoint[1], "--top", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 2

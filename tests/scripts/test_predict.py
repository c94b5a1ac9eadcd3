"""The prediction command: files, folders, URLs of a real server, damaged images."""

import json
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

"""Real servers on the loopback interface, and small things that their tests share."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from PIL import Image

from deeprect_gluon import models, serve
from deeprect_gluon.initializer import MSRA, rectifier_slopes

ROOT = Path(__file__).parents[2]
PATIENCE = 120  # seconds, for a machine that is busy


def encode(pixels, form="JPEG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def assert_right(answer, expected):
    """Compare an answer of all classes with {class: probability}."""
    found = {guess["name"]: guess["probability"] for guess in answer["classes"]}
    assert found.keys() == expected.keys()
    for name, probability in expected.items():
        assert found[name] == pytest.approx(probability, abs=1e-5)
    shares = list(found.values())
    assert shares == sorted(shares, reverse=True)


@contextlib.contextmanager
def serving(classifier, limits=None, **options):
    """Run a server in this process; yield its URL."""
    config = serve.configure(serve.create_app(classifier, limits), port=0, **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def serving_process(*arguments):
    """Run scripts/serve.py; yield the process, with its `port`."""
    command = [sys.executable, str(ROOT / "scripts" / "serve.py"), *map(str, arguments)]
    process = subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            found = re.search(r"running on http://127\.0\.0\.1:(\d+)", line)
            if found:
                process.port = int(found.group(1))
                break
        yield process
    finally:
        process.kill()
        process.stderr.close()
        process.wait()


def wait_until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def random_net():
    """Return a small net that knows nothing of its images and classes."""
    net = models.get_model(
        "deeprect_small14",
        classes=3,
        in_channels=1,
        input_size=28,
        stem="small_image",
        width=0.1,
        hidden=(16,),
    )
    net.initialize(MSRA(rectifier_slopes(net), seed=1))
    return net

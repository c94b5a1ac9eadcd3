"""The export command as a user calls it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from deeprect_gluon.export import load_export
from zoo import get_model

ROOT = Path(__file__).parents[2]


def test_a_zoo_net_in_all_forms(tmp_path):
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (28, 28), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    command = [sys.executable, "-W", "ignore", str(ROOT / "scripts" / "export.py")]
    command += ["--model", "deeprect_small14", "--half", "--int8", "--images", str(tmp_path)]
    command += ["--output", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    paths = list(map(Path, done.stdout.split()))
    title = "deeprect_small14-prelu-fashion_mnist"
    forms = [f"{f}-{p}" for f in ("operator", "portable", "onnx") for p in ("float32", "float16")]
    assert [path.name for path in paths] == [f"{title}-{form}" for form in [*forms, "onnx-int8"]]
    net = get_model("deeprect_small14", pretrained=True)
    x = net.preprocess(np.asarray(Image.open(tmp_path / "0.png"))[..., None])
    scores = net(x).asnumpy()
    for path in paths:
        loaded = load_export(path)
        tolerance = {"int8": 0.2}.get(loaded.sidecar.precision, 1e-5) * abs(scores).max()
        np.testing.assert_allclose(loaded(x.asnumpy()), scores, rtol=0, atol=tolerance)
        assert loaded.sidecar.card == net.card


def test_an_unknown_model_is_one_line(tmp_path, run_script):
    done = run_script("export.py", "--model", "deeprect_x", "--output", tmp_path / "out")
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("export.py: unknown model 'deeprect_x'")
    assert not (tmp_path / "out").exists()

"""The folder of a training as a net."""

import json
import shutil

import mxnet as mx
import numpy as np
import pytest

from deeprect_gluon import models
from zoo.publishing.checkpoints import load_checkpoint


def test_the_net_has_the_weights_and_knows_its_dataset(run):
    net = load_checkpoint(run)
    twin = models.get_model(**net.config)
    twin.load_parameters(str(run / "weights.params"))
    x = mx.nd.random.normal(shape=(2, 1, 28, 28))
    np.testing.assert_array_equal(net(x).asnumpy(), twin(x).asnumpy())
    assert net.classes[0] == "T-shirt/top"
    assert net.preprocess(np.zeros((20, 28, 1), np.uint8)).shape == (1, 1, 28, 28)
    again = load_checkpoint(run / "weights.params")
    np.testing.assert_array_equal(again(x).asnumpy(), net(x).asnumpy())


def test_a_net_of_imagenet_is_described(tmp_path):
    net = models.get_model("deeprect_small14", width=0.02, hidden=(4,))
    net.initialize()
    net(mx.nd.zeros((1, 3, 224, 224)))
    net.save_parameters(str(tmp_path / "weights.params"))
    config = {"model": net.config, "dataset": "imagenet"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = load_checkpoint(tmp_path)
    assert len(loaded.classes) == 1000
    assert loaded.preprocess.resize == 256


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", lambda c: b"{}", "is not the config.json of a training"),
        ("config.json", lambda c: c[:50], "is not the config.json of a training"),
        ("weights.params", lambda c: c[: len(c) // 2], "is not a parameter file, or is damaged"),
        ("weights.params", lambda c: c + b"x", "1 bytes follow after its end"),
    ],
)
def test_damaged_files_are_refused(run, tmp_path, file, change, message):
    folder = shutil.copytree(run, tmp_path / "run")
    (folder / file).write_bytes(change((folder / file).read_bytes()))
    with pytest.raises(ValueError, match=message):
        load_checkpoint(folder)
    (folder / file).unlink()
    with pytest.raises(FileNotFoundError, match=file):
        load_checkpoint(folder)

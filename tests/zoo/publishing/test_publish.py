"""Publishing into a store, its verification and the cards."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

import zoo
from deeprect_gluon.data import fashion_mnist
from deeprect_gluon.nn import ConvPReLU
from zoo.__main__ import main
from zoo.publishing.datasets import get_dataset
from zoo.publishing.publish import publish
from zoo.publishing.verify import verify
from zoo.store import open_store

NAME = "deeprect_small14"
TITLE = "deeprect_small14-prelu-fashion_mnist"


@pytest.fixture
def broken_run(run, tmp_path):
    """A copy of a run, to be damaged."""
    return shutil.copytree(run, tmp_path / "run")


def files(store) -> set:
    return {path.name for path in (store / "weights").iterdir()}


def test_the_entry(run, published):
    (entry,) = open_store(published).entries
    recipe = json.loads((run / "config.json").read_text())
    assert (entry["name"], entry["dataset"], entry["version"]) == (NAME, "fashion_mnist", 1)
    assert entry["config"] == recipe.pop("model")
    assert recipe.pop("dataset") == entry["dataset"]
    assert entry["recipe"] == recipe
    assert entry["classes"] == list(fashion_mnist.CLASSES)
    assert entry["preprocess"] == {**fashion_mnist.PREPROCESS, "size": 28}
    assert entry["metrics"]["images"] == 10000
    assert files(published) == {entry["weights"]["file"], entry["history"]["file"]}
    history = (published / "weights" / entry["history"]["file"]).read_bytes()
    assert history == (run / "history.csv").read_bytes()


def test_multiply_adds_are_those_of_the_layers(published):
    (entry,) = open_store(published).entries
    net = zoo.get_model(NAME, True, repo=published)
    x = net.preprocess(np.zeros((1, 28, 28, 1), np.uint8))
    expected = 13 * 50 * 16 + 16 * 12 + 12 * 10  # the fully-connected layers
    for layer in net.features:
        x = layer(x)
        if isinstance(layer, ConvPReLU):
            expected += layer.weight.data().size * x.shape[2] * x.shape[3]
    assert entry["multiply_adds"] == expected


def test_the_measure_sees_what_training_saw():
    images, _ = fashion_mnist.load("test")
    prepared = get_dataset("fashion_mnist").preprocess(32)(images[:50, :, :, None])
    np.testing.assert_allclose(
        prepared.asnumpy(), fashion_mnist.to_input(images[:50], 32), rtol=1e-6, atol=1e-6
    )


def test_publishing_again_makes_a_version_and_changes_nothing(run, store, few_images):
    before = {name: (store / "weights" / name).read_bytes() for name in files(store)}
    (first,) = open_store(store).entries
    second = publish(run / "weights.params", NAME, "fashion_mnist", to=store, form="int8")
    assert open_store(store).entries == [first, second]
    assert second["version"] == 2
    assert second["weights"]["format"] == "int8"
    assert second["weights"]["bytes"] < first["weights"]["bytes"]
    for name, content in before.items():
        assert (store / "weights" / name).read_bytes() == content
    assert zoo.model_info(NAME, repo=store) == second
    assert zoo.model_info(NAME, "fashion_mnist@1", repo=store) == first


def test_other_activations_are_other_nets(make_run, store, tmp_path, few_images):
    entry = publish(make_run(tmp_path / "relu", activation="relu"), to=store)
    assert entry["version"] == 1
    net = zoo.get_model(NAME, pretrained=True, activation="relu", repo=store)
    assert net.config["activation"] == "relu"
    assert zoo.get_model(NAME, pretrained=True, repo=store).config["activation"] == "prelu"


@pytest.mark.parametrize("file", ["config.json", "weights.params", "history.csv"])
def test_an_unfinished_training_is_refused(broken_run, tmp_path, file):
    (broken_run / file).unlink()
    with pytest.raises(FileNotFoundError, match=f"has no {file}; give the folder of a finished"):
        publish(broken_run, to=tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", b"{", "is not the config.json of a training"),
        ("config.json", b"{}", "is not the config.json of a training"),
        ("config.json", b'{"model": {"name": "x"}, "dataset": "y"}', "is not the config.json of"),
        ("weights.params", b"no parameters", "is not a parameter file"),
    ],
)
def test_a_damaged_training_is_refused(broken_run, tmp_path, file, content, message):
    (broken_run / file).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        publish(broken_run, to=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_truncated_parameter_file_is_refused(broken_run, tmp_path):
    path = broken_run / "weights.params"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="is not a parameter file, or is damaged"):
        publish(broken_run, to=tmp_path / "new")


def test_another_name_or_dataset_is_refused(run, tmp_path, few_images):
    with pytest.raises(ValueError, match="a training of name 'deeprect_small14', not 'vgg19'"):
        publish(run, to=tmp_path, name="vgg19")
    with pytest.raises(ValueError, match="a training of dataset 'fashion_mnist', not 'imagenet'"):
        publish(run, to=tmp_path, dataset="imagenet")


def test_verify(store):
    assert verify(open_store(store), metrics=True) == {f"{TITLE}@1": None}
    (entry,) = open_store(store).entries
    path = store / "weights" / entry["history"]["file"]
    path.write_bytes(path.read_bytes() + b"\n")
    (problem,) = verify(open_store(store)).values()
    assert "is not the published file" in problem


def test_verify_notices_a_false_figure(store):
    path = store / "index.json"
    index = json.loads(path.read_text())
    index["entries"][0]["metrics"]["top1_error"] -= 0.01
    path.write_text(json.dumps(index))
    assert verify(open_store(store)) == {f"{TITLE}@1": None}
    (problem,) = verify(open_store(store), metrics=True).values()
    assert "published as" in problem


# Publish, and die before (b) or after (a) the nth file is moved to its place. 1 is the weights,
# 2 the history, 3 the index.
KILLED = """
import os, signal, sys
from pathlib import Path
from zoo.publishing.publish import publish

run, store, moment = sys.argv[1:]
moves = 0
move = os.replace

def replace(source, target):
    global moves
    moves += 1
    if moment == f"b{moves}":
        os.kill(os.getpid(), signal.SIGKILL)
    move(source, target)
    if moment == f"a{moves}":
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = replace
publish(run, to=store)
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["b2", "b3", "a3"])
def test_killed_while_publishing(run, store, few_images, moment):
    before = open_store(store).entries
    result = subprocess.run([sys.executable, "-c", KILLED, str(run), str(store), moment])
    assert result.returncode == -signal.SIGKILL
    versions = [entry["version"] for entry in open_store(store).entries]
    assert versions == ([1, 2] if moment == "a3" else [1])
    assert open_store(store).entries[:1] == before
    assert not any(verify(open_store(store)).values())
    publish(run, to=store)
    assert [e["version"] for e in open_store(store).entries] == [*versions, len(versions) + 1]
    assert not any(verify(open_store(store)).values())


def test_command_line(run, tmp_path, capsys, few_images):
    store = str(tmp_path / "store")
    main(["publish", str(run), "--name", NAME, "--dataset", "fashion_mnist", "--to", store])
    assert f"published {TITLE}@1: top-1 error" in capsys.readouterr().out
    main(["list", "--pretrained", "--repo", store])
    assert "fashion_mnist@1  prelu  top-1 error" in capsys.readouterr().out
    main(["info", NAME, "fashion_mnist", "--json", "--repo", store])
    assert json.loads(capsys.readouterr().out) == zoo.model_info(NAME, repo=store)
    main(["verify", "--repo", store])
    assert capsys.readouterr().out == f"{TITLE}@1: good\n"
    main(["cards", "--repo", store, "--out", str(tmp_path / "cards")])
    assert capsys.readouterr().out == f"{tmp_path / 'cards' / TITLE}.md\n"
    next((tmp_path / "store" / "weights").glob("*.safetensors")).write_bytes(b"")
    with pytest.raises(SystemExit) as stopped:
        main(["verify", "--repo", store])
    assert stopped.value.code == 1


def test_errors_on_the_command_line_are_one_sentence(tmp_path):
    with pytest.raises(SystemExit) as stopped:
        main(["info", "deeprect_smal14"])
    assert str(stopped.value.code).startswith("zoo: unknown model 'deeprect_smal14'; did you mean")
    with pytest.raises(SystemExit) as stopped:
        main(["publish", str(tmp_path), "--to", str(tmp_path / "store")])
    assert "has no config.json; give the folder of a finished training" in str(stopped.value.code)


def test_cards(store, tmp_path):
    from zoo.publishing.cards import write_cards

    (path,) = write_cards(open_store(store), tmp_path / "cards")
    (entry,) = open_store(store).entries
    text = path.read_text()
    assert path.name == f"{TITLE}.md"
    assert f"| top-1 error | {100 * entry['metrics']['top1_error']:.2f} % of 10,000" in text
    assert entry["weights"]["sha256"] in text
    assert entry["recipe"]["command"] in text
    picture = path.with_suffix(".png")
    assert f"]({picture.name})" in text
    assert picture.read_bytes().startswith(b"\x89PNG")

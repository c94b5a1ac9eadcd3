"""ImageNet's training command: from shards of a small set to published weights."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import zoo
from deeprect_gluon.data import prepare, small_imagenet
from deeprect_gluon.data.imagenet_sources import scan_classes
from deeprect_gluon.data.shard import Packing
from deeprect_gluon.train.history import History, Row, read
from zoo.publishing.datasets import dataset_of, get_dataset
from zoo.publishing.publish import publish

ROOT = Path(__file__).parents[2]
VAL_IMAGES = 3 * 5
NARROW = "--input-size 32 --pyramid 2 1 --width 0.0625 --hidden 8 --sides 32 48 --threads 1"
SHORT = "--batch-size 8 --epochs 2 --lr 0.001 --report-every 2 --checkpoint-every 2"


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    small_imagenet.write(folder / "images", classes=3, images=8, val_images=VAL_IMAGES // 3)
    classes = None
    for split in ("train", "val"):
        sources = scan_classes(folder / "images" / split)
        classes = classes or prepare.find_classes(sources)
        prepare.prepare(folder / "imagenet", split, sources, classes, Packing())
    return folder / "imagenet"


@pytest.fixture
def train(monkeypatch, run_script):
    """Return a function that trains in this process, and returns what the script prints."""
    monkeypatch.delenv("DEEPRECT_DATA", raising=False)

    def run(*arguments):
        done = run_script("train_imagenet.py", *arguments)
        if done.returncode:
            raise SystemExit(done.stderr.splitlines()[-1])
        return done.stdout

    return run


def test_from_shards_to_published_weights(shards, train, tmp_path):
    run = tmp_path / "run"
    said = train("--data", shards, "--output", run, *NARROW.split(), *SHORT.split())
    rows = read(run / "history.csv")
    assert [row.step for row in rows] == [2, 3, 4, 6]
    assert said.splitlines()[-2].startswith("best (*): ")
    config = json.loads((run / "config.json").read_text())
    assert (config["dataset"], config["fan"], config["workers"]) == ("imagenet", "out", 1)
    assert config["data"] == {"folder": str(shards), "sides": [32, 48], "colour": 0.1}
    assert (config["train"]["plateau"], config["train"]["epochs"]) == (4, 2)
    assert config["model"]["classes"] == 3

    entry = publish(run, to=tmp_path / "store", form="float32")
    assert entry["metrics"]["images"] == VAL_IMAGES
    assert entry["metrics"]["top1_error"] == rows[-1].val_error
    assert entry["preprocess"]["resize"] == round(32 * 256 / 224)
    net = zoo.get_model("deeprect_a", pretrained="imagenet", repo=tmp_path / "store")
    assert net.classes == tuple(small_imagenet.class_id(label) for label in range(3))
    dataset = get_dataset("imagenet", shards)
    images = dataset.training_images()[:2]
    whole = dataset.preprocess(32)(images[0])
    assert (net.preprocess(images[0]).asnumpy() == whole.asnumpy()).all()
    assert np.isfinite(net(whole).asnumpy()).all()


def test_shards_that_have_moved_are_found(shards, monkeypatch):
    config = {"dataset": "imagenet", "data": {"folder": "/no/longer/here"}}
    monkeypatch.delenv("DEEPRECT_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="no folder of ImageNet's shards is given"):
        dataset_of(config)
    monkeypatch.setenv("DEEPRECT_DATA", str(shards.parent))
    assert dataset_of(config).folder == shards
    config["data"]["folder"] = str(shards)
    monkeypatch.delenv("DEEPRECT_DATA")
    assert dataset_of(config).folder == shards


def test_a_finished_training_is_not_begun_again_by_accident(shards, train, tmp_path):
    command = ["--data", shards, "--output", tmp_path, *NARROW.split(), *SHORT.split()]
    train(*command, "--max-steps", "3")
    with pytest.raises(SystemExit, match="holds checkpoints of an earlier training; continue it"):
        train(*command)
    train(*command, "--resume", "auto")
    with (tmp_path / "history.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2", "3", "4", "6"]
    weights = (tmp_path / "weights.params").read_bytes()
    train(*command, "--resume", "auto")
    assert (tmp_path / "weights.params").read_bytes() == weights


def test_a_training_continues_on_moved_data_but_not_on_others_or_with_other_settings(
    shards, train, tmp_path
):
    command = ["--output", tmp_path / "run", *NARROW.split(), *SHORT.split(), "--resume", "auto"]
    train("--data", shards, *command, "--max-steps", "2")
    for flags, words in (
        (["--colour", "0.3"], "made with colour=0.1, not 0.3"),
        (["--sides", "32", "40"], r"made with sides=\[32, 48\], not \[32, 40\]"),
        (["--dropout", "0.2"], "made with dropout=0.5, not 0.2"),
    ):
        with pytest.raises(SystemExit, match=words):
            train("--data", shards, *command, *flags)
    moved = shutil.copytree(shards, tmp_path / "moved")
    train("--data", moved, *command, "--max-steps", "3")
    metadata = json.loads((moved / "train.json").read_text())
    (moved / "train.json").write_text(json.dumps({**metadata, "packing": "another"}))
    with pytest.raises(SystemExit, match="made with train_records=[0-9a-f]{64}, not [0-9a-f]{64}$"):
        train("--data", moved, *command)


def test_a_dry_run_says_what_would_be_and_leaves_nothing(shards, train, tmp_path):
    said = train(
        "--data", shards, "--output", tmp_path / "run", "--dry-run", "--batch-size", "8",
        "--epochs", "30", "--lr-drops", "10", "20", "--warmup-epochs", "2",
        "--early-stop", "--activation", "relu",
    )  # fmt: skip
    assert f"on {shards}: 24 training and {VAL_IMAGES} validation images of 3 classes" in said
    # Model A's parameters but for the classifier of a thousand classes, which is one of three.
    assert f"{178_017_384 - 997 * 4097:,}" in said
    assert "steps in all                       90" in said
    rates = [line.split() for line in said.splitlines() if " to " in line]
    assert ["0", "to", "0", "0.00166667", "to", "0.005"] in rates
    assert ["10", "to", "19", "0.001"] in rates
    assert "and stop at the next" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dry-run"], "no folder of ImageNet's shards is given"),
        (["--data", "nowhere"], "train.json is missing"),
        (["--config", "nowhere.yaml"], "No such file or directory: 'nowhere.yaml'"),
        (["--amp", "float16", "--data", "SHARDS", *NARROW.split(), *SHORT.split()],
         "amp=float16 cannot train on cpu"),
        (["--data", "SHARDS", "--batch-size", "0"], "batch_size=0 must be greater"),
        (["--data", "SHARDS", *NARROW.split(), "--batch-size", "8", "--resume", "auto",
          "--checkpoint-every", "0"], "to resume there must be checkpoints"),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence(shards, train, tmp_path, arguments, words):
    given = [str(shards) if word == "SHARDS" else word for word in arguments]
    with pytest.raises(SystemExit) as caught:
        train("--output", tmp_path / "run", *given)
    assert str(caught.value).startswith("train_imagenet.py: ")
    assert words in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_histories_are_drawn(tmp_path, run_script):
    for name, error in (("one", 0.5), ("two", 0.25)):
        (tmp_path / name).mkdir()
        history = History(tmp_path / name)
        history.add(Row(2, 0.5, 0.1, 2.5, 0.75, 10.0))
        history.add(Row(4, 1.0, 0.1, 1.5, 0.5, 10.0, 1.25, error))
        history.close()
    picture = tmp_path / "both.png"
    runs = [tmp_path / name for name in ("one", "two")]
    said = run_script("plot_history.py", *runs, "--output", picture).stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "two: 4 steps, loss 1.5000, best validation error 25.00%" in said

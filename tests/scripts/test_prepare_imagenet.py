"""The scripts from making a small set of archives to shards, and what they say when they fail."""

import subprocess
import sys
from pathlib import Path

from deeprect_gluon.data.records import Shards

SCRIPTS = Path(__file__).parents[2] / "scripts"


def run(name, *args):
    return subprocess.run(
        [sys.executable, str(SCRIPTS / name), *map(str, args)], capture_output=True, text=True
    )


def test_from_archives_to_verified_shards(tmp_path, run_script):
    small, output = tmp_path / "small", tmp_path / "records"
    done = run_script(
        *("make_small_imagenet.py", "--output", small),
        *("--classes", 3, "--images", 4, "--val-images", 2, "--tars"),
    )
    assert done.returncode == 0, done.stderr
    archive = small / "ILSVRC2012_img_train.tar"
    splits = [
        *("--train", archive, "--val", small / "ILSVRC2012_img_val.tar"),
        *("--val-labels", small / "ILSVRC2012_devkit_t12.tar.gz"),
    ]
    done = run("prepare_imagenet.py", "--output", output, *splits, "--verify")
    assert done.returncode == 0, done.stderr
    assert "train: 12 images of 3 classes in 1 shards" in done.stdout
    assert "val: 6 images, all bytes right" in done.stdout
    assert len(Shards(output, "val")) == 6

    archive.write_bytes(archive.read_bytes()[:100_000])
    done = run_script("prepare_imagenet.py", "--output", output, "--train", archive)
    assert done.returncode == 1
    assert done.stderr.startswith(f"prepare_imagenet.py: {archive} is truncated or no uncompressed")
    assert len(done.stderr.splitlines()) == 1

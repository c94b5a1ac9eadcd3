"""Make a small set of archives, pack it into shards, and pack a truncated archive."""

import subprocess
import sys
from pathlib import Path

from deeprect_gluon.data.records import Shards

SCRIPTS = Path(__file__).parents[2] / "scripts"


def test_from_archives_to_verified_shards(tmp_path, run_script):
    small, output = tmp_path / "small", tmp_path / "records"
    done = run_script(
        *("make_small_imagenet.py", "--output", small),
        *("--classes", 3, "--images", 4, "--val-images", 2, "--tars"),
    )
    assert done.returncode == 0, done.stderr
    archive = small / "ILSVRC2012_img_train.tar"
    command = [
        *(sys.executable, SCRIPTS / "prepare_imagenet.py", "--output", output, "--verify"),
        *("--train", archive, "--val", small / "ILSVRC2012_img_val.tar"),
        *("--val-labels", small / "ILSVRC2012_devkit_t12.tar.gz"),
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "train: 12 images of 3 classes in 1 shards" in done.stdout
    assert "val: 6 images, all bytes right" in done.stdout
    assert len(Shards(output, "val")) == 6

    archive.write_bytes(archive.read_bytes()[:100_000])
    done = run_script("prepare_imagenet.py", "--output", output, "--train", archive)
    assert done.returncode == 1
    assert done.stderr.startswith(f"prepare_imagenet.py: {archive} is truncated or no uncompressed")
    assert len(done.stderr.splitlines()) == 1

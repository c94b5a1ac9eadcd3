"""The figure of the architectures, and the documentation's table."""

import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]


def test_draws_the_figure_and_prints_the_documented_table(tmp_path):
    path = tmp_path / "models.png"
    command = [sys.executable, str(ROOT / "scripts" / "draw_models.py"), "--output", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() in (ROOT / "docs" / "models.md").read_text()
    with Image.open(path) as figure:
        assert figure.width > 1000
        assert len(figure.convert("RGB").getcolors(1 << 20)) > 10

"""What `import zoo` and loading a net import, in a fresh interpreter."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

IMPORT = "import zoo"
LOAD = IMPORT + '; net = zoo.get_model("deeprect_small14", pretrained=True, activation="relu")'
CARD = LOAD + '; assert net.card.startswith("# deeprect_small14, relu")'
PRINT = "; import json, sys; print(json.dumps(sorted(sys.modules)))"

TRAINING = ("deeprect_gluon.train", "tensorboard", "tensorboardX", "matplotlib")
CARDS = "zoo.publishing.cards"


def imported(program: str, names: tuple) -> list:
    """Return which of these modules and their submodules a program imports."""
    command = [sys.executable, "-W", "ignore", "-c", program + PRINT]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    modules = json.loads(done.stdout.splitlines()[-1])
    return [m for m in modules if any(m == name or m.startswith(f"{name}.") for name in names)]


def test_import_needs_no_training_card_or_schema():
    assert imported(IMPORT, (*TRAINING, "jsonschema", "zoo.publishing")) == []


def test_a_loaded_net_needs_no_training_and_no_card():
    assert imported(LOAD, (*TRAINING, "zoo.publishing")) == []


def test_a_card_is_imported_when_it_is_asked_for_and_needs_no_training():
    assert imported(CARD, (*TRAINING, CARDS)) == [CARDS]


def test_the_list_on_the_command_line_needs_no_training():
    program = 'from zoo.__main__ import main; main(["list", "vgg*"])'
    assert imported(program, (*TRAINING, "zoo.publishing")) == []

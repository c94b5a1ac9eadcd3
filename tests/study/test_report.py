"""The report of a small claim: written from rows, and at odds with anything else."""

import json

import pytest
from PIL import Image

from study.claim import Claim, Finding, runs
from study.figures import Figure, Panel, Series
from study.report import Report
from study.rows import add_row, rows_path


def findings(results):
    error = results.mean("a", "error")
    return [Finding("a is small", "0.5", f"{error:.2f}", "reproduced")]


def figures(results):
    panel = Panel("a", "step", "error", [Series.of("a", [1, 2], results.means("a", "curve"))])
    return [Figure("toy", "Errors of a.", [panel])]


TOY = Claim(
    "toy",
    "The toy.\n\nIt plays.",
    findings,
    lambda quick: {"a": {"x": 1}},
    measure=lambda config, seed: {},
    seeds=3,
    figures=figures,
)


@pytest.fixture
def folder(tmp_path):
    for run in runs(TOY, quick=False):
        row = {"case": run.case, "seed": run.seed, "config": run.config, "commit": "abc"}
        row.update(seconds=1.0, threads=1, isa="avx2")
        row["result"] = {"error": run.seed / 10, "curve": [run.seed, 2.0 * run.seed]}
        add_row(rows_path(tmp_path, "toy"), row)
    Report([TOY], tmp_path).write()
    return tmp_path


def change_row(folder, value):
    path = rows_path(folder, "toy")
    first, *others = path.read_text().splitlines()
    row = json.loads(first)
    row["result"].update(value)
    path.write_text("\n".join([json.dumps(row), *others]) + "\n")


def test_what_was_written_is_what_the_rows_give(folder):
    assert Report([TOY], folder).problems() == []
    text = (folder / "reproduction.md").read_text()
    assert "| a is small | 0.5 | 0.10 [-0.15, 0.35] | reproduced |" in text
    assert "## The toy\n\nIt plays.\n" in text
    assert "3 runs" in text
    assert "commits abc" in text
    with Image.open(folder / "images" / "reproduction" / "toy.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 20)) > 10


def test_a_changed_number_in_the_text_is_found(folder):
    path = folder / "reproduction.md"
    path.write_text(path.read_text().replace("0.10 [", "0.01 ["))
    (problem,) = Report([TOY], folder).problems()
    assert problem.endswith("reproduction.md is not what its rows give")


def test_a_changed_row_is_found_in_text_and_figure(folder):
    change_row(folder, {"error": 0.5})
    assert [p.split()[0].rsplit("/")[-1] for p in Report([TOY], folder).problems()] == [
        "reproduction.md"
    ]
    change_row(folder, {"error": 0.0, "curve": [0.1, 0]})
    (problem,) = Report([TOY], folder).problems()
    assert problem.endswith("toy.png does not show what its rows give")


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_a_missing_or_foreign_figure_is_found(folder, content):
    path = folder / "images" / "reproduction" / "toy.png"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    (problem,) = Report([TOY], folder).problems()
    assert problem.endswith("toy.png does not show what its rows give")


def test_rows_of_no_declared_run_are_refused(folder):
    add_row(
        rows_path(folder, "toy"),
        {"case": "b", "seed": 0, "config": {}, "result": {}},
    )
    with pytest.raises(ValueError, match=r"toy\.jsonl: the row of 'b', seed 0, is of no run"):
        Report([TOY], folder)


def test_a_claim_with_a_single_seed_is_not_reported(folder):
    path = rows_path(folder, "toy")
    path.write_text(path.read_text().splitlines()[0] + "\n")
    assert "| The toy |  |  | not run yet |" in Report([TOY], folder).text

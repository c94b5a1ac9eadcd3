"""The file of finished runs: whole, ordered, and one row for each run."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from study.rows import add_row, read_rows


def row(case, seed, value=0.0):
    return {"case": case, "seed": seed, "config": {}, "result": {"value": value}}


def test_content_does_not_depend_on_the_order_or_the_number_of_writers(tmp_path):
    rows = [row(case, seed, seed / 3) for case in "cab" for seed in range(7)]
    one, many = tmp_path / "one.jsonl", tmp_path / "many.jsonl"
    for r in rows:
        add_row(one, r)
    shuffled = np.random.default_rng(0).permutation(len(rows))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: add_row(many, rows[i]), shuffled))
    assert one.read_bytes() == many.read_bytes()
    assert sorted(read_rows(one), key=str) == sorted(rows, key=str)
    assert {p.name for p in tmp_path.iterdir()} <= {"one.jsonl", "many.jsonl", ".lock"}


def test_a_run_done_again_replaces_its_row(tmp_path):
    path = tmp_path / "results" / "toy.jsonl"
    for value in (1.0, 2.0):
        add_row(path, row("a", 0, value))
    assert read_rows(path) == [row("a", 0, 2.0)]


def test_there_are_no_rows_before_the_first(tmp_path):
    assert read_rows(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("line", ['{"case": "a", "se', "[]", '{"case": "a", "seed": 0}'])
def test_a_damaged_line_is_named(tmp_path, line):
    path = tmp_path / "toy.jsonl"
    path.write_text(json.dumps(row("a", 0)) + "\n" + line + "\n")
    with pytest.raises(ValueError, match=r"line 2 of .*toy\.jsonl is not a finished run"):
        read_rows(path)


def test_a_row_that_is_no_json_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "toy.jsonl"
    add_row(path, row("a", 0))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        add_row(path, row("a", 1, float("nan")))
    assert path.read_bytes() == before

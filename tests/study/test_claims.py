"""The study's claims: a report from made-up rows, the committed report, and one real training."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from deeprect_gluon.models import model_names, summary
from study import training
from study.claim import runs
from study.claims import (
    CLAIMS,
    first_layer,
    initialisation,
    slopes,
    variance,
    views,
    width_depth,
)
from study.report import Report
from study.rows import add_row, rows_path

ROOT = Path(__file__).parents[2]


def made_up(run, rng):
    """Return a result of the form that the claim's `measure` gives."""
    if run.claim.name == "variance":
        layers = [f"conv3_{i}" for i in range(1, 4)]
        keys = ("forward", "forward_expected", "backward", "backward_expected")
        return {
            "layers": layers,
            "attenuation": 17_000 + rng.random(),
            **{key: rng.uniform(1, 2, 3).tolist() for key in keys},
        }
    if run.claim.name == "first_layer":
        by_map = {str(m): 1 + rng.random() for m in (224, 112, 56, 28)}
        return {kind: {"A / VGG-19": 0.9, "by map": by_map} for kind in ("direct", "Winograd")}
    if run.claim.name == "views":
        views = ["one crop", "10 views", "dense, 32", "dense, 48", "dense, 60", "dense, all scales"]
        return {"errors": {view: rng.random() for view in views}, "train_loss": 1.0}
    points, layers = 5, 13
    return {
        "test_error": rng.random(),
        "test_loss": rng.random(),
        "train_loss": rng.random(),
        "mean_loss": rng.random(),
        "diverged": False,
        "curve": {
            "step": [10 * (i + 1) for i in range(points)],
            "train_loss": rng.random(points).tolist(),
            "slopes": rng.random((points, layers)).tolist(),
        },
    }


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder with made-up rows of every run, and the results by claim, case and seed."""
    folder, rng, results = tmp_path_factory.mktemp("study"), np.random.default_rng(0), {}
    for claim in CLAIMS:
        for run in runs(claim, quick=True):
            row = {"case": run.case, "seed": run.seed, "config": run.config, "commit": "abc"}
            row.update(seconds=1.0, threads=1, isa="avx2", result=made_up(run, rng))
            add_row(rows_path(folder, claim.name), row)
            results[claim.name, run.case, run.seed] = row["result"]
    return folder, results


def test_every_claim_is_reported_from_its_rows(study):
    folder, results = study
    Report(CLAIMS, folder, quick=True).write()
    report = Report(CLAIMS, folder, quick=True)
    assert report.problems() == []
    assert "not run yet" not in report.text
    for claim in CLAIMS:
        assert f"## {claim.title}" in report.text
    errors = {
        case: [100 * results["rectifiers", f"wider: {case}", seed]["test_error"] for seed in (0, 1)]
        for case in ("relu", "prelu")
    }
    test = stats.ttest_rel(errors["prelu"], errors["relu"])
    low, high = test.confidence_interval(0.95)
    mean = np.mean(errors["prelu"]) - np.mean(errors["relu"])
    assert f"| {mean:+.2f} [{low:+.2f}, {high:+.2f}] points |" in report.text


def test_the_paper_s_table_1_has_the_trend_that_the_report_looks_for():
    for column in slopes.PAPER.values():
        assert len(column) == len(slopes.LAYERS) == 13
        assert slopes.lead(column) > 0.3
        assert slopes.trend(column) < -0.5


def test_the_committed_report_is_what_the_committed_rows_give():
    assert Report(CLAIMS, ROOT / "docs").problems() == []


def test_equal_layers_of_the_timings_are_equal_and_in_the_nets():
    operations = {f * c * m * m for m, (c, f) in first_layer.EQUAL.items()}
    assert len(operations) == 1
    shapes = set(first_layer.layers("vgg19", 224)) | set(first_layer.layers("deeprect_a", 224))
    assert {(c, f, 3, 1, m) for m, (c, f) in first_layer.EQUAL.items()} <= shapes
    assert (3, 96, 7, 2, 224) in shapes


def test_the_study_s_own_nets_have_their_layers_and_are_in_no_table():
    found = {name: width_depth.build_net(name) for name in width_depth.DEEPER}
    found["vgg_b"] = variance.build_vgg_b(64)
    layers = {
        name: sum(layer.name.startswith("conv") for layer in summary(net).layers)
        for name, net in found.items()
    }
    # The 25 and 31 layers include three fully-connected ones.
    assert layers == {"deeprect_b25": 22, "deeprect_b31": 28, "vgg_b": 10}
    assert not set(found) & set(model_names())


def test_scale_jitter_keeps_range_and_shape():
    rng = np.random.default_rng(0)
    images = rng.standard_normal((6, 1, 28, 28)).astype(np.float32)
    before = images.copy()
    found = views.scale_jitter(images, rng)
    assert found.shape == images.shape
    assert images.min() <= found.min() < found.max() <= images.max()
    np.testing.assert_array_equal(images, before)
    constant = views.scale_jitter(np.full((2, 1, 28, 28), 0.5, np.float32), rng)
    np.testing.assert_allclose(constant, 0.5, rtol=1e-6)


def test_published_scale_keeps_the_gains_of_the_published_layers():
    net = training.build("relu", name="deeprect_b", width=0.125, hidden=(256, 256))
    initialisation.initialize_as_published(net, "msra", "in", seed=0)
    for layer, (std, fan_in) in initialisation.PUBLISHED.items():
        (weight,) = net.collect_params(f".*{layer}_weight").values()
        gain = weight.shape[1] * float((weight.data() ** 2).mean().asscalar())
        assert gain == pytest.approx(fan_in * std**2, rel=0.1)


@pytest.mark.slow
def test_a_leaky_net_trains_and_its_slopes_stay():
    net = training.build("leaky_relu", name="deeprect_small14", width=0.04, hidden=(8,))
    training.initialize(net, 0.1, "in", seed=0)
    weight = net.output.weight.data().asnumpy()
    assert weight.std() == pytest.approx(0.1, rel=0.3)
    result = training.train(net, {"epochs": 1, "max_steps": 2, "report_every": 1}, seed=0)
    assert not result["diverged"]
    assert result["curve"]["step"] == [1, 2]
    np.testing.assert_allclose(result["curve"]["slopes"], training.LEAKY_SLOPE, rtol=1e-3)
    assert abs(net.output.weight.data().asnumpy() - weight).max() > 0
    assert 0 < result["test_error"] < 1
    assert result["mean_loss"] == pytest.approx(np.mean(result["curve"]["train_loss"]), rel=1e-4)


def test_an_infinite_loss_is_a_result():
    net = training.build("prelu", name="deeprect_small14", width=0.04, hidden=(8,))
    training.initialize(net, "msra", "in", seed=0)
    config = {"epochs": 1, "max_steps": 8, "report_every": 8, "lr": 1e8}
    result = training.train(net, config, seed=0)
    assert result["diverged"]
    assert result["test_error"] == pytest.approx(0.9)
    assert result["train_loss"] == pytest.approx(np.log(10))

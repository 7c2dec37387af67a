"""Scaling laws: known constants come back, published arithmetic is reproduced."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rr_scale.analysis.read import read_curves
from rr_scale.analysis.scaling import fit, to_json
from rr_scale.analysis.scaling_choice import best_values
from rr_scale.analysis.scaling_laws import (
    Compute,
    DataLaw,
    PowerLaw,
    cheapest,
    fit_data_law,
    fit_line,
    fit_power_law,
    neighbours,
    rounded_batch,
)
from rr_scale.analysis.scaling_times import (
    Setting,
    Times,
    crossings,
    default_thresholds,
    measure,
    recovered,
)
from rr_scale.errors import UserError
from scaling_runs import BATCH_TRUTH, write_scaling_runs

# Constants that the authors print (Rybkin et al. 2025): (a, b, c) for the first and the last of ten
# thresholds, dm_control with BRO and Gymnasium with SAC.
DMC = {"first": (0.8761, 0.3167, 0.2156), "last": (1.0896, 0.5739, 1.1001)}
GYM = {"first": (0.7572, 0.1182, 0.3192), "last": (0.7004, 2.2895, 1.0308)}
DMC_BATCH = PowerLaw(
    -0.4879, {"cheetah-run": 584, "cartpole": 527, "dog-stand": 125, "humanoid-stand": 442}
)
GYM_BATCH = PowerLaw(-0.3096, {"HalfCheetah": 412, "Ant": 415, "Humanoid": 313, "Walker2d": 322})


def published_optima(constants, unit, parameters, batch, delta):
    grid = np.geomspace(1e-2, 1e2, 4001)
    compute = Compute(parameters, batch, delta)
    laws = [DataLaw(*constants[name], unit) for name in ("first", "last")]
    return [cheapest(law, compute, grid) for law in laws]


def test_published_batch_sizes_and_learning_rates_follow_the_printed_slopes():
    rate = PowerLaw(-0.3203, {"cheetah-run": 6.88e-4})
    assert DMC_BATCH(16, "cheetah-run") == pytest.approx(151, abs=0.5)
    assert rate(16, "cheetah-run") == pytest.approx(2.83e-4, abs=5e-7)
    assert GYM_BATCH(16, "HalfCheetah") == pytest.approx(174, abs=1)
    assert PowerLaw(-0.2849, {"": 1.87e-3})(16) == pytest.approx(8.49e-4, abs=2e-6)
    assert [rounded_batch(size) for size in (584, 151, 3, 600, 616)] == [576, 144, 16, 608, 608]
    assert neighbours(512) == pytest.approx((362.04, 724.08), abs=0.01)


def test_the_published_data_law_is_not_the_printed_one():
    law = DataLaw(*DMC["last"], 7.98e4)
    assert law(0.5739) == pytest.approx(7.98e4 * 2.1001)
    assert law(1e9) == pytest.approx(7.98e4 * 1.1001, rel=1e-6)


def test_best_ratios_fall_with_the_budget_on_dmc_and_rise_on_gym_as_published():
    # Printed, from eight of ten thresholds: exponents -0.74 and 0.62. Of the first and the last
    # threshold alone the constants are printed too.
    dmc = published_optima(DMC, 7.98e4, 4.92e6, DMC_BATCH, 1e10)
    line = fit_line([best.budget for best in dmc], [best.sigma for best in dmc])
    assert line.slope == pytest.approx(-0.74, abs=0.05)
    assert line(dmc[0].budget) == pytest.approx(3.01e11 * dmc[0].budget ** -0.74, rel=0.25)
    gym = published_optima(GYM, 2.17e5, 1.5e5, GYM_BATCH, 4e9)
    assert fit_line(
        [best.budget for best in gym], [best.sigma for best in gym]
    ).slope == pytest.approx(0.62, abs=0.15)


def test_compute_counts_ten_flops_per_parameter_and_sample():
    compute = Compute(1e6, lambda sigma: 256 / sigma, delta=5.0)
    flops = compute.flops(np.array([1.0, 4.0]), np.array([1e5, 5e4]))
    assert flops.tolist() == [10 * 1e5 * 256 * 1e6, 10 * 4 * 5e4 * 64 * 1e6]
    flat = DataLaw(1.0, 1.0, 0.0, 1e5)  # D = 1e5 / sigma, so C is least at small B, F likewise
    best = cheapest(flat, compute, np.array([1.0, 2.0, 4.0]))
    assert (best.sigma, best.budget) == (4.0, best.flops + 5.0 * 25_000)


@pytest.mark.parametrize("constants", [*DMC.values(), *GYM.values()])
def test_the_data_law_comes_back_from_its_values(constants):
    ratios = np.array([1, 2, 4, 8])
    law = fit_data_law(ratios, DataLaw(*constants, 1.0)(ratios), unit=7.0)
    assert law == pytest.approx((*constants, 7.0), rel=1e-4)
    assert law.determined


def test_the_data_law_comes_back_from_noisy_values():
    ratios, rng = np.geomspace(0.25, 16, 7), np.random.default_rng(0)
    truth = DataLaw(*DMC["last"], 1.0)
    laws = [
        fit_data_law(ratios, truth(ratios) * np.exp(0.02 * rng.normal(size=7))) for _ in range(20)
    ]
    np.testing.assert_allclose(np.median(laws, axis=0)[:3], truth[:3], rtol=0.06)


def test_a_law_that_the_data_do_not_determine_is_listed():
    steps = {1: 10, 2: 9, 4: 8}  # a straight line over log2: no floor in sight
    found = fit([times_of("a", ratio, 64, 1e-3, value) for ratio, value in steps.items()])
    assert not found.data[0].determined
    assert [problem.kind for problem in found.problems] == ["undetermined"]


def test_no_law_is_fitted_to_fewer_than_three_ratios():
    with pytest.raises(UserError, match="needs three of them; 2 reach"):
        fit_data_law([1, 2, 4], [1.0, 2.0, np.nan])
    with pytest.raises(UserError, match="at least two of them"):
        fit_power_law({"a": [(1, 2.0)], "b": [(2, 3.0)]})


def test_a_shared_slope_has_an_intercept_per_task():
    truth = PowerLaw(-0.4, {"a": 500.0, "b": 100.0})
    points = {
        "a": [(s, truth(s, "a")) for s in (1, 2, 8)],
        "b": [(s, truth(s, "b")) for s in (2, 4)],
    }
    law = fit_power_law(points)
    assert law.slope == pytest.approx(-0.4)
    assert law.at_one == pytest.approx(dict(truth.at_one))
    assert law(1) == pytest.approx(300)
    with pytest.raises(UserError, match="no fit for task 'c'; there is one for a, b"):
        law(1, "c")


def test_crossings_are_those_of_the_monotone_mean():
    steps = np.array([10, 20, 30, 40, 50])
    returns = np.array([0.0, 300.0, 100.0, 250.0, 400.0])  # monotone: 0, 200, 200, 250, 400
    found = crossings(steps, returns, np.array([0.0, 200.0, 240.0, 300.0, 500.0]))
    np.testing.assert_array_equal(found, [10, 20, 40, 50, np.nan])


def test_dips_after_resets_are_left_out_until_the_level_before_is_back():
    steps = np.arange(10, 100, 10)
    mean = np.array([1, 2, 3, 0, 2, 4, 5, 1, 2])
    kept = recovered(steps, mean, [30, 75])
    assert steps[kept].tolist() == [10, 20, 30, 60, 70]
    assert recovered(steps, mean, []).all()


def test_thresholds_are_denser_towards_the_top():
    found = default_thresholds()
    assert (len(found), found[0], found[-1]) == (10, pytest.approx(200), pytest.approx(800))
    assert (np.diff(found, 2) < 0).all()


def times_of(task, ratio, batch, rate, steps):
    steps = np.atleast_1d(np.asarray(steps, dtype=float))
    return Times(
        Setting(task, ratio, batch, rate), np.array([800.0]), steps, np.tile(steps, (5, 1)), 3
    )


def test_best_values_skip_what_never_arrives():
    nan = np.nan
    grid = {(64, 1e-4): 50, (64, 1e-3): 40, (128, 1e-4): nan, (128, 1e-3): nan, (256, 1e-4): 9}
    measured = [times_of("a", 1.0, *key, value) for key, value in grid.items()]
    # Batch 128 reaches nothing at any rate; batch 256 has one rate only: no choice.
    assert best_values(measured, lambda s: s.rate) == {"a": [(1.0, 1e-3)]}
    assert best_values(measured, lambda s: s.batch) == {"a": [(1.0, (256 + 64) / 2)]}


def test_the_workflow_recovers_known_laws_from_runs(tmp_path):
    truth = write_scaling_runs(tmp_path)
    curves = read_curves([tmp_path])
    measured = measure(
        curves, np.array([300.0, 400.0, 500.0, 600.0]), metric="avg_return", resamples=20
    )
    assert len(measured) == 2 * 4 * 4
    assert measured[0].setting == Setting("cheetah-run", 1.0, 64, 3e-4)
    found = fit(measured, parameters=1e6, delta=1e9, held_out_thresholds=1)
    assert found.batch.slope == pytest.approx(-0.5, abs=0.12)
    assert found.batch(2, "walker-run") == pytest.approx(BATCH_TRUTH(2, "walker-run"), rel=0.25)
    assert found.rate is None
    # The best batch at each ratio leaves the data law; the threshold of 500 is its time.
    np.testing.assert_allclose(found.data[2](found.ratios), truth(found.ratios), rtol=0.1)
    assert found.exponents[0] < truth.exponent < found.exponents[1]
    ahead = [item for item in found.held_out if item.what.startswith("env steps")]
    assert len(ahead) == 4
    assert all(item.error < 0.25 for item in ahead)
    assert all(best.budget == pytest.approx(best.flops + 1e9 * best.steps) for best in found.optima)
    expected = cheapest(truth, Compute(1e6, BATCH_TRUTH, 1e9), np.geomspace(0.25, 32, 2001))
    np.testing.assert_allclose([best.sigma for best in found.optima], expected.sigma, rtol=0.35)
    assert found.best_ratio is not None
    assert json.loads(json.dumps(to_json(found)))["batch"]["slope"] == found.batch.slope


def test_the_baseline_setting_is_used_at_every_ratio():
    steps = {
        (1.0, 64): 10,
        (1.0, 128): 20,
        (2.0, 64): 9,
        (2.0, 128): 5,
        (4.0, 64): 8,
        (4.0, 128): 4,
    }
    measured = [times_of("a", ratio, batch, 1e-3, value) for (ratio, batch), value in steps.items()]
    best = [times.steps[0] for times in fit(measured).chosen]
    assert best == [10, 5, 4]
    assert [times.steps[0] for times in fit(measured, baseline=1.0).chosen] == [10, 9, 8]
    assert [times.steps[0] for times in fit(measured, baseline=4.0).chosen] == [20, 5, 4]


def test_what_was_not_reached_is_listed_and_too_little_is_refused():
    nan = np.nan
    measured = [
        times_of("a", ratio, 64, 1e-3, value) for ratio, value in ((1, nan), (2, 9), (4, 8))
    ]
    found = fit(measured, parameters=1.0)
    assert found.data == (None,)
    assert "a at replay ratio 1 does not reach 800 and above" in found.problems[0].text
    with pytest.raises(UserError, match="at least three replay ratios, found 2, 4"):
        fit(measured[1:])
    with pytest.raises(UserError, match="no threshold is ever reached on a"):
        fit([times_of("a", ratio, 64, 1e-3, nan) for ratio in (1, 2, 4)])

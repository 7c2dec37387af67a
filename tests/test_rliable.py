"""Our statistics beside those of rliable: equal without resampling, within its noise with it.

`RR_PUBLISHED=FOLDER python -m pytest -m published -s tests/test_rliable.py` does the same with
published tables and prints both columns; what it printed once is in `results/rliable/`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import rliable.library
import rliable.metrics

from result_files import random_scores
from rr_scale.analysis import statistics
from rr_scale.analysis.read import read_curves
from rr_scale.analysis.scores import common_tasks, last_shared, tabulate

# Two quantiles of bootstraps differ by their own noise. For r resamples of a normal statistic its
# standard deviation is sqrt(0.025 x 0.975 / r) / 0.058 of the statistic's: with r = 2000 that is
# 0.06, or 0.015 of an interval 3.9 standard deviations wide. Five of those.
NOISE_AT_2000 = 5 * 0.015
THRESHOLDS = np.linspace(0, 1, 6)


class Both(NamedTuple):
    """One number of ours beside rliable's, with intervals."""

    name: str
    ours: statistics.Estimate
    theirs: statistics.Estimate
    reps: int  # of rliable

    def check(self) -> None:
        np.testing.assert_allclose(self.ours.value, self.theirs.value, rtol=0, atol=1e-12)
        allowed = NOISE_AT_2000 * np.sqrt(2000 / self.reps)
        width = np.maximum(self.ours.high - self.ours.low, 1e-9)
        for end in ("low", "high"):
            apart = np.abs(getattr(self.ours, end) - getattr(self.theirs, end)) / width
            # A profile moves in steps of one run: one step is no disagreement.
            step = 0.5 if self.name.endswith("profile") else 0.0
            assert (apart <= allowed + step).all(), f"{self.name}: {end} is {apart} widths apart"


def compare(scores: dict[str, np.ndarray], reps: int) -> Iterator[Both]:
    """All statistics of experiments, name -> scores [runs, tasks], by both libraries."""
    np.random.seed(0)  # noqa: NPY002 - rliable draws from the global generator
    aggregates = rliable.metrics
    names = {
        "mean": aggregates.aggregate_mean,
        "median": aggregates.aggregate_median,
        "iqm": aggregates.aggregate_iqm,
        "optimality_gap": aggregates.aggregate_optimality_gap,
    }
    points, intervals = rliable.library.get_interval_estimates(
        scores, lambda x: np.array([function(x) for function in names.values()]), reps=reps
    )
    for exp_name, matrix in scores.items():
        ours = statistics.estimate(list(matrix.T), list(names), reps=10 * reps)
        for index, name in enumerate(names):
            theirs = points[exp_name][index], *intervals[exp_name][:, index]
            yield Both(f"{exp_name}: {name}", ours[name], statistics.Estimate(*theirs), reps)
    curves, bands = rliable.library.create_performance_profile(scores, THRESHOLDS, reps=reps)
    for exp_name, matrix in scores.items():
        ours_profile = statistics.profile(list(matrix.T), THRESHOLDS, reps=10 * reps)
        theirs = statistics.Estimate(curves[exp_name], *bands[exp_name])
        yield Both(f"{exp_name}: profile", ours_profile, theirs, reps)
    experiments = list(scores)
    pairs = {
        f"{x}, {y}": (scores[x], scores[y])
        for index, x in enumerate(experiments)
        for y in experiments[index + 1 :]
    }
    points, intervals = rliable.library.get_interval_estimates(
        pairs, lambda x, y: np.array([aggregates.probability_of_improvement(x, y)]), reps=reps // 5
    )
    for pair, (x, y) in pairs.items():
        won = statistics.improvement(list(x.T), list(y.T), reps=2 * reps)
        theirs = statistics.Estimate(points[pair][0], *intervals[pair][:, 0])
        yield Both(f"{pair}: improvement", won, theirs, reps // 5)


def test_generated_scores_agree_with_rliable():
    # Ties within and between experiments, unequal numbers of runs, one column equal in both.
    scores = {"x": random_scores((10, 6), 0), "y": random_scores((8, 6), 1) * 0.9}
    found = list(compare(scores, reps=800))
    assert len(found) == 2 * 4 + 2 + 1
    for both in found:
        both.check()


def test_curves_agree_with_rliable_at_every_evaluation():
    scores = random_scores((6, 4, 3), 3)
    ours = statistics.estimate(list(np.moveaxis(scores, 1, 0)), reps=20_000)["iqm"]
    np.random.seed(0)  # noqa: NPY002 - rliable draws from the global generator
    points, intervals = rliable.library.get_interval_estimates(
        {"x": scores},
        lambda x: np.array([rliable.metrics.aggregate_iqm(x[..., t]) for t in range(3)]),
        reps=400,
    )
    Both("curve", ours, statistics.Estimate(points["x"], *intervals["x"]), 400).check()


@pytest.mark.published
@pytest.mark.skipif("RR_PUBLISHED" not in os.environ, reason="RR_PUBLISHED names no folder")
@pytest.mark.timeout(3600)
def test_published_curves_agree_with_rliable():
    curves = read_curves([Path(os.environ["RR_PUBLISHED"])])
    tasks, _ = common_tasks(curves)
    tables = [tabulate(curves, name, tasks=tasks) for name in curves.experiments]
    last = last_shared(tables)
    print(f"\n{', '.join(tasks)}; {tables[0].runs} runs per experiment; env step {last:.0f}")
    print(f"{'':34} {'ours':>27}   {'rliable':>27}")
    for part, chosen in (
        ("last", [t.at(last) for t in tables]),
        ("area", [t.area() for t in tables]),
    ):
        scores = {
            table.exp_name: np.stack(columns, axis=1)
            for table, columns in zip(tables, chosen, strict=True)
        }
        print(f"scores: {part}")
        for both in compare(scores, reps=10_000):
            print_row(both)
            both.check()


def print_row(both: Both) -> None:
    shown = [np.atleast_2d(np.transpose(side)) for side in (both.ours, both.theirs)]
    for index, (ours, theirs) in enumerate(zip(*shown, strict=True)):
        suffix = f" {THRESHOLDS[index]:.1f}" if len(shown[0]) > 1 else ""
        cells = ["{:.4f} [{:.4f}, {:.4f}]".format(*side) for side in (ours, theirs)]
        print(f"{both.name + suffix:34} {cells[0]:>27}   {cells[1]:>27}")

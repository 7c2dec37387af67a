"""Our statistics beside those of rliable: equal without resampling, within its noise with it.

`RR_PUBLISHED=FOLDER python -m pytest -m published -s tests/test_rliable.py` does the same with
published tables and prints both columns; what it printed once is in `results/rliable/`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
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

TAIL = 0.025
THRESHOLDS = np.linspace(0, 1, 6)


class Both(NamedTuple):
    """One number of ours beside rliable's, with intervals."""

    name: str
    ours: statistics.Estimate
    wide: statistics.Estimate  # ours with the tails that rliable's may have at least
    narrow: statistics.Estimate  # and at most
    theirs: statistics.Estimate

    def check(self) -> None:
        np.testing.assert_allclose(self.ours.value, self.theirs.value, rtol=0, atol=1e-12)
        bounds = (self.wide.low, self.theirs.low, self.narrow.low)
        bounds += (self.narrow.high, self.theirs.high, self.wide.high)
        for lower, upper in (bounds[0:2], bounds[1:3], bounds[3:5], bounds[4:6]):
            assert (lower <= upper + 1e-12).all(), self


def beside(
    name: str, ours: Callable[[float], statistics.Estimate], theirs: Sequence, reps: int
) -> Both:
    """Ours, by its confidence, beside what rliable found with `reps` resamples.

    The tail beyond a quantile of r resamples is off by sqrt(0.025 x 0.975 / r), whatever the
    distribution; four of those are allowed.
    """
    noise = 4 * np.sqrt(TAIL * (1 - TAIL) / reps)
    tails = TAIL, max(TAIL - noise, 0.0), TAIL + noise
    found = [ours(1 - 2 * tail) for tail in tails]
    return Both(name, *found, statistics.Estimate(*theirs))


def compare(scores: dict[str, np.ndarray], reps: int) -> Iterator[Both]:
    """All statistics of experiments, name -> scores [runs, tasks], by both libraries."""
    np.random.seed(0)  # noqa: NPY002 - rliable draws from the global generator
    tasks = {name: list(matrix.T) for name, matrix in scores.items()}
    names = {
        "mean": rliable.metrics.aggregate_mean,
        "median": rliable.metrics.aggregate_median,
        "iqm": rliable.metrics.aggregate_iqm,
        "optimality_gap": rliable.metrics.aggregate_optimality_gap,
    }
    points, intervals = rliable.library.get_interval_estimates(
        scores, lambda x: np.array([function(x) for function in names.values()]), reps=reps
    )
    for exp_name, own in tasks.items():
        for index, name in enumerate(names):

            def aggregate(confidence: float, name: str = name, own: list = own):
                options = {"reps": 10 * reps, "confidence": confidence}
                return statistics.estimate(own, [name], **options)[name]

            theirs = points[exp_name][index], *intervals[exp_name][:, index]
            yield beside(f"{exp_name}: {name}", aggregate, theirs, reps)
    curves, bands = rliable.library.create_performance_profile(scores, THRESHOLDS, reps=reps)
    for exp_name, own in tasks.items():

        def profile(confidence: float, own: list = own):
            return statistics.profile(own, THRESHOLDS, reps=10 * reps, confidence=confidence)

        yield beside(f"{exp_name}: profile", profile, (curves[exp_name], *bands[exp_name]), reps)
    pairs = {
        f"{x}, {y}": (scores[x], scores[y]) for x, y in itertools.combinations(list(scores), 2)
    }
    fewer = reps // 5  # rliable is slow at these
    points, intervals = rliable.library.get_interval_estimates(
        pairs,
        lambda x, y: np.array([rliable.metrics.probability_of_improvement(x, y)]),
        reps=fewer,
    )
    for pair in pairs:
        x, y = pair.split(", ")

        def won(confidence: float, x: str = x, y: str = y):
            return statistics.improvement(tasks[x], tasks[y], reps=reps, confidence=confidence)

        theirs = points[pair][0], *intervals[pair][:, 0]
        yield beside(f"{pair}: improvement", won, theirs, fewer)


def test_generated_scores_agree_with_rliable():
    # Ties within and between experiments, unequal numbers of runs.
    scores = {"x": random_scores((10, 6), 0), "y": random_scores((8, 6), 1) * 0.9}
    found = list(compare(scores, reps=800))
    assert len(found) == 2 * 4 + 2 + 1
    for both in found:
        both.check()


def test_curves_agree_with_rliable_at_every_evaluation():
    scores = random_scores((6, 4, 3), 3)
    np.random.seed(0)  # noqa: NPY002 - rliable draws from the global generator
    points, intervals = rliable.library.get_interval_estimates(
        {"x": scores},
        lambda x: np.array([rliable.metrics.aggregate_iqm(x[..., t]) for t in range(3)]),
        reps=400,
    )

    def ours(confidence: float):
        tasks = list(np.moveaxis(scores, 1, 0))
        return statistics.estimate(tasks, reps=10_000, confidence=confidence)["iqm"]

    beside("curve", ours, (points["x"], *intervals["x"]), 400).check()


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

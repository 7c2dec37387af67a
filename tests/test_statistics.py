"""Aggregates and intervals: against rliable, and against plain resampling."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from result_files import random_scores
from rr_scale.analysis import aggregates, resampling, statistics
from rr_scale.errors import UserError

KERNELS = {
    "mean": resampling.mean_kernel,
    "median": resampling.median_kernel,
    "iqm": resampling.iqm_kernel,
    "optimality_gap": resampling.optimality_gap_kernel,
}


def unequal_tasks() -> list[np.ndarray]:
    """Three tasks of 5, 4 and 7 runs at two evaluations, with ties."""
    return [random_scores((runs, 2), seed=runs) for runs in (5, 4, 7)]


def plain_resamples(tasks: list[np.ndarray], counts: np.ndarray) -> list[list[np.ndarray]]:
    """The runs that counts [n, resamples] stand for, written out."""
    ends = np.cumsum([len(scores) for scores in tasks])[:-1]
    return [
        [
            np.repeat(scores, part[:, index], axis=0)
            for scores, part in zip(tasks, np.split(counts, ends), strict=True)
        ]
        for index in range(counts.shape[1])
    ]


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("sizes", [(5, 4, 7), (1, 1), (10,), (130, 140)])
def test_kernels_equal_the_aggregate_of_the_written_out_resample(name, sizes):
    tasks = [random_scores((size, 2), seed=size) for size in sizes]
    counts = resampling.draw_counts(sizes, 6, np.random.default_rng(0))
    expected = [getattr(aggregates, name)(part) for part in plain_resamples(tasks, counts)]
    np.testing.assert_allclose(KERNELS[name](tasks)(counts), expected, atol=1e-12)


def test_resamples_are_stratified_by_task():
    counts = resampling.draw_counts((5, 4, 7), 1000, np.random.default_rng(0))
    assert counts.dtype == np.uint8
    for part, runs in zip(np.split(counts, [5, 9]), (5, 4, 7), strict=True):
        assert (part.sum(axis=0) == runs).all()
        # Each run is drawn once on average, with the variance of a binomial.
        np.testing.assert_allclose(part.mean(), 1)
        np.testing.assert_allclose(part.var(), 1 - 1 / runs, atol=0.05)


def test_results_depend_on_the_seed_and_not_on_threads_or_companions():
    tasks = unequal_tasks()
    reps = resampling.CHUNK + 10
    one = statistics.estimate(tasks, ["iqm"], reps=reps, threads=1)["iqm"]
    two = statistics.estimate(tasks, ["mean", "iqm"], reps=reps, threads=2)["iqm"]
    other = statistics.estimate(tasks, ["iqm"], reps=reps, seed=1)["iqm"]
    np.testing.assert_array_equal(one, two)
    assert (one.low != other.low).any()
    alone = statistics.estimate([scores[:, 1] for scores in tasks], ["iqm"], reps=reps)["iqm"]
    assert (one.low[1], one.high[1]) == (alone.low, alone.high)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    # All 400 data sets as evaluations of one experiment: one set of resamples serves them all.
    tasks = [rng.normal(task, 1, size=(12, 400)) for task in range(3)]
    found = statistics.estimate(tasks, ["mean"], reps=2000, confidence=0.9)["mean"]
    covered = ((found.low <= 1) & (found.high >= 1)).mean()
    # Percentile intervals of few runs are somewhat too narrow.
    assert 0.82 < covered < 0.93


def test_the_difference_of_two_experiments_has_an_interval():
    rng = np.random.default_rng(0)
    better = [rng.normal(1, 0.1, size=8) for _ in range(4)]
    worse = [rng.normal(0, 0.1, size=6) for _ in range(4)]
    found = statistics.difference(better, worse, reps=2000)
    assert found.value == aggregates.iqm(better) - aggregates.iqm(worse)
    assert 0.85 < found.low < found.value < found.high < 1.15
    same = statistics.difference(better, better, reps=2000)
    assert same.low < 0 < same.high


def test_probability_of_improvement_counts_pairs_and_ties_half():
    x, y = [np.array([1.0, 2.0, 2.0])], [np.array([2.0, 0.0])]
    expected = (0 + 1 + 0.5 + 1 + 0.5 + 1) / 6
    assert aggregates.probability_of_improvement(x, y) == pytest.approx(expected)
    won = statistics.improvement([np.array([[3.0, 0.0]])], [np.array([[1.0, 5.0]])], reps=10)
    assert won.value.tolist() == won.low.tolist() == won.high.tolist() == [1, 0]
    with pytest.raises(UserError, match="same tasks: 1 and 2"):
        statistics.improvement(x, y * 2)


def test_improvement_of_resamples_equals_that_of_written_out_ones():
    x = [random_scores((4,), 0), random_scores((3,), 1)]
    y = [random_scores((2,), 2), random_scores((5,), 3)]
    won = [aggregates.wins(a, b) for a, b in zip(x, y, strict=True)]
    counts = resampling.draw_counts((4, 3, 2, 5), 5, np.random.default_rng(0))
    written = plain_resamples([*x, *y], counts)
    expected = [aggregates.probability_of_improvement(part[:2], part[2:]) for part in written]
    found = statistics._improvement_kernel(won, [4, 3, 2, 5])(counts)
    np.testing.assert_allclose(found, expected)


def test_area_is_the_mean_height():
    curve = np.array([[0.0, 1.0, 1.0]])
    assert aggregates.area(curve, np.array([0.0, 10.0, 40.0])).tolist() == [35 / 40]
    assert aggregates.area(curve[:, :1], np.array([5.0])).tolist() == [0.0]


@pytest.mark.parametrize(
    ("tasks", "reason"),
    [
        ([], "no runs"),
        ([np.zeros((0, 3))], "no runs"),
        ([np.array([1.0, np.nan])], "must be finite"),
    ],
)
def test_what_cannot_be_aggregated_is_refused(tasks, reason):
    with pytest.raises(UserError, match=reason):
        statistics.estimate(tasks, reps=10)
    with pytest.raises(UserError, match="unknown statistic 'iqr'; did you mean 'iqm'"):
        statistics.estimate([np.ones(3)], ["iqr"])


def test_point_estimates_are_those_of_scipy():
    for size in (4, 5, 10, 11):
        scores = random_scores((size, 1), seed=size)
        expected = scipy.stats.trim_mean(scores, 0.25, axis=None)
        assert aggregates.iqm([scores[:, 0]]) == pytest.approx(expected, abs=1e-15)

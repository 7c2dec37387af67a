"""Aggregates with bootstrap intervals: how good, how sure, and which of two is better.

Scores come as one array per task [R, ...], normalised, R runs; further axes
(evaluations) are carried along and share their resamples. Intervals are
percentile intervals of the task-stratified bootstrap (Agarwal et al. 2021):
runs are resampled within each task, tasks stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rr_scale.analysis import aggregates, resampling
from rr_scale.analysis.aggregates import Tasks
from rr_scale.errors import UserError, nearest

REPS = 50_000
PROFILE_REPS = 2_000
CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A statistic and its interval; arrays of one shape [...]."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Statistic(NamedTuple):
    """An aggregate as a number, and the same of resamples."""

    point: Callable[[Tasks], np.ndarray]
    kernel: Callable[[Tasks], resampling.Kernel]
    meaning: str


STATISTICS: dict[str, Statistic] = {
    "iqm": Statistic(aggregates.iqm, resampling.iqm_kernel, "interquartile mean"),
    "median": Statistic(aggregates.median, resampling.median_kernel, "median over tasks"),
    "mean": Statistic(aggregates.mean, resampling.mean_kernel, "mean"),
    "optimality_gap": Statistic(
        aggregates.optimality_gap, resampling.optimality_gap_kernel, "optimality gap"
    ),
}
"""Aggregates by name, in the order of tables."""


def statistic(name: str) -> Statistic:
    """The aggregate of a name; unknown ones are a UserError."""
    if name not in STATISTICS:
        known = ", ".join(STATISTICS)
        raise UserError(f"unknown statistic '{name}'{nearest(name, STATISTICS)}; one of {known}")
    return STATISTICS[name]


def estimate(
    tasks: Tasks,
    names: Sequence[str] = ("iqm",),
    *,
    reps: int = REPS,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    threads: int | None = None,
) -> dict[str, Estimate]:
    """Aggregates with intervals, all from the same resamples.

    Args:
      tasks: scores per task [R, ...].
      names: keys of `STATISTICS`.
      reps: number of resamples.
      confidence: share of resamples inside the interval.
      seed: of the resamples.
      threads: None: one per core.

    Raises:
      UserError: no runs, a score that is not finite, an unknown name.
    """
    tasks = _checked(tasks)
    chosen = [statistic(name) for name in names]
    kernels = [item.kernel(tasks) for item in chosen]
    found = resampling.resample(_runs(tasks), kernels, reps, seed, threads)
    return {
        name: _interval(item.point(tasks), samples, confidence)
        for name, item, samples in zip(names, chosen, found, strict=True)
    }


def difference(
    first: Tasks,
    second: Tasks,
    name: str = "iqm",
    *,
    reps: int = REPS,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    threads: int | None = None,
) -> Estimate:
    """An aggregate of `first` minus that of `second`, resampled independently."""
    first, second = _checked(first), _checked(second)
    item = statistic(name)
    x, y = (
        resampling.resample(_runs(tasks), [item.kernel(tasks)], reps, [seed, side], threads)[0]
        for side, tasks in enumerate((first, second))
    )
    return _interval(item.point(first) - item.point(second), x - y, confidence)


def profile(
    tasks: Tasks,
    thresholds: np.ndarray,
    *,
    reps: int = PROFILE_REPS,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    threads: int | None = None,
) -> Estimate:
    """The performance profile: share of runs above each threshold [thresholds].

    Args:
      tasks: scores per task [R].
      thresholds: normalised scores.
      reps, confidence, seed, threads: as in `estimate`.
    """
    exceeded = aggregates.above(_checked(tasks), np.asarray(thresholds, dtype=np.float64))
    kernel = resampling.pooled_mean_kernel(exceeded)
    found = resampling.resample(_runs(exceeded), [kernel], reps, seed, threads)[0]
    return _interval(aggregates.pooled_mean(exceeded), found, confidence)


def improvement(
    first: Tasks,
    second: Tasks,
    *,
    reps: int = PROFILE_REPS,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    threads: int | None = None,
) -> Estimate:
    """Probability that a run of `first` beats one of `second`, mean over tasks [...].

    Args:
      first, second: scores of the same tasks, per task [R, ...]; numbers of
        runs may differ. Resampled independently.
      reps, confidence, seed, threads: as in `estimate`.

    Raises:
      UserError: as `estimate`, or unequal numbers of tasks.
    """
    first, second = _checked(first), _checked(second)
    if len(first) != len(second):
        raise UserError(f"improvement needs the same tasks: {len(first)} and {len(second)} given")
    won = [aggregates.wins(x, y) for x, y in zip(first, second, strict=True)]
    runs = [*_runs(first), *_runs(second)]
    kernel = _improvement_kernel(won, runs)
    found = resampling.resample(runs, [kernel], reps, seed, threads)[0]
    return _interval(aggregates.probability_of_improvement(first, second), found, confidence)


def _improvement_kernel(won: Sequence[np.ndarray], runs: Sequence[int]) -> resampling.Kernel:
    """Per task, wins [R, Q, ...] weighted by how often both runs were drawn."""

    def kernel(counts: np.ndarray) -> np.ndarray:
        parts = np.split(counts.astype(np.float64), np.cumsum(runs)[:-1])
        total = np.zeros((counts.shape[1], *won[0].shape[2:]))
        for table, x, y in zip(won, parts[: len(won)], parts[len(won) :], strict=True):
            rows, columns = table.shape[:2]
            flat = table.reshape(rows, columns, -1)
            for place in range(flat.shape[2]):
                beaten = np.einsum("rc,rq,qc->c", x, flat[:, :, place], y) / (rows * columns)
                total.reshape(counts.shape[1], -1)[:, place] += beaten
        return total / len(won)

    return kernel


def _interval(point: np.ndarray, samples: np.ndarray, confidence: float) -> Estimate:
    outside = (1 - confidence) / 2
    low, high = np.quantile(samples, [outside, 1 - outside], axis=0)
    return Estimate(np.asarray(point), low, high)


def _runs(tasks: Tasks) -> list[int]:
    return [len(scores) for scores in tasks]


def _checked(tasks: Tasks) -> list[np.ndarray]:
    arrays = [np.asarray(scores, dtype=np.float64) for scores in tasks]
    if not arrays or not all(len(scores) for scores in arrays):
        raise UserError("no runs to aggregate: every task needs at least one")
    if not all(np.isfinite(scores).all() for scores in arrays):
        raise UserError("scores to aggregate must be finite: leave failed runs out, or say how")
    return arrays

"""Scores of many runs on many tasks as one number: point estimates.

Scores come as one array per task [R, ...], R runs of that task; R may differ
between tasks. Further axes (evaluations, thresholds) are carried along. All
follow Agarwal et al., "Deep Reinforcement Learning at the Edge of the
Statistical Precipice", 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

TRIM = 0.25
"""Share of runs that the interquartile mean leaves out at each end."""

Tasks = Sequence[np.ndarray]


def mean(tasks: Tasks) -> np.ndarray:
    """Mean over tasks of the mean over runs: every task counts the same [...]."""
    return np.mean([np.mean(scores, axis=0) for scores in tasks], axis=0)


def median(tasks: Tasks) -> np.ndarray:
    """Median over tasks of the mean over runs [...]."""
    return np.median([np.mean(scores, axis=0) for scores in tasks], axis=0)


def iqm(tasks: Tasks) -> np.ndarray:
    """Interquartile mean over all runs of all tasks [...].

    Of n runs the int(n/4) lowest and highest are left out; with unequal
    numbers of runs a task with more of them counts more.
    """
    scores = np.sort(np.concatenate(tasks), axis=0)
    cut = trimmed(len(scores))
    return np.mean(scores[cut : len(scores) - cut], axis=0)


def optimality_gap(tasks: Tasks, target: float = 1.0) -> np.ndarray:
    """How far runs fall short of `target` on average; beyond it nothing is gained [...]."""
    return target - np.mean(np.minimum(np.concatenate(tasks), target), axis=0)


def trimmed(runs: int) -> int:
    """How many runs the interquartile mean leaves out at each end."""
    return int(TRIM * runs)


def probability_of_improvement(first: Tasks, second: Tasks) -> np.ndarray:
    """Mean over tasks of P(a run of `first` > a run of `second`), ties half [...]."""
    pairs = zip(first, second, strict=True)
    return np.mean([np.mean(wins(x, y), axis=(0, 1)) for x, y in pairs], axis=0)


def wins(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """1 where a run of `first` [R, ...] beats one of `second` [Q, ...], 1/2 at ties [R, Q, ...]."""
    x, y = first[:, None], second[None, :]
    return (x > y) + 0.5 * (x == y)


def above(tasks: Tasks, thresholds: np.ndarray) -> list[np.ndarray]:
    """1 where a run's score [R] exceeds a threshold, else 0: per task [R, thresholds].

    The mean over all runs is the performance profile.
    """
    return [(scores[:, None] > thresholds).astype(np.float64) for scores in tasks]


def pooled_mean(tasks: Tasks) -> np.ndarray:
    """Mean over all runs of all tasks [...]; `mean` where tasks have equally many."""
    return np.mean(np.concatenate(tasks), axis=0)


def area(scores: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Mean height of curves [R, T] over the range of `positions` [T]: area by its width [R].

    The trapezoid rule; in the unit of the scores, so that budgets compare.
    """
    if len(positions) == 1:
        return scores[:, 0]
    return np.trapezoid(scores, positions, axis=1) / (positions[-1] - positions[0])

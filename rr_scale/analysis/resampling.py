"""The task-stratified bootstrap, as counts.

A resample draws, for every task on its own, as many runs as there are, with
replacement. All it takes to know about it is how often each run was drawn: a
matrix of small integers, drawn once for all evaluations of a curve. Means are
then weighted sums. The interquartile mean needs the runs' order, which no
resample changes: runs are sorted once per evaluation, counts are added up in
that order, and what lies between the quartiles is read off the sums. Nothing
is sorted per resample.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from rr_scale.analysis.aggregates import Tasks, trimmed

CHUNK = 2048
"""Resamples at a time, small enough for a processor's cache. Part of what a seed means."""

Kernel = Callable[[np.ndarray], np.ndarray]
"""Counts [n, chunk] of the n runs of all tasks -> the statistic per resample [chunk, ...]."""


def resample(
    runs: Sequence[int],
    kernels: Sequence[Kernel],
    reps: int,
    seed: int | Sequence[int],
    threads: int | None = None,
) -> list[np.ndarray]:
    """Statistics of bootstrap resamples, all of the same resamples.

    Args:
      runs: number of runs per task.
      kernels: the statistics.
      reps: number of resamples.
      seed: of the draws; results depend on nothing else, threads included.
      threads: how many chunks are worked on at a time; None: one per core.

    Returns:
      One array per kernel [reps, ...], float64.
    """
    sizes = [min(CHUNK, reps - start) for start in range(0, reps, CHUNK)]
    sources = np.random.SeedSequence(seed).spawn(len(sizes))

    def work(job: tuple[int, np.random.SeedSequence]) -> list[np.ndarray]:
        size, source = job
        counts = draw_counts(runs, size, np.random.default_rng(source))
        return [kernel(counts) for kernel in kernels]

    with ThreadPoolExecutor(threads or len(os.sched_getaffinity(0))) as pool:
        chunks = list(pool.map(work, zip(sizes, sources, strict=True)))
    return [np.concatenate(parts) for parts in zip(*chunks, strict=True)]


def draw_counts(runs: Sequence[int], size: int, rng: np.random.Generator) -> np.ndarray:
    """How often each run is drawn in each of `size` resamples [n, size], task after task."""
    counts = []
    for number in runs:
        drawn = rng.integers(0, number, size=(size, number))
        cells = drawn + number * np.arange(size)[:, None]
        found = np.bincount(cells.ravel(), minlength=number * size)
        counts.append(found.reshape(size, number).T)
    return np.concatenate(counts).astype(np.min_scalar_type(sum(runs)))


def pooled_mean_kernel(tasks: Tasks) -> Kernel:
    """The mean over all runs of resamples, from scores per task [R, ...]."""
    scores = np.concatenate(tasks)
    return lambda counts: _weighted(counts, scores / len(scores))


def mean_kernel(tasks: Tasks) -> Kernel:
    """`aggregates.mean` of resamples."""
    weighted = np.concatenate([scores / (len(scores) * len(tasks)) for scores in tasks])
    return lambda counts: _weighted(counts, weighted)


def median_kernel(tasks: Tasks) -> Kernel:
    """`aggregates.median` of resamples."""
    ends = np.cumsum([len(scores) for scores in tasks])[:-1]

    def kernel(counts: np.ndarray) -> np.ndarray:
        means = [
            _weighted(part, scores / len(scores))
            for part, scores in zip(np.split(counts, ends), tasks, strict=True)
        ]
        ordered = np.sort(means, axis=0)
        middle = len(means) // 2
        return (ordered[middle] + ordered[-1 - middle]) / 2

    return kernel


def optimality_gap_kernel(tasks: Tasks, target: float = 1.0) -> Kernel:
    """`aggregates.optimality_gap` of resamples."""
    mean_of = pooled_mean_kernel([np.minimum(scores, target) for scores in tasks])
    return lambda counts: target - mean_of(counts)


def iqm_kernel(tasks: Tasks) -> Kernel:
    """`aggregates.iqm` of resamples.

    With the runs in the order of their scores v_1 <= ... <= v_n and C_k the
    draws among the first k of them, run k keeps K_k - K_{k-1} of its draws,
    where K_k is C_k cut off to [low, high], the places that are not trimmed.
    The sum of K_k - K_{k-1} times v_k is, by summation by parts,
    high v_n - low v_1 - sum_k K_k (v_{k+1} - v_k).
    """
    scores = np.concatenate(tasks)
    runs = len(scores)
    low, high = trimmed(runs), runs - trimmed(runs)
    columns = scores.reshape(runs, -1)

    def kernel(counts: np.ndarray) -> np.ndarray:
        drawn = np.empty((runs - 1, counts.shape[1]), counts.dtype)
        kept = np.empty(drawn.shape)
        found = np.empty((counts.shape[1], columns.shape[1]))
        for column in range(columns.shape[1]):
            order = np.argsort(columns[:, column], kind="stable")
            values = columns[order, column]
            np.take(counts, order[:-1], axis=0, out=drawn)
            # Row by row: NumPy's own cumulative sum along this axis is slower by far.
            for k in range(1, runs - 1):
                np.add(drawn[k], drawn[k - 1], out=drawn[k])
            np.clip(drawn, low, high, out=kept, casting="unsafe")
            ends = high * values[-1] - low * values[0]
            found[:, column] = (ends - np.einsum("k,kc->c", np.diff(values), kept)) / (high - low)
        return found.reshape(-1, *scores.shape[1:])

    return kernel


def _weighted(counts: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Sums of scores [n, ...] weighted by counts [n, chunk]: [chunk, ...]."""
    # Not a BLAS product: its threads and those of `resample` would get in each other's way.
    flat = scores.reshape(len(scores), -1)
    summed = np.einsum("nc,nt->ct", counts.astype(np.float64), flat)
    return summed.reshape(-1, *scores.shape[1:])

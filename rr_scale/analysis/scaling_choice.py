"""Which setting counts at each replay ratio, and which batch size and learning rate are best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rr_scale.analysis.curves import Problem
from rr_scale.analysis.scaling_times import Setting, Times
from rr_scale.errors import UserError

Pairs = dict[str, list[tuple[float, float]]]
"""Task -> (replay ratio, value)."""


class Table(NamedTuple):
    """Times of the settings that count. K replay ratios, J thresholds."""

    chosen: tuple[Times, ...]
    times: np.ndarray  # [K, J] mean over tasks, each divided by its median
    spread: np.ndarray  # [resamples, K, J] the same of resampled seeds
    unit: float  # env steps that a normalised time of 1 stands for
    problems: list[Problem]


def tabulate_times(
    measured: Sequence[Times],
    tasks: Sequence[str],
    ratios: np.ndarray,
    baseline: float | None = None,
) -> Table:
    """One setting per task and replay ratio, its times normalised by the task's median.

    Args:
      measured: times of all settings.
      tasks, ratios: all that occur.
      baseline: the replay ratio whose best setting counts at all of them;
        None: the best at each.

    Raises:
      UserError: a task never reaches any threshold.
    """
    thresholds = measured[0].thresholds
    problems: list[Problem] = []
    steps = np.full((len(tasks), len(ratios), len(thresholds)), np.nan)
    resampled = np.full((len(measured[0].resampled), *steps.shape), np.nan)
    chosen = []
    for row, task in enumerate(tasks):
        for column, ratio in enumerate(ratios):
            best = _choose(_of(measured, task, ratio), _of(measured, task, baseline))
            if best is None:
                text = f"{task} has no runs at replay ratio {ratio:g}"
                problems.append(Problem("unequal", text))
                continue
            chosen.append(best)
            steps[row, column] = best.steps
            resampled[:, row, column] = best.resampled
    problems += _not_reached(chosen)
    medians = _medians(steps, tasks)
    scale = medians[:, None, None]
    return Table(
        tuple(chosen),
        (steps / scale).mean(axis=0),
        (resampled / scale).mean(axis=1),
        float(np.median(medians)),
        problems,
    )


def best_values(measured: Sequence[Times], value: Callable[[Setting], float | None]) -> Pairs:
    """The best learning rate (or batch size) per task and replay ratio.

    For every setting of the other one, and every resample, the value that
    reaches the last threshold first; averaged over resamples and over the
    other one. Resamples in which no value reaches it say nothing and are left
    out; where there is no choice, there is no point.
    """
    cells: dict[tuple, dict[float, np.ndarray]] = {}
    for times in measured:
        own = value(times.setting)
        if own is not None:
            other = (times.setting.batch, times.setting.rate)
            rest = tuple(item for item in other if item != own)
            key = times.setting.task, times.setting.ratio, rest
            cells.setdefault(key, {})[own] = times.resampled[:, -1]
    found: dict[tuple[str, float], list[float]] = {}
    for (task, ratio, _), column in cells.items():
        if len(column) < 2:
            continue
        table = np.nan_to_num(np.array(list(column.values())), nan=np.inf)
        reached = np.isfinite(table).any(axis=0)
        if reached.any():
            first = np.argmin(table[:, reached], axis=0)
            mean = float(np.mean(np.array(list(column))[first]))
            found.setdefault((task, ratio), []).append(mean)
    pairs: Pairs = {}
    for (task, ratio), values in found.items():
        pairs.setdefault(task, []).append((ratio, float(np.mean(values))))
    return pairs


def _of(measured: Sequence[Times], task: str, ratio: float | None) -> list[Times]:
    return [times for times in measured if times.setting[:2] == (task, ratio)]


def _choose(candidates: Sequence[Times], at_baseline: Sequence[Times]) -> Times | None:
    """The setting that gets furthest, and there first."""
    if at_baseline:
        best = _choose(at_baseline, ())
        candidates = [t for t in candidates if best and t.setting[2:] == best.setting[2:]]

    def badness(times: Times) -> tuple[int, float]:
        reached = int(np.isfinite(times.steps).sum())
        return -reached, float(times.steps[reached - 1]) if reached else 0.0

    return min(candidates, key=badness, default=None)


def _not_reached(chosen: Sequence[Times]) -> list[Problem]:
    problems = []
    for times in chosen:
        missed = np.isnan(times.steps)
        if missed.any():
            text = f"{times.setting.task} at replay ratio {times.setting.ratio:g} does not reach"
            lowest = times.thresholds[np.argmax(missed)]
            problems.append(Problem("unfinished", f"{text} {lowest:.0f} and above"))
    return problems


def _medians(steps: np.ndarray, tasks: Sequence[str]) -> np.ndarray:
    lost = [task for task, own in zip(tasks, steps, strict=True) if np.isnan(own).all()]
    if lost:
        raise UserError(f"no threshold is ever reached on {', '.join(lost)}: choose lower ones")
    return np.array([np.nanmedian(own) for own in steps])

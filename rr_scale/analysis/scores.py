"""Curves of one experiment as matrices: runs x positions, task by task."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from rr_scale.analysis import aggregates
from rr_scale.analysis.curves import RETURN, Curve, Curves, Problem
from rr_scale.analysis.score_scales import Scale, scale_of
from rr_scale.errors import UserError

_WALL_POINTS = 100


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """What statistics work on. R runs of a task, T positions that all runs share."""

    exp_name: str
    axis: str  # what positions count: one of `curves.AXES`
    positions: np.ndarray  # [T], increasing
    tasks: tuple[str, ...]
    seeds: tuple[tuple[int | None, ...], ...]  # per task, in the order of rows
    by_task: tuple[np.ndarray, ...]  # per task [R, T], normalised
    problems: tuple[Problem, ...] = ()  # what was left out

    @property
    def runs(self) -> int:
        """Runs of all tasks together."""
        return sum(map(len, self.by_task))

    def of(self, task: str) -> np.ndarray:
        """The scores of one task [R, T]."""
        return self.by_task[self.tasks.index(task)]

    def at(self, position: float | None = None) -> list[np.ndarray]:
        """Scores per task [R] at a position (None: the last); UserError if it is not there."""
        if position is None:
            return [scores[:, -1] for scores in self.by_task]
        found = np.flatnonzero(self.positions == position)
        if not len(found):
            first, last = self.positions[0], self.positions[-1]
            raise UserError(
                f"{self.exp_name}: no evaluation that all runs share at {self.axis} "
                f"{position:g}; there are {len(self.positions)} from {first:g} to {last:g}"
            )
        return [scores[:, found[0]] for scores in self.by_task]

    def area(self) -> list[np.ndarray]:
        """Mean height of each run's curve, per task [R]: area under it by its width."""
        return [aggregates.area(scores, self.positions) for scores in self.by_task]


def tabulate(
    curves: Curves,
    exp_name: str,
    *,
    metric: str = RETURN,
    axis: str = "env_steps",
    suite: str = "auto",
    scales: Mapping[str, Scale] | None = None,
    tasks: Sequence[str] | None = None,
    points: int | None = None,
    drop_incomplete: bool = False,
) -> Scores:
    """The scores of one experiment at the positions that all its runs have.

    Args:
      curves: the data.
      exp_name: the experiment.
      metric: what is scored.
      axis: what positions count. On `wall_s` runs share no positions, so
        there `points` is 100 unless given.
      suite, scales: as in `scale_of`.
      tasks: which, and in which order; None: all that it has.
      points: interpolate linearly to this many positions, evenly spaced over
        the range that all runs have, instead of using shared ones.
      drop_incomplete: leave out runs that do not reach the last position of
        the others, instead of ending there. Either way `problems` tells.

    Raises:
      UserError: nothing there, an unknown axis or suite, or no shared positions.
    """
    chosen = curves.where(exp_name=exp_name, metric=metric)
    groups = {
        task: [curve for curve in chosen if curve.env_name == task and curve.seed is not None]
        for task in tasks or chosen.tasks
    }
    absent = [task for task, group in groups.items() if not group]
    if absent or not groups:
        where = f" on {', '.join(absent)}" if absent else ""
        raise UserError(f"{exp_name}: no {metric}{where}")
    traces = {
        task: [_trace(curve, axis) for curve in sorted(group, key=lambda c: c.seed or 0)]
        for task, group in groups.items()
    }
    traces, problems = _whole(exp_name, traces, axis, drop_incomplete)
    every = [trace for group in traces.values() for trace in group]
    points = points or (_WALL_POINTS if axis == "wall_s" else None)
    positions = _shared(exp_name, every, axis) if points is None else _grid(exp_name, every, points)
    by_task = []
    for task, group in traces.items():
        returns = np.array([trace.at(positions) for trace in group])
        by_task.append(scale_of(task, suite, scales)(returns))
    return Scores(
        exp_name,
        axis,
        positions,
        tuple(groups),
        tuple(tuple(trace.seed for trace in group) for group in traces.values()),
        tuple(by_task),
        tuple(problems),
    )


def common_tasks(curves: Curves, metric: str = RETURN) -> tuple[tuple[str, ...], list[Problem]]:
    """The tasks that every experiment has, and a problem for each that is left out."""
    have = {
        exp_name: set(curves.where(exp_name=exp_name, metric=metric).tasks)
        for exp_name in curves.experiments
    }
    shared = functools.reduce(set.intersection, have.values()) if have else set()
    problems = []
    for task in sorted(set().union(*have.values()) - shared):
        lacking = ", ".join(name for name, tasks in have.items() if task not in tasks)
        text = f"{task} is left out of comparisons: {lacking} does not have it"
        problems.append(Problem("unequal", text))
    return tuple(sorted(shared)), problems


def last_shared(scores: Iterable[Scores]) -> float:
    """The last position that several experiments have; UserError if there is none."""
    every = list(scores)
    shared = functools.reduce(np.intersect1d, [item.positions for item in every])
    if not len(shared):
        names = ", ".join(item.exp_name for item in every)
        raise UserError(f"{names} share no evaluation: they were evaluated at different steps")
    return float(shared[-1])


@dataclasses.dataclass(frozen=True, eq=False)
class _Trace:
    """A curve on one axis, finite points only."""

    seed: int | None
    label: str
    positions: np.ndarray
    values: np.ndarray

    @property
    def end(self) -> float:
        return float(self.positions[-1]) if len(self.positions) else -np.inf

    def at(self, positions: np.ndarray) -> np.ndarray:
        return np.interp(positions, self.positions, self.values)


def _trace(curve: Curve, axis: str) -> _Trace:
    positions = curve.axis(axis)
    if positions is None:
        raise UserError(f"{curve.label}: {axis} are not known ({curve.source})")
    finite = np.isfinite(curve.values) & np.isfinite(positions)
    # A diverged seed ends where its values do: what follows would hide that.
    if axis != "wall_s" and not finite.all():
        finite &= np.arange(len(finite)) < np.argmin(finite)
    # Before the first update all evaluations are at update 0: the last one stands for them.
    last = np.append(np.diff(positions) > 0, True)[: len(positions)]
    kept = finite & last
    return _Trace(curve.seed, curve.label, positions[kept].astype(np.float64), curve.values[kept])


def _whole(
    exp_name: str, traces: Mapping[str, list[_Trace]], axis: str, drop: bool
) -> tuple[dict[str, list[_Trace]], list[Problem]]:
    ends = [trace.end for group in traces.values() for trace in group]
    last = max(ends)
    if axis == "wall_s" or min(ends) == last:
        return dict(traces), []
    short = [trace for group in traces.values() for trace in group if trace.end < last]
    named = ", ".join(trace.label for trace in short[:4]) + (" ..." if len(short) > 4 else "")
    if not drop:
        text = f"{exp_name}: ends at {axis} {max(min(ends), 0):g} of {last:g}, because of {named}"
        return dict(traces), [Problem("unequal", text)]
    kept = {task: [t for t in group if t.end == last] for task, group in traces.items()}
    empty = [task for task, group in kept.items() if not group]
    if empty:
        raise UserError(f"{exp_name}: no run on {', '.join(empty)} reaches {axis} {last:g}")
    text = f"{exp_name}: {len(short)} runs that end before {axis} {last:g} are left out: {named}"
    return kept, [Problem("unequal", text)]


def _shared(exp_name: str, traces: Sequence[_Trace], axis: str) -> np.ndarray:
    shared = functools.reduce(np.intersect1d, [trace.positions for trace in traces])
    if not len(shared):
        raise UserError(
            f"{exp_name}: its runs share no evaluation on {axis}; interpolate to a number of points"
        )
    return shared


def _grid(exp_name: str, traces: Sequence[_Trace], points: int) -> np.ndarray:
    start = max((trace.positions[0] for trace in traces if len(trace.positions)), default=np.inf)
    end = min(trace.end for trace in traces)
    if not start < end:
        raise UserError(f"{exp_name}: there is no range that all its runs cover")
    return np.linspace(start, end, points)

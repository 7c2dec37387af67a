"""What a report draws: returns of all seeds, and their statistics where seeds are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rr_scale.analysis.curves import RETURN, Curve, Curves
from rr_scale.analysis.score_scales import Scale
from rr_scale.analysis.statistics import estimate


class Table(NamedTuple):
    """Scores of the seeds of one experiment on one task. R seeds, T env steps."""

    env_steps: np.ndarray  # [T] int64, increasing
    values: np.ndarray  # [R, T], NaN where `present` is false
    present: np.ndarray  # [R, T] bool

    def at(self, env_steps: np.ndarray) -> Table:
        """The columns of some of the env steps."""
        columns = np.searchsorted(self.env_steps, env_steps)
        return Table(env_steps, self.values[:, columns], self.present[:, columns])

    def scored(self, scale: Scale) -> Table:
        """The same with returns as normalised scores."""
        return self._replace(values=scale(self.values))


class Statistics(NamedTuple):
    """Statistics over env steps, by name; an interval is the bootstrap's 95 %."""

    env_steps: np.ndarray  # [T]
    runs: np.ndarray  # [T] how many there were
    value: dict[str, np.ndarray]  # [T]
    low: dict[str, np.ndarray]
    high: dict[str, np.ndarray]


def tables(curves: Curves) -> dict[tuple[str, str], Table]:
    """Returns by (experiment, task), in order of appearance.

    An env step counts if at least half of the seeds that got that far have a
    finite value there; seeds that ended before are not waited for.
    """
    groups: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves.where(metric=RETURN):
        if curve.seed is not None and len(curve.env_steps):
            groups.setdefault((curve.exp_name, curve.env_name), []).append(curve)
    return {key: _table(group) for key, group in groups.items()}


def _table(group: Sequence[Curve]) -> Table:
    steps = np.unique(np.concatenate([curve.env_steps for curve in group]))
    values = np.full((len(group), len(steps)), np.nan)
    for row, curve in enumerate(group):
        values[row, np.searchsorted(steps, curve.env_steps)] = curve.values
    present = np.isfinite(values)
    ends = np.array([curve.env_steps[-1] for curve in group])
    going = (ends[:, None] >= steps).sum(axis=0)
    count = present.sum(axis=0)
    columns = (count > 0) & (2 * count >= going)
    return Table(steps[columns], np.where(present, values, np.nan)[:, columns], present[:, columns])


def statistics(parts: Sequence[Table], names: Sequence[str], reps: int) -> Statistics:
    """Statistics of some tasks together, at the env steps that all of them have.

    Args:
      parts: a table per task, all in one unit.
      names: keys of `analysis.statistics.STATISTICS`.
      reps: resamples.
    """
    steps = shared_steps(parts)
    parts = [part.at(steps) for part in parts]
    present = np.concatenate([part.present for part in parts])
    found = {name: np.full((3, len(steps)), np.nan) for name in names}
    # Env steps with the same seeds there share their resamples.
    patterns, pattern_of = np.unique(present, axis=1, return_inverse=True)
    for index in range(patterns.shape[1]):
        columns = np.flatnonzero(np.ravel(pattern_of) == index)
        scores = [part.values[part.present[:, columns[0]]][:, columns] for part in parts]
        for name, estimates in estimate(scores, names, reps=reps).items():
            found[name][:, columns] = estimates
    value, low, high = ({name: found[name][row] for name in names} for row in range(3))
    return Statistics(steps, present.sum(axis=0), value, low, high)


def shared_steps(parts: Sequence[Table]) -> np.ndarray:
    """The env steps that all tables have [T], increasing."""
    steps = parts[0].env_steps if parts else np.zeros(0, np.int64)
    for part in parts[1:]:
        steps = np.intersect1d(steps, part.env_steps)
    return steps

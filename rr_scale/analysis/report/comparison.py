"""What is compared with what: which tasks, at which env step, in which unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rr_scale.analysis.report.pack import Grids, naturally, number, rounded
from rr_scale.analysis.report.series import Statistics, Table, shared_steps, statistics
from rr_scale.analysis.score_scales import UNIT, Scale, scale_of
from rr_scale.errors import UserError

AGGREGATES = ("iqm", "median", "mean")
PER_TASK = ("iqm", "mean")
"""Of one task: the median over tasks is its mean."""
CURVE_REPS = 2_000
"""Resamples behind the band of a curve."""

Tables = Mapping[tuple[str, str], Table]


def compare(tables: Tables, grids: Grids, reps: int) -> dict[str, Any]:
    """Everything about returns that has an interval.

    Experiments are compared on the tasks that all of them have, at the last
    env step that all of them reached on each. Where there is no such task or
    step, every experiment stands for itself, and the page says so.

    Args:
      tables: by experiment and task.
      grids: takes the positions of curves.
      reps: resamples behind the numbers in tables.
    """
    experiments = sorted({exp_name for exp_name, _ in tables}, key=naturally)
    tasks_of = {name: [task for exp, task in tables if exp == name] for name in experiments}
    common = sorted(set.intersection(*map(set, tasks_of.values()))) if tasks_of else []
    step = _last(shared_steps([tables[name, task] for name in experiments for task in common]))
    together = []
    for name in experiments:
        tasks = common or sorted(tasks_of[name])
        scales = {task: _scale(task) for task in tasks}
        unknown = [task for task, scale in scales.items() if scale is None]
        if len(tasks) > 1 and unknown:
            together.append({"experiment": name, "tasks": tasks, "without_scale": unknown})
            continue
        parts = [tables[name, task].scored(scale or UNIT) for task, scale in scales.items()]
        together.append(
            {
                "experiment": name,
                "tasks": tasks,
                "normalized": not unknown,
                "curve": _curve(statistics(parts, AGGREGATES, CURVE_REPS), grids),
                "final": _final(parts, AGGREGATES, step, reps),
            }
        )
    alone = [
        {
            "experiment": name,
            "task": task,
            "curve": _curve(statistics([table], PER_TASK, CURVE_REPS), grids),
            "final": _final([table], PER_TASK, _step_of_task(tables, task), reps),
        }
        for (name, task), table in sorted(
            tables.items(), key=lambda item: (item[0][1], naturally(item[0][0]))
        )
    ]
    return {
        "common_tasks": common,
        "common_step": step,
        "aggregate": together,
        "per_task": alone,
    }


def _scale(task: str) -> Scale | None:
    """The scale of a task's suite; None where none is agreed on."""
    try:
        return scale_of(task)
    except UserError:
        return None


def _step_of_task(tables: Tables, task: str) -> int | None:
    return _last(
        shared_steps([table for (_, env_name), table in tables.items() if env_name == task])
    )


def _last(steps: np.ndarray) -> int | None:
    return int(steps[-1]) if len(steps) else None


def _final(
    parts: list[Table], names: tuple[str, ...], step: int | None, reps: int
) -> dict[str, Any] | None:
    """Statistics at one env step, or at the last one the parts share."""
    steps = shared_steps(parts)
    if not len(steps):
        return None
    at = np.array([step if step in steps else steps[-1]])
    found = statistics([part.at(at) for part in parts], names, reps)
    shown = {
        name: [number(row[name][0]) for row in (found.value, found.low, found.high)]
        for name in names
    }
    started = sum(len(part.values) for part in parts)
    return {"step": int(at[0]), "runs": int(found.runs[0]), "started": started, **shown}


def _curve(found: Statistics, grids: Grids) -> dict[str, Any]:
    names = found.value
    return {
        "x": grids.add(found.env_steps),
        "runs": grids.add(found.runs),
        **{
            name: [rounded(row[name]) for row in (found.value, found.low, found.high)]
            for name in names
        },
    }

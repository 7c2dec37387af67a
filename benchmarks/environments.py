"""Simulators alone: env steps per second, one after another and in parallel."""

from __future__ import annotations

from typing import Any

from benchmarks.processes import usable_cores, work
from benchmarks.report import Context, Report, median, progress, rates
from benchmarks.tables import Table


def section(context: Context) -> Report:
    """Every task with every number of workers."""
    options = context.options
    workers = options.workers or (0, usable_cores())
    rows, raw = [], []
    for task in options.tasks:
        request = {
            "task": task,
            "lanes": options.env_lanes,
            "workers": workers,
            "seconds": options.seconds,
            "repeats": options.repeats,
        }
        measured: dict[str, Any] = work("environments", request)
        speeds = {}
        for timing in measured["timings"]:
            timing["rates"] = rates(timing["steps"] * options.env_lanes, timing["seconds"])
            speeds[timing["workers"]] = timing["median"] = median(timing["rates"])
        raw.append({"task": task, **measured})
        rows.append([task, *(speeds[count] for count in workers)])
        progress(f"{task}: {', '.join(f'{speed:.4g}' for speed in speeds.values())} env steps/s")
    columns = ["one by one" if count == 0 else f"{count} workers" for count in workers]
    title = f"environments: env steps per second, summed over {options.env_lanes} lanes"
    return Report([Table(title, ["task", *columns], rows)], raw)

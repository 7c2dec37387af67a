"""The machine's own limit: the fastest float32 matrix product that can be seen.

Machines drift (other users, heat), so the limit is measured again and again,
and a figure is divided by the limits measured right before and after it.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from benchmarks.options import Layout, Options
from benchmarks.processes import MeasurementFailed, usable_cores, work
from benchmarks.report import Context, Report, median, progress
from benchmarks.tables import Table

IN_FORCE = "in force"


class Arrangement(NamedTuple):
    """A way of using all cores at once."""

    name: str
    layout: Layout
    xla_flags: str


class Limit:
    """Measures the limit; the first time in every arrangement, then in the best one.

    Args:
      options: size and duration.
      is_cpu: whether the device is one; others have one arrangement.
    """

    def __init__(self, options: Options, is_cpu: bool):
        self._options = options
        self._arrangements = _arrangements(usable_cores()) if is_cpu else [_as_it_is()]
        self._best: Arrangement | None = None
        self.history: list[dict[str, Any]] = []

    def measure(self) -> float:
        """Operations per second now: the median of the repeats, in the best arrangement."""
        if self._best is None:
            rates = {one: self._measure(one) for one in self._arrangements}
            self._best = max(rates, key=rates.__getitem__)
            if rates[self._best] == 0:
                raise MeasurementFailed("the limit could not be measured in any arrangement")
            return rates[self._best]
        return self._measure(self._best)

    def _measure(self, arrangement: Arrangement) -> float:
        options = self._options
        request = {
            "size": options.matrix,
            "seconds": options.seconds / 2,
            "repeats": options.repeats,
        }
        try:
            measured = work("limit", request, arrangement.layout, arrangement.xla_flags)
        except MeasurementFailed as failure:
            if len(self._arrangements) == 1:
                raise
            self.history.append({"arrangement": arrangement.name, "error": str(failure)})
            return 0.0
        rate = median(measured["flops_per_s"][IN_FORCE])
        self.history.append({"arrangement": arrangement.name, **measured, "median": rate})
        progress(f"limit, {arrangement.name}: {rate / 1e9:.4g} GFLOP/s")
        return rate


def _arrangements(cores: int) -> list[Arrangement]:
    whole = Arrangement("one product on all cores", Layout(cores, 1), "")
    if cores == 1:
        return [whole]
    flags = "--xla_cpu_multi_thread_eigen=false"
    return [whole, Arrangement("one product per core", Layout(cores, cores), flags)]


def _as_it_is() -> Arrangement:
    return Arrangement("the device", Layout(), "")


def section(context: Context) -> Report:
    """The limit in all arrangements and precisions."""
    begun = len(context.limit.history)
    context.limit.measure()
    size, rows = context.options.matrix, []
    for entry in context.limit.history[begun:]:
        for precision, rates in entry.get("flops_per_s", {}).items():
            load = f"{entry['load_average'][0]:.2f}"
            cells = [entry["arrangement"], precision, entry["devices"]]
            rows.append([*cells, median(rates) / 1e9, max(rates) / 1e9, load])
    return Report(
        [
            Table(
                f"limit: float32 product of {size} x {size} matrices",
                ["arrangement", "precision", "devices", "GFLOP/s", "best repeat", "load"],
                rows,
                [f"{os.cpu_count()} CPUs, {usable_cores()} usable"],
            )
        ],
        context.limit.history[begun:],
    )

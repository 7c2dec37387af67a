"""Bytes per stored transition, and the memory of a whole run."""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.processes import work
from benchmarks.report import Context, Report, progress
from benchmarks.tables import Table
from benchmarks.training_run import Run, train
from rr_scale.config import ReplayConfig

PRESET = "sr_sac"
# Without it glibc keeps freed arrays of some MB for later, and resident memory says little.
_RETURN_AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "65536"}


def section(context: Context) -> Report:
    """Every size of observation with every way of storing; then one short run."""
    rows, raw = [], []
    for observation_size, action_size in context.options.memory_sizes:
        for storage in _storages():
            request = {
                "preset": PRESET,
                "settings": [*context.options.settings, *_setting(storage)],
                "observation_size": observation_size,
                "action_size": action_size,
                "rows": context.options.memory_rows,
                "repeats": context.options.repeats,
            }
            measured = work("memory", request, variables=_RETURN_AT_ONCE)
            raw.append({**request, **measured, "storage": storage})
            cells = [observation_size, action_size, storage or "plain"]
            rows.append([*cells, measured["counted"], measured["host"], measured["device"]])
            progress(f"O={observation_size}: {measured['counted']:.4g} bytes per transition")
    columns = ["O", "A", "storage", "bytes counted", "seen on host", "seen on device"]
    notes = [
        "counted: in the arrays of the ring; seen: what the system, or an accelerator's "
        "statistics, say of a large ring; on a CPU the host holds the arrays"
    ]
    transitions = Table("memory: bytes per stored transition", columns, rows, notes)
    runs = [_run(context, seeds) for seeds in context.options.seeds]
    title = f"memory: most resident memory of a short run on {context.options.env_name}"
    cells = [[one["seeds"], one["peak_bytes"] / 2**20] for one in runs]
    note = f"a ring of {context.options.capacity:,} transitions per seed; main process"
    peaks = Table(title, ["seeds", "MiB"], cells, [note])
    return Report([transitions, peaks], {"transitions": raw, "runs": runs})


def _run(context: Context, seeds: int) -> dict[str, Any]:
    options = context.options
    seen = train(
        Run.of(
            options,
            preset=PRESET,
            seeds=seeds,
            replay_ratio=1,
            log_interval=20,
            windows=1,
        )
    )
    progress(f"{seeds} seeds: {seen.peak_bytes / 2**20:.0f} MiB")
    return {"seeds": seeds, "peak_bytes": seen.peak_bytes, "layout": seen.layout.name}


def _storages() -> tuple[str | None, ...]:
    """The ways of storing that this version has; None where there is one only."""
    for field in dataclasses.fields(ReplayConfig):
        if field.name == "storage":
            return field.metadata["choices"]
    return (None,)


def _setting(storage: str | None) -> list[tuple[str, str]]:
    return [("replay.storage", storage)] if storage else []

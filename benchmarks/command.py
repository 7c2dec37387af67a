"""Runs the sections that were asked for; prints their tables and writes one JSON file."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from benchmarks import (
    checkpoints,
    cold_start,
    environments,
    evaluation,
    growth,
    kernels,
    limit,
    memory,
    peers,
    tables,
    throughput,
)
from benchmarks.options import Options
from benchmarks.processes import MeasurementFailed, work
from benchmarks.report import Context, Section
from rr_scale.errors import UserError

SECTIONS: dict[str, Section] = {
    "limit": limit.section,
    "throughput": throughput.section,
    "peers": peers.section,
    "environments": environments.section,
    "evaluation": evaluation.section,
    "cold_start": cold_start.section,
    "memory": memory.section,
    "checkpoints": checkpoints.section,
    "growth": growth.section,
    "kernels": kernels.section,
}
# What decides about speed from outside.
_VARIABLES = (
    "XLA_FLAGS",
    "NPROC",
    "JAX_PLATFORMS",
    "JAX_DEFAULT_MATMUL_PRECISION",
    "CUDA_VISIBLE_DEVICES",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
)
_IDLE = 0.5  # load average below which nobody else is at work


def run(options: Options, names: tuple[str, ...], out: Path | None, argv: list[str]) -> int:
    """Measures.

    Args:
      options: sizes.
      names: keys of `SECTIONS`.
      out: JSON file, written anew after every section; None writes none.
      argv: how this was called, for the record.

    Returns:
      0; 1 if a section failed (the others were still measured); 130 if
      interrupted.

    Raises:
      UserError: `out` cannot be written.
    """
    # A polite end like that by Ctrl-C: children are killed on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    record: dict[str, Any] = {
        "date": _now(),
        "command": argv,
        "options": dataclasses.asdict(options),
        "variables": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "load_average": os.getloadavg(),
        "sections": {},
    }
    _write(out, record)
    try:
        record |= work("describe", {})
        print(_headline(record))
        if record["load_average"][0] > _IDLE:
            print("The machine is busy: neither rates nor shares are those of an idle one.")
        is_cpu = record["machine"]["device_platform"] == "cpu"
        context = Context(options, record["machine"], limit.Limit(options, is_cpu))
        for name in names:
            record["sections"][name] = _measure(name, context)
            _write(out, record)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except MeasurementFailed as failure:
        print(f"benchmark: {failure}", file=sys.stderr)
        return 1
    if out:
        print(f"\n{out}")
    return 1 if any("error" in section for section in record["sections"].values()) else 0


def _measure(name: str, context: Context) -> dict[str, Any]:
    print(f"{name}:", file=sys.stderr, flush=True)
    frame: dict[str, Any] = {"begun": _now(), "load_average_before": os.getloadavg()}
    limits = len(context.limit.history)
    try:
        report = SECTIONS[name](context)
    except MeasurementFailed as failure:
        print(f"\n{name} FAILED: {failure}", flush=True)
        return {**frame, "error": str(failure)}
    for table in report.tables:
        print(f"\n{tables.render(table)}", flush=True)
    return {
        **frame,
        "ended": _now(),
        "load_average_after": os.getloadavg(),
        "tables": [table._asdict() for table in report.tables],
        "raw": report.raw,
        "limits": context.limit.history[limits:],
    }


def _headline(record: dict[str, Any]) -> str:
    machine = record["machine"]
    load = ", ".join(f"{value:.2f}" for value in record["load_average"])
    return (
        f"{record['date']}  {machine['cpu']}, {os.cpu_count()} CPUs; "
        f"{machine['device_count']} x {machine['device_kind']}; "
        f"jax {machine['versions']['jax']}; commit {machine['git_commit']}; load {load}"
    )


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _write(out: Path | None, record: dict[str, Any]) -> None:
    if out is None:
        return
    partial = out.with_name(f"{out.name}.partial")
    try:
        partial.write_text(json.dumps(record, indent=1, default=str) + "\n")
        partial.replace(out)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror or error}") from error

"""What a report says about runs: settings that differ, what they ran on, what they cost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rr_scale.analysis.curves import RETURN, Curve, Curves, Run
from rr_scale.analysis.report.pack import number

# Which run it is, and not how it was run.
_NAMES = {"env_name", "exp_name", "seed", "num_seeds", "save_dir", "variants"}
_MACHINE = ("cpu", "device_kind", "device_count", "threads", "matmul_precision")
_COMMIT_DIGITS = 10


def settings(curves: Curves) -> dict[str, Any]:
    """Settings, versions and machines by experiment, those that differ first.

    Returns:
      rows: name, whether it makes another experiment, whether it differs, and
        per experiment its values, several where its runs differ.
    """
    names = [name for name in curves.experiments if any(r.exp_name == name for r in curves.runs)]
    known: dict[str, dict[str, list[str]]] = {}
    free: set[str] = set()
    for run in curves.runs:
        free |= run.free
        for path, value in _facts(run).items():
            shown = known.setdefault(path, {}).setdefault(run.exp_name, [])
            if (text := _text(value)) not in shown:
                shown.append(text)
    rows = []
    for path, by_experiment in known.items():
        values = [by_experiment.get(name, []) for name in names]
        # What an older version did not record is not known to differ.
        known_values = {tuple(value) for value in values if value}
        differs = len(known_values) > 1 or any(len(value) > 1 for value in values)
        makes_another = path not in free and not path.startswith(("machine: ", "version: "))
        rows.append({"name": path, "fixed": makes_another, "differs": differs, "values": values})
    rows.sort(key=lambda row: (not row["differs"], not row["fixed"]))
    return {"experiments": names, "rows": rows}


def _facts(run: Run) -> dict[str, Any]:
    facts = {path: value for path, value in run.config.items() if path not in _NAMES}
    last = run.sessions[-1] if run.sessions else {}
    facts |= {f"machine: {name}": last[name] for name in _MACHINE if name in last}
    if last.get("git_commit"):
        commit, _, dirty = str(last["git_commit"]).partition("-")
        facts["version: commit"] = commit[:_COMMIT_DIGITS] + (f"-{dirty}" if dirty else "")
    return facts | {f"version: {name}": value for name, value in last.get("versions", {}).items()}


def _text(value: Any) -> str:
    return value if value and isinstance(value, str) else json.dumps(value)


def costs(curves: Curves) -> list[dict[str, Any]]:
    """What every run took; a run without a record is not there."""
    found = []
    for run in curves.runs:
        own = [curve for curve in curves if curve.source == run.folder]
        updates = _reached(own, "updates")
        seeds = len(run.seeds)
        last = run.sessions[-1] if run.sessions else {}
        per_s = updates * seeds / run.wall_s if updates and run.wall_s else None
        found.append(
            {
                "experiment": run.exp_name,
                "task": run.env_name,
                "folder": run.folder,
                "seeds": seeds,
                "env_steps": _reached(own, "env_steps"),
                "max_steps": run.max_steps,
                "frames": _reached(own, "frames"),
                "updates": updates,
                "wall_s": number(run.wall_s),
                "updates_per_s": number(per_s, 4),
                "sessions": len(run.sessions),
                "device": str(last.get("device_kind", "")),
            }
        )
    return found


def _reached(own: Iterable[Curve], axis: str) -> int | None:
    positions = (curve.axis(axis) for curve in own)
    ends = [int(found[-1]) for found in positions if found is not None and len(found)]
    return max(ends) if ends else None


def unfinished(curves: Curves) -> list[dict[str, Any]]:
    """Seeds that did not get as far as others of their run, or whose last return is no number."""
    groups: dict[tuple[str, str, str], dict[int, Curve]] = {}
    for curve in curves.where(metric=RETURN):
        if curve.seed is not None and len(curve.env_steps):
            key = (curve.exp_name, curve.env_name, curve.source)
            groups.setdefault(key, {})[curve.seed] = curve
    started = {(run.exp_name, run.env_name, run.folder): run.seeds for run in curves.runs}
    found = []
    for key in dict.fromkeys([*started, *groups]):
        ends = {seed: int(curve.env_steps[-1]) for seed, curve in groups.get(key, {}).items()}
        expected = max(ends.values(), default=0)
        for seed in sorted({*ends, *started.get(key, ())}):
            why = _why(groups.get(key, {}).get(seed), expected)
            if why:
                names = dict(zip(("experiment", "task", "folder"), key, strict=True))
                found.append({**names, "seed": seed, "why": why})
    return found


def _why(curve: Curve | None, expected: int) -> str:
    if curve is None:
        return "no evaluation"
    if curve.env_steps[-1] < expected:
        return f"stopped after env step {curve.env_steps[-1]:,} of {expected:,}"
    return "" if np.isfinite(curve.values[-1]) else "the last return is not finite"


def presets(curves: Curves) -> Mapping[str, str]:
    """The preset that an experiment was made from, where its runs say one."""
    found: dict[str, set[str]] = {}
    for run in curves.runs:
        found.setdefault(run.exp_name, set()).add(str(run.config.get("preset", "")))
    return {name: values.pop() for name, values in found.items() if len(values) == 1}

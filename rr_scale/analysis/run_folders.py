"""Reading folders that this package wrote, and trees of them, as a sweep leaves."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rr_scale import fields
from rr_scale.analysis.curves import RETURN, Curve, Curves, Problem, Run
from rr_scale.analysis.long_csv import Table, read_long
from rr_scale.clock import ReplayRatio, firing_steps
from rr_scale.config import ResetRule
from rr_scale.errors import UserError

RESULTS, METRIC_ROWS, RECORD = "results.csv", "metrics.csv", "run.json"
WALL, RESET = "time/wall_s", "reset/fired"

_SKIPPED = {"checkpoints", "policies", "wandb"}
# Where a run was computed and how it was watched does not make it another experiment.
_NOT_IDENTITY = {
    "exp_name",
    "env_name",
    "seed",
    "num_seeds",
    "variants",
    "devices",
    "lanes_per_group",
    "eval_interval",
    "eval_episodes",
    "log_interval",
}


def find_runs(root: Path) -> list[Path]:
    """Folders with rows or with a record of a run, at `root` or anywhere below it."""
    return sorted(
        Path(folder) for folder, files in _walk(root) if {RESULTS, METRIC_ROWS, RECORD} & set(files)
    )


def read_run_tree(
    root: Path, metrics: Collection[str] | None = (RETURN,), *, strict: bool = True
) -> Curves:
    """All runs at and below a folder.

    Args:
      root: the folder of a run or of a sweep.
      metrics: those to read; None reads all.
      strict: whether a half-written row or a run without evaluations is an
        error, or a problem in the list.

    Raises:
      UserError: a malformed file, or as `strict` says.
    """
    found = find_runs(root)
    above = [folder for folder in found if _holds_others_only(folder, found)]
    absent = [
        Problem("unfinished", f"{place}: no evaluations")
        for folder in above
        for place in _variant_folders(folder)
        if place not in found
    ]
    if absent and strict:
        raise UserError(absent[0].text)
    parts = [_read_folder(root, folder, metrics, strict) for folder in found if folder not in above]
    return Curves((), (), tuple(absent)).merged(parts)


def _walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    for folder, below, files in os.walk(root):
        below[:] = sorted(
            name for name in below if name not in _SKIPPED and not name.startswith(".")
        )
        yield folder, files


def _holds_others_only(folder: Path, found: list[Path]) -> bool:
    # A run with variants keeps its record above the variants' folders.
    has_rows = any((folder / name).exists() for name in (RESULTS, METRIC_ROWS))
    return not has_rows and any(folder in other.parents for other in found)


def _read_folder(root: Path, folder: Path, metrics: Collection[str] | None, strict: bool) -> Curves:
    record = _record(root, folder)
    evaluated = _rows(folder / RESULTS, metrics, strict)
    wanted = None if metrics is None else {*metrics, WALL, RESET}
    logged = _rows(folder / METRIC_ROWS, wanted, strict)
    walls = [curve for curve in logged.curves if curve.metric == WALL]
    resets = [curve for curve in logged.curves if curve.metric == RESET]
    wall = walls[0] if walls else None
    curves = tuple(
        _placed(curve, str(folder), wall)
        for curve in (*evaluated.curves, *logged.curves)
        if metrics is None or curve.metric in metrics
    )
    problems = [*evaluated.problems, *logged.problems]
    run = _run(folder, record, curves, wall, resets)
    if not evaluated.curves and (metrics is None or RETURN in metrics):
        text = f"{folder}: no evaluations"
        if strict:
            raise UserError(text)
        problems.append(Problem("unfinished", text))
    return Curves(curves, (run,), tuple(problems))


def _rows(path: Path, metrics: Collection[str] | None, strict: bool) -> Table:
    if not path.exists():
        return Table([], [])
    return read_long(path, metrics, whole_lines=True, strict=strict)


def _placed(curve: Curve, folder: str, wall: Curve | None) -> Curve:
    walls = None if wall is None else _wall_at(curve.env_steps, wall)
    return dataclasses.replace(curve, wall_s=walls, source=folder)


def _wall_at(steps: np.ndarray, wall: Curve) -> np.ndarray:
    # A run begins at second 0; between logged steps time passes evenly.
    known = np.concatenate([[0], wall.env_steps]), np.concatenate([[0.0], wall.values])
    return np.interp(steps, *known, right=np.nan)


def _run(
    folder: Path,
    record: Mapping[str, Any],
    curves: tuple[Curve, ...],
    wall: Curve | None,
    resets: list[Curve],
) -> Run:
    config = _flat(record.get("config", {}))
    if "resets" in config:
        config["resets"] = _completed(config["resets"])
    sessions = tuple(record.get("sessions", ()))
    free = frozenset(name for session in sessions for name in session.get("free", {}))
    variant = next(
        (v for v in _variants(record) if folder.name == v.get("name")), {"overrides": ()}
    )
    config |= {f"hp.{name}": value for name, value in variant.get("overrides", ())}
    seeds = {curve.seed for curve in curves if curve.seed is not None}
    if "seed" in config:
        seeds |= set(range(config["seed"], config["seed"] + config["num_seeds"]))
    recorded = str(config.get("exp_name") or config.get("preset") or folder.name)
    recorded += f"_{variant['name']}" if "name" in variant else ""
    return Run(
        folder=str(folder),
        exp_name=next((curve.exp_name for curve in curves), recorded),
        env_name=next((curve.env_name for curve in curves), str(config.get("env_name", ""))),
        seeds=tuple(sorted(seeds)),
        config=config,
        free=free | _NOT_IDENTITY,
        sessions=sessions,
        reset_steps=_reset_steps(config, curves, resets),
        wall_s=float(wall.values[-1]) if wall is not None else None,
    )


def _completed(rules: list[Any]) -> list[Any]:
    """Reset rules with the fields that an older version had not; a newer version's as they are."""
    try:
        read = [fields.from_json(rule, ResetRule, "resets") for rule in rules]
    except UserError:
        return rules
    return [fields.to_json(rule, ResetRule) for rule in read]


def _reset_steps(
    config: Mapping[str, Any], curves: tuple[Curve, ...], logged: list[Curve]
) -> tuple[int, ...]:
    """Resets until the last row: by the recorded rules, without those as logged."""
    if "resets" not in config:
        return tuple(sorted({int(step) for curve in logged for step in curve.env_steps}))
    last = max((int(curve.env_steps[-1]) for curve in curves), default=0)
    ratio = ReplayRatio(config["updates_per_step"], config["start_training"])
    rules = (
        ResetRule(unit=rule["unit"], interval=rule["interval"], at=tuple(rule["at"]))
        for rule in config["resets"]
    )
    return tuple(firing_steps(tuple(rules), ratio, last))


def _record(root: Path, folder: Path) -> Mapping[str, Any]:
    """The nearest `run.json` at or above a folder of rows, not above `root`'s parent."""
    for place in (folder, *folder.parents):
        path = place / RECORD
        if path.exists() and (place == folder or _is_variant_of(folder, path)):
            return _json(path)
        # One level above the input, for the folder of a variant given alone.
        if place == root.parent:
            break
    return {}


def _is_variant_of(folder: Path, path: Path) -> bool:
    names = {variant.get("name") for variant in _variants(_json(path))}
    return folder.relative_to(path.parent).as_posix() in names


def _variant_folders(folder: Path) -> list[Path]:
    path = folder / RECORD
    names = [variant.get("name", "") for variant in _variants(_json(path))] if path.exists() else []
    return [folder / name for name in names]


def _variants(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(record.get("config", {}).get("variants", ()))


def _json(path: Path) -> Mapping[str, Any]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as the record of a run ({error})") from None
    if not isinstance(stored, dict) or not isinstance(stored.get("config", {}), dict):
        raise UserError(f"{path}: is not the record of a run")
    return stored


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat

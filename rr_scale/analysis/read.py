"""From paths to curves: whatever the paths are, and with everything that is wrong named."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rr_scale.analysis import problems as checks
from rr_scale.analysis.curves import RETURN, Curve, Curves
from rr_scale.analysis.long_csv import read_long
from rr_scale.analysis.other_sources import (
    is_wandb_export,
    read_text_folder,
    read_wandb_export,
    text_folders,
)
from rr_scale.analysis.run_folders import find_runs, read_run_tree
from rr_scale.errors import UserError


class Input(NamedTuple):
    """A file or folder to read, and what to call it."""

    path: Path
    exp_name: str | None = None  # instead of the name in the files
    env_name: str | None = None

    @classmethod
    def parse(cls, text: str | Path) -> Input:
        """`PATH`, `NAME=PATH` or `NAME:TASK=PATH`; a path that exists is taken as it is."""
        path = Path(text)
        name, equals, rest = str(text).partition("=")
        if path.exists() or not equals:
            return cls(path)
        exp_name, _, env_name = name.partition(":")
        return cls(Path(rest), exp_name or None, env_name or None)


def read_curves(
    inputs: Iterable[str | Path | Input],
    metrics: Collection[str] | None = (RETURN,),
    *,
    strict: bool = True,
    action_repeat: int | None = None,
) -> Curves:
    """Reads run and sweep folders, published tables, `<seed>.txt` folders, W&B exports.

    Args:
      inputs: paths, as `Input.parse` takes them. What is given twice, or lies
        below another one, is read once.
      metrics: those to read; None reads all.
      strict: whether a half-written row and a run without evaluations are
        errors, or problems in the list (of a sweep that is still running).
      action_repeat: frames per env step in tables that do not tell.

    Returns:
      The curves with everything that was found wrong in `problems`: nothing
      is repaired, left out or averaged without a line there.

    Raises:
      UserError: nothing there, unreadable, or contradictory: two different
        experiments under one name.
    """
    asked = [item if isinstance(item, Input) else Input.parse(item) for item in inputs]
    if not asked:
        raise UserError("nothing to read: name at least one folder or file")
    parts = [_read(item, metrics, strict) for item in _distinct(asked)]
    together = Curves(()).merged(parts)
    if not together.curves and not together.runs:
        wanted = "results" if metrics is None else " or ".join(metrics)
        raise UserError(f"{', '.join(str(item.path) for item in asked)}: no {wanted} in there")
    curves = tuple(_with_frames(curve, action_repeat) for curve in together.curves)
    together = dataclasses.replace(together, curves=curves)
    checks.refuse_contradictions(together)
    found = (*together.problems, *checks.find(together))
    return dataclasses.replace(together, problems=tuple(dict.fromkeys(found)))


def _distinct(asked: list[Input]) -> list[Input]:
    """Without inputs that are the same as, or below, another one of the same name."""
    places = [item.path.resolve() for item in asked]
    kept = []
    for index, (item, place) in enumerate(zip(asked, places, strict=True)):
        covered = any(
            (other in place.parents or (other == place and position < index))
            and asked[position][1:] == item[1:]
            for position, other in enumerate(places)
        )
        if not covered:
            kept.append(item)
    return kept


def _read(item: Input, metrics: Collection[str] | None, strict: bool) -> Curves:
    path = item.path
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    if path.is_dir():
        found = _read_folder(item, metrics, strict)
    elif is_wandb_export(path):
        found = _chosen(read_wandb_export(path, item.exp_name, item.env_name), metrics)
    else:
        found = Curves(*map(tuple, _split(read_long(path, metrics, strict=strict))))
        if not found.curves and metrics is not None:
            raise UserError(f"{path}: no row of {' or '.join(metrics)}")
    return _renamed(found, item)


def _read_folder(item: Input, metrics: Collection[str] | None, strict: bool) -> Curves:
    if find_runs(item.path):
        return read_run_tree(item.path, metrics, strict=strict)
    tables = sorted(item.path.glob("*.csv"))
    if tables:
        parts = [_read(item._replace(path=path), metrics, strict) for path in tables]
        return Curves(()).merged(parts)
    folders = text_folders(item.path)
    if not folders:
        raise UserError(f"{item.path}: no results in there (results.csv, *.csv or <seed>.txt)")
    tables_found = [read_text_folder(place, item.exp_name, item.env_name) for place in folders]
    return Curves(()).merged(_chosen(table, metrics) for table in tables_found)


def _split(table):
    return table.curves, (), table.problems


def _chosen(table, metrics: Collection[str] | None) -> Curves:
    curves = (curve for curve in table.curves if metrics is None or curve.metric in metrics)
    return Curves(tuple(curves), (), tuple(table.problems))


def _renamed(found: Curves, item: Input) -> Curves:
    names = {
        field: value
        for field, value in (("exp_name", item.exp_name), ("env_name", item.env_name))
        if value
    }
    if not names:
        return found
    return dataclasses.replace(
        found,
        curves=tuple(dataclasses.replace(curve, **names) for curve in found.curves),
        runs=tuple(dataclasses.replace(run, **names) for run in found.runs),
    )


def _with_frames(curve: Curve, action_repeat: int | None) -> Curve:
    if action_repeat is None or curve.frames is not None:
        return curve
    return dataclasses.replace(curve, frames=np.asarray(curve.env_steps * action_repeat))

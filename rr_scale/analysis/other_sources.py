"""Reading what other code leaves: folders of `<seed>.txt`, and exports of W&B's web page."""

from __future__ import annotations

import csv
import dataclasses
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rr_scale.analysis.curves import RETURN, Curve, Problem
from rr_scale.analysis.load import read_lines
from rr_scale.analysis.long_csv import Table, in_order
from rr_scale.errors import UserError

_NAMES = re.compile(r"(?P<exp>.+)-(?P<env>[A-Za-z_0-9]+-[A-Za-z_0-9]+)")
_SEED = re.compile(r"(?P<rest>.+?)[-_ /.]?(?:seed|s)?[-_ =]?(?P<seed>\d+)", re.IGNORECASE)
_GROUP = re.compile(r"[A-Za-z_ ]+: ")
_SPREAD = ("__MIN", "__MAX")
_STEP_AXES = {"step", "_step", "env_step", "env_steps"}


def is_wandb_export(path: Path) -> bool:
    """Whether a CSV file has the header that W&B's 'export CSV' writes."""
    header = _header(path)
    return len(header) > 1 and any(" - " in name for name in header[1:])


def text_folders(root: Path) -> list[Path]:
    """Folders at or below `root` that hold files named `<seed>.txt`."""
    return sorted({path.parent for path in root.rglob("*.txt") if path.stem.isdecimal()})


def read_text_folder(
    folder: Path, exp_name: str | None = None, env_name: str | None = None
) -> Table:
    """The curves of `<seed>.txt` files: two columns, env step and return.

    Args:
      folder: holds the files.
      exp_name, env_name: by default the last two parts of the folder's path,
        as in `sr_sac/cheetah-run/0.txt`.

    Raises:
      UserError: a malformed row; names file and line.
    """
    place = folder.resolve()
    exp_name = exp_name or place.parent.name
    env_name = env_name or place.name
    curves, problems = [], []
    for path in sorted(folder.glob("*.txt"), key=lambda path: path.name):
        if not path.stem.isdecimal():
            continue
        steps, values = _two_columns(path)
        curve = Curve(exp_name, env_name, int(path.stem), RETURN, steps, values, source=str(folder))
        kept, found = in_order(steps, f"{curve.label} in {path}", values)
        curves.append(dataclasses.replace(curve, env_steps=steps[kept], values=values[kept]))
        problems += found
    return Table(curves, problems)


class _Column(NamedTuple):
    index: int
    run: str
    metric: str


def read_wandb_export(
    path: Path, exp_name: str | None = None, env_name: str | None = None
) -> Table:
    """The curves of a W&B CSV export: a step, then columns named 'run - metric'.

    Runs of ours are called `experiment-task-seed`; names of that form are taken
    apart. The columns of minimum and maximum, which W&B adds, are left out.

    Args:
      path: the file.
      exp_name, env_name: instead of what the names of the runs say.

    Raises:
      UserError: no such export, a malformed row, or times on the x axis.
    """
    lines = read_lines(path, "utf-8-sig")
    header = [name.strip() for name in next(csv.reader(lines), [])]
    if not header or header[0].lower() not in _STEP_AXES:
        raise UserError(
            f"{path}:1: the x axis is '{header[0] if header else ''}': export with Step or env_step"
        )
    columns = [
        _Column(index, *name.rsplit(" - ", 1))
        for index, name in enumerate(header)
        if " - " in name and not name.endswith(_SPREAD)
    ]
    problems = []
    if header[0].lower() in ("step", "_step"):
        text = f"{path}: the x axis is W&B's own Step; it is taken for env steps"
        problems.append(Problem("units", text))
    points = _points(path, lines, header, columns)
    curves: list[Curve] = []
    for column in columns:
        steps, values = points[column.index]
        taken = {(c.exp_name, c.env_name, c.metric): c.seed for c in curves}
        curve, found = _named(path, column, exp_name, env_name, taken)
        kept, repeated = in_order(steps, f"{curve.label} in {path}", values)
        curves.append(dataclasses.replace(curve, env_steps=steps[kept], values=values[kept]))
        problems += [*found, *repeated]
    return Table(curves, problems)


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return next(csv.reader(file), [])


def _two_columns(path: Path) -> tuple[np.ndarray, np.ndarray]:
    steps, values = [], []
    for number, line in enumerate(read_lines(path, "utf-8-sig"), start=1):
        cells = line.split("#", 1)[0].replace(",", " ").split()
        if not cells:
            continue
        try:
            step, value = map(float, cells)
            if step != int(step):
                raise ValueError
        except (ValueError, OverflowError):
            raise UserError(f"{path}:{number}: expected 'env_step return'") from None
        steps.append(int(step))
        values.append(value)
    if not steps:
        raise UserError(f"{path}: no evaluations")
    return np.array(steps, dtype=np.int64), np.array(values, dtype=np.float64)


def _points(
    path: Path, lines: list[str], header: list[str], columns: list[_Column]
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Per column the rows that have a value: steps and values."""
    found: dict[int, tuple[list[int], list[float]]] = {c.index: ([], []) for c in columns}
    reader = csv.reader(lines, strict=True)
    try:
        next(reader, [])
        for cells in reader:
            if len(cells) != len(header):
                raise ValueError(f"expected {len(header)} columns, found {len(cells)}")
            step = float(cells[0])
            for column in columns:
                if cells[column.index].strip():
                    found[column.index][0].append(int(step))
                    found[column.index][1].append(float(cells[column.index]))
    except (csv.Error, ValueError, OverflowError) as error:
        raise UserError(f"{path}:{max(reader.line_num, 1)}: {error}") from error
    return {
        index: (np.array(steps, dtype=np.int64), np.array(values, dtype=np.float64))
        for index, (steps, values) in found.items()
    }


def _named(
    path: Path,
    column: _Column,
    exp_name: str | None,
    env_name: str | None,
    taken: dict[tuple[str, str, str], int | None],
) -> tuple[Curve, list[Problem]]:
    problems = []
    if _GROUP.match(column.run):
        text = f"{path}: '{column.run}' may be an average over a group of runs, not one run"
        problems.append(Problem("units", text))
    with_seed = _SEED.fullmatch(column.run)
    rest = with_seed["rest"] if with_seed else column.run
    parts = _NAMES.fullmatch(rest)
    exp = exp_name or (parts["exp"] if parts and not env_name else rest)
    env = env_name or (parts["env"] if parts else path.stem)
    if not parts and not env_name:
        text = f"{path}: '{column.run}' names no task; it is called '{env}', after the file"
        problems.append(Problem("units", text))
    seed = int(with_seed["seed"]) if with_seed else None
    if seed is None:
        last = taken.get((exp, env, column.metric))
        seed = 0 if last is None else last + 1
        text = f"{path}: '{column.run}' names no seed; it is called seed {seed}"
        problems.append(Problem("units", text))
    nothing = np.zeros(0)
    return Curve(exp, env, seed, column.metric, nothing, nothing, source=str(path)), problems

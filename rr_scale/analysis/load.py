"""Reading result files, strictly: a row that is not whole is an error, not a guess."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from rr_scale.errors import UserError


class Row(NamedTuple):
    """One number of `results.csv` or `metrics.csv`."""

    exp_name: str
    env_name: str
    seed: int | None  # None: a metric of all lanes together
    metric: str
    env_step: int  # agent decisions
    frames: int  # env_step x action repeat
    updates: int  # critic gradient steps per lane
    value: float


def read_results(path: Path) -> list[Row]:
    """All rows of a `results.csv` or `metrics.csv`, in file order.

    Raises:
      UserError: no such file, or a malformed row (also a last row without its
        line end: its number may have lost digits); names file and line.
    """
    path = Path(path)
    lines = read_lines(path)
    if lines and not lines[-1].endswith("\n"):
        raise UserError(f"{path}:{len(lines)}: half-written last row")
    reader = csv.reader(lines, strict=True)
    rows = []
    try:
        header = next(reader, [])
        if tuple(header) != Row._fields:
            raise ValueError(f"expected the header {','.join(Row._fields)}")
        for cells in reader:
            rows.append(_row(cells))
    except (csv.Error, ValueError) as error:
        raise UserError(f"{path}:{max(reader.line_num, 1)}: {error}") from error
    return rows


def read_lines(path: Path, encoding: str = "utf-8") -> list[str]:
    """The lines of a text file with their line ends.

    Raises:
      UserError: it cannot be read, or is not text.
    """
    try:
        with path.open(encoding=encoding, newline="") as file:
            return file.readlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file") from error


def lane_curves(rows: Iterable[Row], metric: str) -> dict[int, dict[int, float]]:
    """Per seed, env_step -> value of `metric`, both in file order."""
    curves: dict[int, dict[int, float]] = {}
    for row in rows:
        if row.metric == metric and row.seed is not None:
            curves.setdefault(row.seed, {})[row.env_step] = row.value
    return curves


def _row(cells: list[str]) -> Row:
    if len(cells) != len(Row._fields):
        raise ValueError(f"expected {len(Row._fields)} columns, found {len(cells)}")
    exp_name, env_name, seed, metric, env_step, frames, updates, value = cells
    return Row(
        exp_name,
        env_name,
        int(seed) if seed else None,
        metric,
        int(env_step),
        int(frames),
        int(updates),
        float(value),
    )

"""Long-format tables: one number per row, columns named by the header.

`results.csv` and `metrics.csv` of ours are such tables, and so is what others
publish: `exp_name, env_name, seed, metric, env_step, value`.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rr_scale.analysis.curves import Curve, Problem
from rr_scale.analysis.load import read_lines
from rr_scale.errors import UserError

REQUIRED = ("exp_name", "env_name", "seed", "metric", "env_step", "value")
OPTIONAL = ("frames", "updates", "wall_s")
_KEY = ("exp_name", "env_name", "seed", "metric")
_EXACT_INTEGER = 2.0**53


class Table(NamedTuple):
    """What a file held."""

    curves: list[Curve]
    problems: list[Problem]


def read_long(
    path: Path,
    metrics: Collection[str] | None = None,
    *,
    whole_lines: bool = False,
    strict: bool = True,
) -> Table:
    """The curves of a long-format CSV file.

    Args:
      path: the file.
      metrics: those to read; None reads all.
      whole_lines: whether a last line without its line end is half-written,
        even if it reads well (its number may have lost digits). So in our own
        files; others end theirs without one.
      strict: whether a half-written last row is an error, or is left out and
        listed as a problem.

    Raises:
      UserError: not such a file, or a malformed row; names file and line.
    """
    lines = read_lines(path, "utf-8-sig")
    problems: list[Problem] = []
    if lines and not lines[-1].endswith("\n"):
        cut = whole_lines or not _reads_well(lines)
        text = f"{path}:{len(lines)}: half-written last row"
        if cut and strict:
            raise UserError(text)
        if cut:
            problems.append(Problem("half-written", f"{text}, left out"))
            lines.pop()
    columns, groups = _grouped(path, lines, metrics)
    curves = []
    for key, rows in groups.items():
        curve, found = _curve(path, columns, key, rows)
        curves.append(curve)
        problems += found
    return Table(curves, problems)


def in_order(steps: np.ndarray, label: str, values: np.ndarray) -> tuple[np.ndarray, list[Problem]]:
    """Which rows make a curve: sorted by step, of equal steps the last one.

    Args:
      steps: env steps [T], in file order.
      label: names the curve in problems.
      values: what was measured [T].

    Returns:
      Indices into the rows, and a problem where a step occurs more than once.
    """
    order = np.argsort(steps, kind="stable")
    ordered = steps[order]
    last = np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)]
    repeated = int((~last).sum())
    if not repeated:
        return order, []
    pairs = zip(order[:-1][~last[:-1]], order[1:][~last[:-1]], strict=True)
    differ = sum(not _same(values[a], values[b]) for a, b in pairs)
    what = f"{differ} with other values" if differ else "with the same values"
    text = f"{label}: {repeated} steps occur again, {what}; the last row counts"
    return order[last], [Problem("duplicate", text)]


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def _reads_well(lines: Sequence[str]) -> bool:
    header, last = (next(csv.reader([line]), []) for line in (lines[0], lines[-1]))
    if len(header) != len(last) or "value" not in header:
        return False
    try:
        float(last[header.index("value")])
    except ValueError:
        return False
    return True


def _grouped(
    path: Path, lines: Sequence[str], metrics: Collection[str] | None
) -> tuple[list[str], dict[tuple[str, ...], list[tuple[int, list[str]]]]]:
    reader = csv.reader(lines, strict=True)
    groups: dict[tuple[str, ...], list[tuple[int, list[str]]]] = {}
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in REQUIRED if name not in header]
        if missing:
            raise ValueError(f"not a table of results: the header has no {', '.join(missing)}")
        exp, env, seed, metric = (header.index(name) for name in _KEY)
        width = len(header)
        for cells in reader:
            if len(cells) != width:
                if not cells:
                    continue
                raise ValueError(f"expected {width} columns, found {len(cells)}")
            if metrics is not None and cells[metric] not in metrics:
                continue
            key = (cells[exp], cells[env], cells[seed], cells[metric])
            groups.setdefault(key, []).append((reader.line_num, cells))
    except (csv.Error, ValueError) as error:
        raise UserError(f"{path}:{max(reader.line_num, 1)}: {error}") from error
    return header, groups


def _curve(
    path: Path, header: list[str], key: tuple[str, ...], rows: list[tuple[int, list[str]]]
) -> tuple[Curve, list[Problem]]:
    exp_name, env_name, seed_text, metric = key
    seed = None if not seed_text.strip() else _integer(path, rows[0][0], "seed", seed_text)
    steps = _integers(path, header, rows, "env_step")
    values = _numbers(path, header, rows, "value")
    curve = Curve(exp_name, env_name, seed, metric, steps, values, source=str(path))
    kept, problems = in_order(steps, f"{curve.label}, {metric} in {path}", values)
    frames, updates = (
        _integers(path, header, rows, name)[kept] if name in header else None
        for name in ("frames", "updates")
    )
    wall_s = _numbers(path, header, rows, "wall_s")[kept] if "wall_s" in header else None
    curve = Curve(
        exp_name,
        env_name,
        seed,
        metric,
        steps[kept],
        values[kept],
        frames=frames,
        updates=updates,
        wall_s=wall_s,
        source=str(path),
    )
    return curve, problems


def _numbers(
    path: Path, header: list[str], rows: list[tuple[int, list[str]]], name: str
) -> np.ndarray:
    column = header.index(name)
    try:
        return np.array([float(cells[column]) for _, cells in rows], dtype=np.float64)
    except ValueError:
        for line, cells in rows:
            try:
                float(cells[column])
            except ValueError:
                raise UserError(f"{path}:{line}: {name} is '{cells[column]}'") from None
        raise


def _integers(
    path: Path, header: list[str], rows: list[tuple[int, list[str]]], name: str
) -> np.ndarray:
    # Others write 10000.0; what is not a whole number is an error.
    numbers = _numbers(path, header, rows, name)
    whole = (np.abs(numbers) < _EXACT_INTEGER) & (numbers == np.floor(numbers)) & (numbers >= 0)
    if not whole.all():
        line, cells = rows[int(np.argmin(whole))]
        raise UserError(f"{path}:{line}: {name} is '{cells[header.index(name)]}'")
    return numbers.astype(np.int64)


def _integer(path: Path, line: int, name: str, text: str) -> int:
    try:
        number = float(text)
        if number == int(number):
            return int(number)
    except (ValueError, OverflowError):
        pass
    raise UserError(f"{path}:{line}: {name} is '{text}', not an integer")

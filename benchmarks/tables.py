"""Numbers as people read them, in columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from rr_scale.columns import align


class Table(NamedTuple):
    """One table of a report; notes are lines below it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    notes: Sequence[str] = ()


def render(table: Table) -> str:
    """The table as text: words to the left, numbers to the right."""
    if not table.columns:
        return "\n".join([table.title, *table.notes])
    cells = [[cell(value) for value in row] for row in table.rows]
    for row in cells:
        if len(row) != len(table.columns):
            raise ValueError(f"{table.title}: {len(row)} cells in {len(table.columns)} columns")
    words = [
        index
        for index in range(len(table.columns))
        if not table.rows or any(isinstance(row[index], str) for row in table.rows)
    ]
    head, *body = align([table.columns, *cells], left=words)
    rule = "-" * max(map(len, [head, *body]))
    return "\n".join([table.title, head, rule, *body, *table.notes])


def cell(value: Any) -> str:
    """One value: three significant digits, thousands grouped, `-` for nothing."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(digits, 0)}f}"


def percent(share: float) -> str:
    """A share of one as text."""
    return f"{cell(100 * share)} %"

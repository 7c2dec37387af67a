"""Tables as plain text: cells under each other."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def align(rows: Sequence[Sequence[str]], left: Collection[int] = ()) -> list[str]:
    """Rows as lines whose columns are two blanks apart, without blanks at the end.

    Args:
      rows: cells, as many in every row.
      left: the columns that are flush left; numbers, like the others, end in line.

    Raises:
      ValueError: rows of different lengths.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines

"""What a section hands back, and what all sections share."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.options import Layout, Options
from benchmarks.tables import Table

if TYPE_CHECKING:
    from benchmarks.limit import Limit


class Context(NamedTuple):
    """What every section is given."""

    options: Options
    machine: dict[str, Any]  # `platform.describe()` of a worker
    limit: Limit


class Report(NamedTuple):
    """Tables for people, and everything measured for machines."""

    tables: list[Table]
    raw: Any  # what JSON can hold


Section = Callable[[Context], Report]


def median(values: list[float]) -> float:
    """The middle one; one slow repeat does not move it."""
    return float(statistics.median(values))


def rates(work: float, seconds: list[float]) -> list[float]:
    """`work` per second, for each repeat."""
    return [work / duration for duration in seconds]


def shown_layout(measured: dict[str, Any]) -> str:
    """Threads x host devices that a child reports."""
    return Layout(**measured["layout"]).name


def progress(text: str) -> None:
    """One line on stderr: the table comes only at the end of a section."""
    print(f"  {text}", file=sys.stderr, flush=True)

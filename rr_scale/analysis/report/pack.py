"""Numbers on their way into the page: small, and without what JSON cannot hold."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np

# What JSON may hold and a page must not: the end of its script, and line ends of JavaScript.
_ESCAPED = {character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


class Grids:
    """Arrays of positions, each kept once: curves name them by number."""

    def __init__(self) -> None:
        self.arrays: list[list[float | None]] = []
        self._numbers: dict[bytes, int] = {}

    def add(self, positions: np.ndarray | None) -> int | None:
        """The number of an array of positions; None stays None."""
        if positions is None:
            return None
        key = f"{positions.dtype}".encode() + positions.tobytes()
        if key not in self._numbers:
            self._numbers[key] = len(self.arrays)
            self.arrays.append(rounded(positions, 9))
        return self._numbers[key]


def exact(values: np.ndarray) -> list[float | None]:
    """All digits; None where a value is not finite."""
    return [value if math.isfinite(value) else None for value in values.tolist()]


def rounded(values: np.ndarray, digits: int = 6) -> list[float | None]:
    """Significant digits as given, whole numbers without a point."""
    return [_short(value, digits) for value in values.tolist()]


def number(value: float | None, digits: int = 6) -> float | None:
    """One number like `rounded`."""
    return None if value is None else _short(float(value), digits)


def to_script(content: Any) -> str:
    """JSON that can stand inside a `<script>` element, whatever strings it holds."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return "".join(_ESCAPED.get(character, character) for character in text)


def thinned(steps: np.ndarray, values: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most so many points: means over neighbours, at the last step of each group."""
    if len(steps) <= most:
        return steps, values
    parts = np.array_split(np.arange(len(steps)), most)
    means = [_finite_mean(values[part]) for part in parts]
    return np.array([steps[part[-1]] for part in parts]), np.array(means)


def _finite_mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else math.nan


def _short(value: float, digits: int) -> float | None:
    if not math.isfinite(value):
        return None
    if isinstance(value, int):
        return value
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def naturally(name: str) -> list[tuple[str, int]]:
    """A key that sorts `rr8` before `rr16`."""
    return [(text, int(digits or -1)) for text, digits in re.findall(r"(\D*)(\d*)", name)]

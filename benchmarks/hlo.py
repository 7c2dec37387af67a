"""What a compiled program starts on an accelerator, read from XLA's own text of it.

Every operation of an optimised program that is not bookkeeping becomes a
kernel or a copy. A conditional makes the host wait for the device.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

_BOOKKEEPING = {
    "parameter",
    "constant",
    "tuple",
    "get-tuple-element",
    "bitcast",
    "after-all",
    "partition-id",
}
_HEAD = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[\w.\-]+) \(.*\{$")
_OPERATION = re.compile(r" ([a-z][\w\-]*)\(")
_BODY = re.compile(r"body=%?([\w.\-]+)")
_SIDES = re.compile(r"(?:true|false)_computation=%?([\w.\-]+)|branch_computations=\{([^}]*)\}")
_CALLS = re.compile(r"calls=%?([\w.\-]+)")
_TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')


class Launches(NamedTuple):
    """What one execution starts."""

    kernels: int = 0  # of them all, copies included
    products: int = 0  # of matrices
    copies: int = 0
    conditionals: int = 0
    open_loops: int = 0  # whose length only the device knows; the host asks after every round

    def plus(self, other: Launches, times: int = 1) -> Launches:
        """These and `times` the others."""
        return Launches(*(a + times * b for a, b in zip(self, other, strict=True)))


def launches(text: str, side: Callable[[list[int]], int]) -> Launches:
    """Counts a program, loops as often as they run.

    Args:
      text: of an optimised module.
      side: which branch of a conditional counts, by its kernels: `min` or `max`.

    Raises:
      ValueError: the text has no entry.
    """
    parts, entry = _computations(text)
    if entry is None:
        raise ValueError("no program in this text")

    def count(name: str) -> Launches:
        total = Launches()
        for line in parts[name]:
            found = _OPERATION.search(line.split(" = ", 1)[1])
            operation = found[1] if found else ""
            if operation == "while":
                trips, body = _TRIPS.search(line), _BODY.search(line)
                assert body is not None
                times = int(trips[1]) if trips else 1
                total = total.plus(count(body[1]), times).plus(Launches(open_loops=not trips))
            elif operation == "conditional":
                branches = [count(branch) for branch in _branches(line)]
                kernels = [branch.kernels for branch in branches]
                chosen = branches[kernels.index(side(kernels))]
                total = total.plus(chosen).plus(Launches(conditionals=1))
            elif operation not in _BOOKKEEPING:
                product = _is_product(operation, line, parts)
                total = total.plus(Launches(1, int(product), int(operation.startswith("copy"))))
        return total

    return count(entry)


def _is_product(operation: str, line: str, parts: dict[str, list[str]]) -> bool:
    """Whether a kernel multiplies matrices: by itself, in a library or somewhere in a fusion."""
    called = _CALLS.search(line)
    inside = parts.get(called[1], []) if called else []
    return operation == "dot" or "__cublas" in line or any(" dot(" in one for one in inside)


def _branches(line: str) -> list[str]:
    names: list[str] = []
    for one, several in _SIDES.findall(line):
        names += [one] if one else [name.strip().lstrip("%") for name in several.split(",")]
    return names


def _computations(text: str) -> tuple[dict[str, list[str]], str | None]:
    """Name of a computation -> its lines; and which one is the program."""
    parts: dict[str, list[str]] = {}
    entry, lines = None, None
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head:
            lines = parts[head["name"]] = []
            entry = head["name"] if head["entry"] else entry
        elif line.startswith("}"):
            lines = None
        elif lines is not None and " = " in line:
            lines.append(line)
    return parts, entry

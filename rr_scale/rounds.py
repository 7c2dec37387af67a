"""How the updates of one env step are put into loops, if some of them do delayed steps.

A program that does not know which updates these are asks the clock in every
update. On an accelerator that makes the host wait and copies what the delayed
steps may change, so there the program is told.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

Stretches = tuple[tuple[int | None, int], ...]
"""(phase, length) of updates in a row that do the same steps, see `agents.update.stretches`; a
phase of None leaves it to the clock."""
_MOST_PROGRAMS = 3


class Rounds(NamedTuple):
    """How the updates of a step are put into loops; part of the program."""

    before: Stretches
    count: Any  # rounds; traced where it is not to be part of the program
    stretches: Stretches  # of each round
    after: Stretches

    @property
    def begun(self) -> int:
        """Updates before the rounds."""
        return _length(self.before)

    @property
    def length(self) -> int:
        """Updates per round."""
        return _length(self.stretches)

    @property
    def total(self) -> int:
        """Updates."""
        return self.begun + self.count * self.length + _length(self.after)


def rounds_of(stretches: Stretches, first: int, num_updates: int, known: bool) -> Rounds:
    """The rounds of a step.

    Args:
      stretches: of a period of the agent's delays.
      first: index of the first update.
      num_updates: how many.
      known: whether the program is to know which of the updates do delayed
        steps. Then a round is a period of the delays, if steps of this many
        updates take few programs; else it is one update that asks the clock.
    """
    period = _length(stretches)
    possible = known and period and num_updates
    if not possible or period // math.gcd(period, num_updates) > _MOST_PROGRAMS:
        return Rounds((), num_updates, ((None, 1),), ())
    phase = first % period
    before = _part(stretches, phase, min(phase + num_updates, period)) if phase else ()
    count, left = divmod(num_updates - _length(before), period)
    return Rounds(before, count, stretches, _part(stretches, 0, left))


def _length(stretches: Stretches) -> int:
    return sum(length for _, length in stretches)


def _part(stretches: Stretches, begin: int, end: int) -> Stretches:
    """What lies in the phases from `begin` to before `end`."""
    found, low = [], 0
    for phase, length in stretches:
        inside = min(low + length, end) - max(low, begin)
        if inside > 0:
            found.append((phase, inside))
        low += length
    return tuple(found)

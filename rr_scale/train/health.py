"""Lanes that turned non-finite, and what the policy says to do about them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rr_scale.errors import LaneFailure


class Health:
    """Which lanes failed, when, and whether they are dropped.

    A dropped lane is stepped and evaluated no more. Its share of the compiled
    program keeps running on numbers nobody reads: taking it out would be
    another program, and the others would not go on bit for bit.

    Args:
      policy: a `nan_policy`.
      seeds: of the lanes.
    """

    def __init__(self, policy: str, seeds: Sequence[int]):
        if policy == "auto":
            policy = "drop" if len(seeds) > 1 else "stop"
        self._policy = policy
        self._seeds = seeds
        self.failed: dict[int, int] = {}  # lane -> first bad update
        self.pinned: int | None = None  # the last checkpoint with all lanes finite

    @property
    def dropped(self) -> list[bool]:
        """Per lane, whether it is out of the run."""
        drops = self._policy == "drop"
        return [drops and lane in self.failed for lane in range(len(self._seeds))]

    def found(self, bad: np.ndarray, first_update: np.ndarray | int) -> list[int]:
        """Notes lanes with non-finite numbers.

        Args:
          bad: [S] bool.
          first_update: [S] or one for all, the update at which it began.

        Returns:
          Lanes to drop now.

        Raises:
          LaneFailure: under `stop`.
        """
        first = np.broadcast_to(first_update, bad.shape)
        new = [lane for lane in np.flatnonzero(bad).tolist() if lane not in self.failed]
        for lane in new:
            self.failed[lane] = int(first[lane])
        if not new:
            return []
        what = ", ".join(f"seed {self._seeds[lane]} at update {self.failed[lane]}" for lane in new)
        message = f"non-finite losses or parameters: {what}"
        if self._policy == "stop":
            raise LaneFailure(f"{message} (nan_policy=stop; the checkpoint before it is kept)")
        action = "dropped" if self._policy == "drop" else "continuing"
        print(f"warning: {message}; {action}", file=sys.stderr)
        return new if self._policy == "drop" else []

    def to_json(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"failed": sorted(self.failed.items()), "pinned": self.pinned}

    def from_json(self, stored: Mapping[str, Any]) -> None:
        """From the checkpoint."""
        self.failed = {int(lane): int(update) for lane, update in stored["failed"]}
        self.pinned = stored["pinned"]

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
        self.dropped = [False] * len(seeds)
        self.pinned: int | None = None  # the last checkpoint with all lanes finite

    def found(
        self, bad: np.ndarray, first_update: np.ndarray | int, checkpoint: int | None
    ) -> list[int]:
        """Notes lanes with non-finite numbers.

        Args:
          bad: [S] bool.
          first_update: [S] or one for all, the update at which it began.
          checkpoint: step of the newest checkpoint, None if there is none.

        Returns:
          Lanes to drop now.

        Raises:
          LaneFailure: under `stop`, or when no lane is left.
        """
        first = np.broadcast_to(first_update, bad.shape)
        new = [lane for lane in np.flatnonzero(bad).tolist() if lane not in self.failed]
        if not new:
            return []
        if not self.failed:
            self.pinned = checkpoint
        for lane in new:
            self.failed[lane] = int(first[lane])
            self.dropped[lane] = self._policy == "drop"
        what = ", ".join(f"seed {self._seeds[lane]} at update {self.failed[lane]}" for lane in new)
        message = f"non-finite losses or parameters: {what}"
        if self._policy == "stop" or all(self.dropped):
            kept = "no checkpoint yet" if checkpoint is None else f"checkpoint {checkpoint} is kept"
            why = "nan_policy=stop" if self._policy == "stop" else "no seed is left"
            raise LaneFailure(f"{message} ({why}; {kept})")
        action = "dropped" if self._policy == "drop" else "continuing"
        print(f"warning: {message}; {action}", file=sys.stderr)
        return new if self._policy == "drop" else []

    def to_json(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {
            "failed": sorted(self.failed.items()),
            "dropped": self.dropped,
            "pinned": self.pinned,
        }

    def from_json(self, stored: Mapping[str, Any]) -> None:
        """From the checkpoint."""
        self.failed = {int(lane): int(update) for lane, update in stored["failed"]}
        self.dropped = list(stored["dropped"])
        self.pinned = stored["pinned"]

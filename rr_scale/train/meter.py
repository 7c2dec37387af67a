"""What a row of `metrics.csv` says besides what the device reports: episodes and speed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from rr_scale.envs.pool import Episode
from rr_scale.train.outputs import Row


class Meter:
    """Collects between two rows.

    Args:
      num_lanes: S.
    """

    def __init__(self, num_lanes: int):
        self._num_lanes = num_lanes
        self._episodes: list[list[tuple[float, int]]] = [[] for _ in range(num_lanes)]
        self._wall_s = 0.0

    def start(self, env_step: int, updates: int) -> None:
        """The clock runs from here."""
        self._started = time.monotonic() - self._wall_s
        self._mark = (time.monotonic(), env_step, updates)

    def finished(self, episodes: Iterable[Episode]) -> None:
        """Training episodes that ended."""
        for episode in episodes:
            self._episodes[episode.lane].append((episode.episode_return, episode.length))

    def rows(self, means: Mapping[str, np.ndarray], dropped: Sequence[bool]) -> list[Row]:
        """A row per lane, None for a dropped one; the episodes are forgotten.

        Args:
          means: metrics [S] of the device.
          dropped: [S].
        """
        rows: list[Row] = []
        for lane, episodes in enumerate(self._episodes):
            row = {name: float(values[lane]) for name, values in means.items()}
            if episodes:
                returns, lengths = zip(*episodes, strict=True)
                row["train/episode_return"] = float(np.mean(returns))
                row["train/episode_length"] = float(np.mean(lengths))
            rows.append(None if dropped[lane] else row)
        self._episodes = [[] for _ in range(self._num_lanes)]
        return rows

    def speed(self, env_step: int, updates: int) -> dict[str, float]:
        """Rates since this was last asked."""
        now = time.monotonic()
        then, env_step_then, updates_then = self._mark
        self._mark = (now, env_step, updates)
        return {
            "time/wall_s": now - self._started,
            "time/env_steps_per_s": (env_step - env_step_then) / (now - then),
            "time/updates_per_s": (updates - updates_then) * self._num_lanes / (now - then),
        }

    def to_json(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"wall_s": time.monotonic() - self._started, "episodes": self._episodes}

    def from_json(self, stored: Mapping[str, Any]) -> None:
        """From the checkpoint."""
        self._wall_s = stored["wall_s"]
        self._episodes = [[tuple(pair) for pair in lane] for lane in stored["episodes"]]

"""Everything a run writes besides checkpoints, for all its folders.

Lanes of one folder share result files and a tracker; with variants there are
several folders. The loop speaks of all lanes at once and this module takes
the rows apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rr_scale import configure
from rr_scale.config import RunConfig
from rr_scale.errors import CheckpointError
from rr_scale.train.logging import METRIC_ROWS, ResultFiles
from rr_scale.train.policies import save_policy
from rr_scale.train.tracker import NullTracker, Tracker, WandbTracker
from rr_scale.types import Lane

Row = Mapping[str, float] | None


class Outputs:
    """Result files, policies and trackers of a run.

    Args:
      config: the resolved configuration.
      lanes: all lanes, in order.
      tracker_states: what `state()` said at the checkpoint, or nothing.
    """

    def __init__(
        self,
        config: RunConfig,
        lanes: Sequence[Lane],
        tracker_states: Mapping[str, Any] | None = None,
    ):
        self._config = config
        self._lanes = lanes
        self._root = Path(config.save_dir)
        self._tracker_states = dict(tracker_states or {})
        self._members: dict[str, list[int]] = {}
        for index, lane in enumerate(lanes):
            self._members.setdefault(lane.folder, []).append(index)
        self._files = {
            folder: ResultFiles(
                self._root / folder,
                [lanes[index].seed for index in members],
                lanes[members[0]].exp_name,
                config.env_name,
                config.action_repeat,
            )
            for folder, members in self._members.items()
        }
        self._trackers = {
            folder: self._tracker(folder, self._tracker_states.get(folder))
            for folder in self._members
        }

    def evaluation(self, env_step: int, updates: int, rows: Sequence[Row]) -> None:
        """One evaluation: a row per lane, None for a dropped one."""
        for folder, own in self._split(rows):
            self._files[folder].evaluation(env_step, updates, own)
            self._trackers[folder].log(env_step, updates, own)

    def metrics(
        self, env_step: int, updates: int, rows: Sequence[Row], shared: Mapping[str, float]
    ) -> None:
        """Training metrics: a row per lane, and numbers that all lanes share."""
        for folder, own in self._split(rows):
            self._files[folder].metrics(env_step, updates, own, shared)
            tracked = [None if row is None else {**row, **shared} for row in own]
            self._trackers[folder].log(env_step, updates, tracked)

    def policy(
        self, lane: int, kind: str, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]
    ) -> None:
        """Saves one lane's actor as `policies/<seed>-<kind>.npz`; kind is best or last."""
        seed, _, exp_name, folder = self._lanes[lane]
        metadata = {
            **facts,
            "seed": seed,
            "env_name": self._config.env_name,
            "action_repeat": self._config.action_repeat,
            "exp_name": exp_name,
            "agent": configure.to_dict(self._config)["agent"],
        }
        save_policy(self._root / folder / "policies" / f"{seed}-{kind}.npz", arrays, metadata)

    def lengths(
        self, before: Mapping[str, Mapping[str, int]] | None = None
    ) -> dict[str, dict[str, int]]:
        """Byte lengths of all text files, per folder.

        Args:
          before: what this said at an earlier step. Training metrics keep
            their length of then, so that only evaluations were added.
        """
        now = {folder: files.lengths() for folder, files in self._files.items()}
        if before is None:
            return now
        return {folder: _with_metrics_of(before[folder], names) for folder, names in now.items()}

    def sync(self) -> None:
        """Forces all text files to disk; any thread may, while the loop appends."""
        for files in self._files.values():
            files.sync()

    def truncate(self, lengths: Mapping[str, Mapping[str, int]]) -> None:
        """Cuts all text files back to a checkpoint; {} removes them."""
        if lengths and set(lengths) != set(self._files):
            raise CheckpointError(
                f"checkpoint has folders {sorted(lengths)}, the run has {sorted(self._files)}"
            )
        for folder, files in self._files.items():
            files.truncate(lengths.get(folder, {}))

    def tracker_states(self) -> dict[str, Any]:
        """What lets a resumed run continue the same tracked runs.

        A session without tracking passes on what an earlier one left.
        """
        if not self._config.track:
            return self._tracker_states
        return {folder: tracker.state() for folder, tracker in self._trackers.items()}

    def close(self) -> None:
        """Closes files and trackers."""
        for files in self._files.values():
            files.close()
        for tracker in self._trackers.values():
            tracker.close()

    def _split(self, rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
        return [
            (folder, [rows[index] for index in members])
            for folder, members in self._members.items()
        ]

    def _tracker(self, folder: str, state: Mapping[str, Any] | None) -> Tracker:
        if not self._config.track:
            return NullTracker()
        first = self._lanes[self._members[folder][0]]
        return WandbTracker(
            configure.to_dict(self._config),
            [self._lanes[index].seed for index in self._members[folder]],
            first.exp_name,
            self._config.env_name,
            self._root / folder,
            state,
        )


def _with_metrics_of(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    others = {name: length for name, length in now.items() if name != METRIC_ROWS}
    return others | {name: length for name, length in before.items() if name == METRIC_ROWS}

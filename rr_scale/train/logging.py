"""The text files of a run: append-only, and byte for byte a function of the training.

A checkpoint records how long each file was (`lengths`); a resumed run cuts
them back to that (`truncate`) and writes the rest again, so that an
interrupted run leaves the same bytes as one that was never stopped.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rr_scale import durable
from rr_scale.errors import CheckpointError
from rr_scale.train.metrics import EVALUATION, METRICS, OPTIONAL

COLUMNS = ("exp_name", "env_name", "seed", "metric", "env_step", "frames", "updates", "value")
RESULTS = "results.csv"
METRIC_ROWS = "metrics.csv"


class ResultFiles:
    """Writes `results.csv`, `metrics.csv` and `<seed>.txt` of the lanes of one folder.

    No file is kept open: each call opens, writes whole rows and closes, so a
    reader sees complete rows and `truncate` has no stale handle to fear.

    Args:
      folder: where the files go; created if missing.
      seeds: one per lane, distinct, in lane order.
      exp_name, env_name: first two columns of every row.
      action_repeat: frames per env step.
    """

    def __init__(
        self,
        folder: Path,
        seeds: Sequence[int],
        exp_name: str,
        env_name: str,
        action_repeat: int,
    ):
        self._folder = Path(folder)
        self._seeds = [int(seed) for seed in seeds]
        if len(set(self._seeds)) != len(self._seeds):
            raise ValueError(f"lanes of one folder need distinct seeds, got {self._seeds}")
        self._names = (exp_name, env_name)
        self._action_repeat = action_repeat
        self._folder.mkdir(parents=True, exist_ok=True)

    def evaluation(
        self, env_step: int, updates: int, rows: Sequence[Mapping[str, float] | None]
    ) -> None:
        """Appends one evaluation to `results.csv` and to each `<seed>.txt`.

        Args:
          env_step: agent decisions completed, per lane.
          updates: critic gradient steps completed, per lane.
          rows: per lane its evaluation metrics, or None for a dropped lane.

        Raises:
          KeyError: a metric of `EVALUATION` that is not `OPTIONAL` is missing,
            or there is one that is not in it.
        """
        cells: list[tuple[object, str, float]] = []
        for seed, row in zip(self._seeds, rows, strict=True):
            if row is not None:
                cells += [(seed, name, value) for name, value in _evaluation_order(row)]
        self._append_rows(RESULTS, env_step, updates, cells)
        for seed, row in zip(self._seeds, rows, strict=True):
            if row is not None:
                self._append(f"{seed}.txt", f"{env_step} {float(row['avg_return'])!r}\n", "")

    def metrics(
        self,
        env_step: int,
        updates: int,
        per_lane: Sequence[Mapping[str, float] | None],
        shared: Mapping[str, float],
    ) -> None:
        """Appends training metrics to `metrics.csv`, in the order of the registry.

        Args:
          env_step, updates: as in `evaluation`.
          per_lane: per lane its metrics, or None where there is nothing to say.
          shared: metrics of all lanes together; their seed cell stays empty.

        Raises:
          KeyError: a metric that is not in `METRICS`.
        """
        cells: list[tuple[object, str, float]] = []
        for seed, row in zip(self._seeds, per_lane, strict=True):
            cells += [(seed, name, value) for name, value in _registry_order(row or {})]
        cells += [("", name, value) for name, value in _registry_order(shared)]
        self._append_rows(METRIC_ROWS, env_step, updates, cells)

    def lengths(self) -> dict[str, int]:
        """The bytes in each file that exists."""
        paths = [self._folder / name for name in self._own_names()]
        return {path.name: path.stat().st_size for path in paths if path.exists()}

    def sync(self) -> None:
        """Forces everything to disk; any thread may, while another one appends."""
        for name in self.lengths():
            with (self._folder / name).open("rb+") as file:
                os.fsync(file.fileno())
        durable.sync_directory(self._folder)

    def truncate(self, lengths: Mapping[str, int]) -> None:
        """Brings the files back to what `lengths` said; `{}` removes them all.

        Files that appeared since are removed. Nothing is touched unless every
        recorded file is there and long enough.

        Raises:
          CheckpointError: a recorded file is missing or shorter than recorded,
            or is not one of this run's.
        """
        own = self._own_names()
        for name, length in lengths.items():
            # A checkpoint may come from a stranger: it must not name '../x'.
            if name not in own:
                raise CheckpointError(f"checkpoint lists '{name}', which is no file of this run")
            path = self._folder / name
            if not path.is_file():
                raise CheckpointError(f"{path}: missing, but the checkpoint says it has {length} B")
            size = path.stat().st_size
            if size < length:
                raise CheckpointError(
                    f"{path}: has {size} bytes, the checkpoint says {length}; was it edited?"
                )
        for name in own:
            path = self._folder / name
            if name in lengths:
                os.truncate(path, lengths[name])
            else:
                path.unlink(missing_ok=True)
        self.sync()

    def close(self) -> None:
        """Forces everything to disk."""
        self.sync()

    def _own_names(self) -> list[str]:
        return [RESULTS, METRIC_ROWS, *(f"{seed}.txt" for seed in self._seeds)]

    def _append_rows(
        self, name: str, env_step: int, updates: int, cells: Iterable[tuple[object, str, float]]
    ) -> None:
        frames = env_step * self._action_repeat
        rows = [
            (*self._names, seed, metric, env_step, frames, updates, repr(float(value)))
            for seed, metric, value in cells
        ]
        if rows:
            self._append(name, _csv_text(rows), _csv_text([COLUMNS]))

    def _append(self, name: str, text: str, header: str) -> None:
        with (self._folder / name).open("ab") as file:
            # One write: a reader of a live run then never meets half a row.
            file.write(((header if file.tell() == 0 else "") + text).encode())


def _evaluation_order(row: Mapping[str, float]) -> list[tuple[str, float]]:
    unknown = set(row) - set(EVALUATION)
    if unknown:
        raise KeyError(f"not evaluation metrics: {sorted(unknown)}")
    names = [name for name in EVALUATION if name not in OPTIONAL or name in row]
    return [(name, row[name]) for name in names]


def _registry_order(row: Mapping[str, float]) -> list[tuple[str, float]]:
    unknown = set(row) - set(METRICS)
    if unknown:
        raise KeyError(f"metrics missing from rr_scale.train.metrics: {sorted(unknown)}")
    return [(name, row[name]) for name in METRICS if name in row]


def _csv_text(rows: Iterable[Iterable[object]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()

"""Names inside `checkpoints/`: what counts, what is left over from a crash.

`step-<n>` is a checkpoint. `tmp-*` and `*.partial` never count. `replaced-<n>`
is what `step-<n>` was before the same step was saved again; it counts while
`step-<n>` is not there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from rr_scale import durable
from rr_scale.errors import CheckpointError
from rr_scale.replay import store

_STEP = re.compile(r"(step|replaced)-(\d{12})")
_TEMPORARY = "tmp-"
_COMMITTED = "committed.json"


class Folders:
    """The `checkpoints` folder as names; knows no contents.

    Args:
      directory: the folder; need not exist.
    """

    def __init__(self, directory: Path):
        self.directory = directory.absolute()
        self.root = self.directory.parent
        self.replay = self.directory / "replay"
        # Beside the folder, so that it outlives it: checkpoints that were
        # deleted by hand are an error and not a new run.
        self._record = self.root / _COMMITTED
        self._discarded = self.directory.with_name(self.directory.name + ".discarded")

    def create(self) -> None:
        """Makes the folders."""
        self.replay.mkdir(parents=True, exist_ok=True)
        durable.sync_directory(self.root)
        durable.remove_tree(self._discarded)

    def steps(self) -> set[int]:
        """Every checkpoint that is there."""
        if not self.directory.is_dir():
            return set()
        matches = (_STEP.fullmatch(entry.name) for entry in self.directory.iterdir())
        return {int(match[2]) for match in matches if match}

    def path(self, step: int) -> Path:
        """The folder of a checkpoint that is there."""
        path = self._path("step", step)
        replaced = self._path("replaced", step)
        return replaced if replaced.is_dir() and not path.is_dir() else path

    def temporary(self, step: int) -> Path:
        """A new folder to write a checkpoint in."""
        path = self.directory / f"{_TEMPORARY}{step:012d}"
        path.mkdir()
        return path

    def commit(self, step: int) -> None:
        """Makes the temporary folder the checkpoint of its step."""
        path = self._path("step", step)
        if path.is_dir():
            path.rename(self._path("replaced", step))
        (self.directory / f"{_TEMPORARY}{step:012d}").rename(path)
        durable.sync_directory(self.directory)

    def latest(self) -> int | None:
        """The newest step, or None if nothing was ever committed.

        Raises:
          CheckpointError: a committed checkpoint is gone.
        """
        committed = self._committed()
        newest = max(self.steps(), default=None)
        if committed is not None and (newest is None or newest < committed):
            gone = self._label(self._path("step", committed))
            raise CheckpointError(f"{gone}: missing, although {_COMMITTED} names it")
        return newest

    def write_latest(self, step: int) -> None:
        """Records that a checkpoint was committed."""
        durable.replace_bytes(self._record, json.dumps({"latest": step}).encode())

    def remove(self, steps: Iterable[int]) -> None:
        """Removes checkpoints, each at once."""
        for step in steps:
            removed = self.directory / f"{_TEMPORARY}removed-{step:012d}"
            self.path(step).rename(removed)
            durable.remove_tree(removed)

    def sweep(self, needed: set[str] | None) -> None:
        """Removes what a crash left over.

        Args:
          needed: chunk names to keep; None if that is not known.
        """
        for step in self.steps():
            path, replaced = self._path("step", step), self._path("replaced", step)
            if replaced.is_dir() and path.is_dir():
                replaced.rename(self.directory / f"{_TEMPORARY}{replaced.name}")
        for entry in self.directory.glob(f"{_TEMPORARY}*"):
            durable.remove_tree(entry)
        for entry in self.replay.iterdir():
            unneeded = needed is not None and store.parse_name(entry.name)
            if entry.suffix == durable.PARTIAL or (unneeded and entry.name not in needed):
                entry.unlink()

    def discard(self) -> None:
        """Removes the whole folder; one rename decides."""
        self._record.unlink(missing_ok=True)
        durable.remove_tree(self._discarded)
        if self.directory.is_dir():
            self.directory.rename(self._discarded)
            durable.sync_directory(self.root)
            durable.remove_tree(self._discarded)

    def _path(self, kind: str, step: int) -> Path:
        return self.directory / f"{kind}-{step:012d}"

    def _label(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _committed(self) -> int | None:
        path = self._record
        try:
            return int(json.loads(path.read_bytes())["latest"])
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise CheckpointError(f"{self._label(path)}: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError):
            raise CheckpointError(f"{self._label(path)}: truncated or altered") from None

"""Checkpoints that a kill at any moment leaves whole.

`checkpoints/` below save_dir holds

    step-000000012345/   one checkpoint
        state/           device state (Orbax)
        host.json        host state; host.npz: arrays of the host
        manifest.json    hashes of all files and of the replay chunks it needs
    replay/              chunks `rows-<start>-<stop>.npz`, shared by checkpoints

and beside it lies committed.json, {"latest": step}.

A checkpoint is written as `tmp-<step>` and counts from the moment it is
renamed; `committed.json` follows and can lag behind by one crash. It is there
so that a checkpoint which existed and vanished is an error and not a new run.
Every file is fsynced before the rename, and nothing old is deleted before it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from rr_scale import durable
from rr_scale.errors import CheckpointError, UserError
from rr_scale.replay import store
from rr_scale.train import manifest as manifests
from rr_scale.train.folders import Folders
from rr_scale.train.manifest import DoesNotFit, Manifest
from rr_scale.train.tree_files import Leaf, describe, load_tree, save_tree, to_host


class Restored(NamedTuple):
    """A checkpoint read back; arrays are on the host."""

    step: int
    state: Any  # the tree of `abstract_state`, NumPy arrays
    host: dict[str, Any]  # as JSON keeps it: tuples are lists, keys are strings
    host_arrays: dict[str, np.ndarray]
    rows: store.Rows  # fields [S, n, ...] in insertion order; {} if n is 0
    first_row: int  # global insertion index of the first of them


class CheckpointStore:
    """The checkpoints of one run. One writer at a time: hold a `RunLock`.

    Args:
      directory: the `checkpoints` folder; made at the first save. Errors name
        files relative to its parent.
      keep: how many of the newest checkpoints are kept.
    """

    def __init__(self, directory: Path, keep: int = 2):
        if keep < 1:
            raise ValueError("keep must be at least 1")
        self._keep = keep
        self._folders = Folders(Path(directory))
        self._root = self._folders.root
        self._base: Manifest | None = None  # the checkpoint whose chunks the next one extends
        self._continues = False

    def save(
        self,
        step: int,
        state: Any,
        host: Mapping[str, Any],
        host_arrays: Mapping[str, np.ndarray],
        rows: Mapping[str, np.ndarray],
        total_rows: int,
        capacity: int,
        pinned: int | None = None,
    ) -> None:
        """Commits a checkpoint, then deletes what is no longer kept.

        Args:
          step: its name; saving a step again replaces it.
          state: pytree of jax or NumPy arrays, no typed keys.
          host: what JSON can hold.
          host_arrays: arrays that npz can hold.
          rows: fields [S, n, ...] of the rows that `missing` asked for.
          total_rows: rows inserted since the start of the run.
          capacity: the ring holds the last min(total_rows, capacity) of them.
          pinned: a step that is kept however old it is.

        Raises:
          UserError: it cannot be written (disk full, for instance); the
            checkpoint before is whole.
        """
        if not self._continues and self._folders.steps():
            raise RuntimeError("other checkpoints are here: call restore() or discard() first")
        self._continues = True
        first_row = max(total_rows - capacity, 0)
        with self._explained("write a checkpoint to"):
            self._folders.create()
            self._collect(self._folders.steps())
            try:
                chunks = self._extend(rows, first_row, total_rows)
                temporary = self._folders.temporary(step)
                tree, files = _write_files(temporary, state, host, host_arrays)
                manifest = Manifest(step, tree, files, chunks, first_row, total_rows)
                manifests.write(temporary, manifest)
                durable.sync_directory(temporary)
                self._folders.commit(step)
            except BaseException:
                with contextlib.suppress(OSError):
                    self._collect(self._folders.steps())
                raise
            self._base = manifest
            self._folders.write_latest(step)
            newest = sorted(self._folders.steps())[-self._keep :]
            self._collect({step, pinned, *newest})

    def latest(self, fallback: bool = False) -> int | None:
        """The step of the newest checkpoint; None if none was ever committed.

        Args:
          fallback: be content with an older one if the newest is gone.

        Raises:
          CheckpointError: one was committed and is gone, or `committed.json`
            cannot be read.
        """
        try:
            return self._folders.latest()
        except CheckpointError:
            if fallback and self._folders.steps():
                return max(self._folders.steps())
            raise

    def restore(self, abstract_state: Any, fallback: bool = False) -> Restored:
        """Reads the newest checkpoint, verified before any of it is used.

        Args:
          abstract_state: pytree of `jax.ShapeDtypeStruct`.
          fallback: if the newest is damaged, use the newest intact one and
            remove those after it. Without it nothing on disk changes.

        Raises:
          CheckpointError: there is none, or it is damaged (names the file), or
            it does not fit `abstract_state` (then there is no falling back).
        """
        steps = sorted(self._folders.steps(), reverse=True)
        damage = None
        try:
            if self._folders.latest() is None:
                damage = CheckpointError(f"{self._folders.directory.name}: nothing was committed")
        except CheckpointError as error:
            damage = error
        for position, step in enumerate(steps):
            if damage and not fallback:
                break
            try:
                manifest, restored = self._load(step, abstract_state)
            except DoesNotFit:
                raise
            except CheckpointError as error:
                damage = damage or error
                continue
            if damage:
                with self._explained("remove damaged checkpoints from"):
                    self._folders.write_latest(step)
                    self._folders.remove(steps[:position])
            self._base, self._continues = manifest, True
            return restored
        if len(steps) > 1:
            advice = "no older one is intact" if fallback else "--fallback tries older"
            raise CheckpointError(f"{damage} ({advice})") from damage
        raise damage

    def host(self, step: int) -> dict[str, Any]:
        """The host state of the checkpoint at `step`, verified; nothing else is read.

        Raises:
          CheckpointError: it is damaged (names the file).
        """
        path = self._folders.path(step)
        digest = manifests.read(path, self._root).files["host.json"]
        with durable.open_verified(path / "host.json", digest, self._root) as stream:
            return json.load(stream)

    def discard(self) -> None:
        """Removes everything; to a later start it is all there or all gone.

        Raises:
          UserError: it cannot be removed.
        """
        with self._explained("remove"):
            self._folders.discard()
        self._base, self._continues = None, True

    def missing(self, total_rows: int, capacity: int) -> tuple[int, int]:
        """Insertion indices [start, stop) of the rows that no chunk holds yet.

        Args:
          total_rows, capacity: as for `save`, which is to follow.
        """
        first_row = max(total_rows - capacity, 0)
        chunks = self._usable(first_row)
        return chunks[-1].stop if chunks else first_row, total_rows

    def _usable(self, first_row: int) -> tuple[store.Chunk, ...]:
        known = self._base.chunks if self._base else ()
        return tuple(chunk for chunk in known if chunk.stop > first_row)

    def _extend(
        self, rows: Mapping[str, np.ndarray], first_row: int, total_rows: int
    ) -> tuple[store.Chunk, ...]:
        """The chunks that cover the ring; writes those which are not there."""
        chunks = self._usable(first_row)
        covered = chunks[-1].stop if chunks else first_row
        if covered > total_rows or (chunks and first_row < self._base.first_row):
            raise ValueError("rows were taken back, or the capacity has grown")

        def part(start: int, stop: int) -> dict[str, np.ndarray]:
            return {k: field[:, start - covered : stop - covered] for k, field in rows.items()}

        return chunks + store.write_chunks(self._folders.replay, covered, total_rows, part)

    def _load(self, step: int, abstract_state: Any) -> tuple[Manifest, Restored]:
        path = self._folders.path(step)
        expected = describe(abstract_state)
        manifest = manifests.read(path, self._root)
        if manifest.step != step:
            raise CheckpointError(f"{path.name}: holds step {manifest.step}; it was renamed")
        manifests.check_files(path, manifest, self._root)
        manifests.check_tree(path, manifest, expected, self._root)
        first, total = manifest.first_row, manifest.total_rows
        rows = store.read_chunks(self._folders.replay, manifest.chunks, first, total, self._root)
        arrays = load_tree(path / "state", expected)
        with np.load(path / "host.npz", allow_pickle=False) as archive:
            host_arrays = {name: archive[name] for name in archive.files}
        state = jax.tree.unflatten(
            jax.tree.structure(abstract_state), [arrays[leaf] for leaf in expected]
        )
        host = json.loads((path / "host.json").read_bytes())
        return manifest, Restored(step, state, host, host_arrays, rows, first)

    def _collect(self, kept: set[int | None]) -> None:
        """Removes all checkpoints but `kept`, and what no checkpoint needs."""
        self._folders.remove(self._folders.steps() - kept)
        needed: set[str] | None = set()
        for step in self._folders.steps():
            try:
                manifest = manifests.read(self._folders.path(step), self._root)
            except CheckpointError:
                needed = None
                break
            needed |= {chunk.name for chunk in manifest.chunks}
        self._folders.sweep(needed)

    @contextlib.contextmanager
    def _explained(self, attempt: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            place = self._folders.directory
            raise UserError(f"cannot {attempt} {place}: {error.strerror or error}") from error


def _write_files(
    directory: Path, state: Any, host: Mapping[str, Any], host_arrays: Mapping[str, np.ndarray]
) -> tuple[dict[str, Leaf], dict[str, durable.Digest]]:
    """Writes all but the manifest; the state's tree, and a digest per file."""
    arrays = to_host(state)
    save_tree(directory / "state", arrays)
    digests = durable.sync_tree(directory / "state")
    files = {f"state/{name}": digest for name, digest in digests.items()}
    files["host.json"] = durable.write_bytes(directory / "host.json", json.dumps(host).encode())
    files["host.npz"] = store.write_arrays(directory / "host.npz", host_arrays)
    return describe(arrays), files

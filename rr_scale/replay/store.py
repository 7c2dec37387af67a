"""Replay on disk: immutable chunks of consecutive rows.

A chunk is an uncompressed npz file named by the global insertion index of its
first row and of the row after its last. It is written once and never changed,
so saving again costs only the rows that are new. Who needs which chunk is not
decided here.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rr_scale import durable
from rr_scale.errors import CheckpointError

Rows = dict[str, np.ndarray]
"""Fields [S, n, ...] of n consecutive rows."""

CHUNK_ROWS = 100_000
"""Rows per chunk at most: bounds the copy on the host while writing."""

_NAME = re.compile(r"rows-(\d{12})-(\d{12})\.npz")


class Chunk(NamedTuple):
    """The rows with insertion index in [start, stop), and the file's digest."""

    start: int
    stop: int
    digest: durable.Digest

    @property
    def name(self) -> str:
        """The file name."""
        return f"rows-{self.start:012d}-{self.stop:012d}.npz"


def parse_name(name: str) -> tuple[int, int] | None:
    """(start, stop) of a chunk's file name; None if it is not one."""
    match = _NAME.fullmatch(name)
    return (int(match[1]), int(match[2])) if match else None


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> durable.Digest:
    """Writes a npz file, as `np.savez` would, hashing and fsyncing it.

    Unlike `np.savez` it takes any field name, refuses what only pickle could
    store, and gives the same bytes for the same arrays.

    Raises:
      ValueError: an array holds objects or a type that npz does not know.
    """

    def write(stream: durable.HashingStream) -> None:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for name, values in arrays.items():
                values = np.asarray(values)
                if values.dtype.kind in "OV":
                    raise ValueError(f"array '{name}' has type {values.dtype}; npz cannot hold it")
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, values, allow_pickle=False)

    return durable.write_file(path, write)


def write_chunks(
    directory: Path, start: int, stop: int, rows: Callable[[int, int], Mapping[str, np.ndarray]]
) -> tuple[Chunk, ...]:
    """Writes rows [start, stop) as one chunk, or several if they are many.

    Args:
      directory: where the chunks go.
      rows: gives the fields [S, n, ...] of the rows [start, stop) asked for.
    """
    chunks = tuple(
        _write_chunk(directory, first, min(first + CHUNK_ROWS, stop), rows)
        for first in range(start, stop, CHUNK_ROWS)
    )
    durable.sync_directory(directory)
    return chunks


def _write_chunk(
    directory: Path, start: int, stop: int, rows: Callable[[int, int], Mapping[str, np.ndarray]]
) -> Chunk:
    fields = {name: np.asarray(values) for name, values in rows(start, stop).items()}
    for name, values in fields.items():
        if values.ndim < 2 or values.shape[1] != stop - start:
            raise ValueError(f"field '{name}' {values.shape} is not [S, {stop - start}, ...]")
    name = Chunk(start, stop, durable.Digest(0, "")).name
    partial = directory / (name + durable.PARTIAL)
    digest = write_arrays(partial, fields)
    partial.replace(directory / name)
    return Chunk(start, stop, digest)


def read_chunks(
    directory: Path, chunks: Sequence[Chunk], first_row: int, total_rows: int, root: Path
) -> Rows:
    """The rows [first_row, total_rows), each chunk verified before it is parsed.

    The result is allocated once and filled; beside it, one field of one chunk
    is in memory.

    Args:
      directory: where the chunks are.
      chunks: in order, without gaps, covering the rows.
      root: errors name files relative to this.

    Returns:
      fields [S, total_rows - first_row, ...] in insertion order; {} if none.

    Raises:
      CheckpointError: a chunk is missing or altered, or rows are not covered.
    """
    _check_cover(directory, chunks, first_row, total_rows, root)
    result: Rows = {}
    for chunk in chunks:
        skipped = max(first_row - chunk.start, 0)
        place = slice(chunk.start + skipped - first_row, chunk.stop - first_row)
        path, filled = directory / chunk.name, set()
        unlike = f"{path.relative_to(root).as_posix()}: fields are unlike those of earlier chunks"
        for name, values in _fields(path, chunk.digest, root):
            shape = (values.shape[0], total_rows - first_row, *values.shape[2:])
            if chunk is chunks[0]:
                result[name] = np.empty(shape, values.dtype)
            target = result.get(name)
            if target is None or target.shape != shape or target.dtype != values.dtype:
                raise CheckpointError(unlike)
            target[:, place] = values[:, skipped:]
            filled.add(name)
        if filled != set(result):
            raise CheckpointError(unlike)
    return result


def _check_cover(
    directory: Path, chunks: Sequence[Chunk], first_row: int, total_rows: int, root: Path
) -> None:
    reached = min(first_row, chunks[0].start) if chunks else first_row
    for chunk in chunks:
        if chunk.start != reached:
            break
        reached = chunk.stop
    if reached != total_rows:
        folder = directory.relative_to(root).as_posix()
        raise CheckpointError(f"{folder}: no chunk holds row {reached}")


def _fields(path: Path, expected: durable.Digest, root: Path) -> Iterator[tuple[str, np.ndarray]]:
    with (
        durable.open_verified(path, expected, root) as stream,
        np.load(stream, allow_pickle=False) as archive,
    ):
        for name in archive.files:
            yield name, archive[name]

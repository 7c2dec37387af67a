"""Files that survive a crash: hashed while written, fsynced, renamed into place.

Nothing here knows what the files mean.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rr_scale.errors import CheckpointError

PARTIAL = ".partial"
"""Suffix of a file that is being written and does not count yet."""


class Digest(NamedTuple):
    """What identifies the content of a file."""

    size: int  # bytes
    sha256: str  # hexadecimal


class HashingStream:
    """A stream that can only be appended to, and hashes what passes through.

    Without `seek` and `tell` a writer cannot go back and patch a header, so
    the hash is that of the finished file and the file need not be read again.
    """

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> int:
        """Appends `data`."""
        self._hash.update(data)
        self._size += len(data)
        return self._stream.write(data)

    def flush(self) -> None:
        """Hands buffered bytes to the operating system."""
        self._stream.flush()

    def close(self) -> None:
        """Does nothing: whoever opened the file closes it."""

    def digest(self) -> Digest:
        """Size and hash of everything written so far."""
        return Digest(self._size, self._hash.hexdigest())


def write_file(path: Path, write: Callable[[HashingStream], object]) -> Digest:
    """Writes a file through `write(stream)` and fsyncs it."""
    with path.open("wb") as stream:
        hashing = HashingStream(stream)
        write(hashing)
        stream.flush()
        os.fsync(stream.fileno())
    return hashing.digest()


def write_bytes(path: Path, data: bytes) -> Digest:
    """Writes a file and fsyncs it."""
    return write_file(path, lambda stream: stream.write(data))


def replace_bytes(path: Path, data: bytes) -> None:
    """Replaces a file at once: readers see the old content or the new one."""
    partial = path.with_name(path.name + PARTIAL)
    write_bytes(partial, data)
    partial.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Makes the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> dict[str, Digest]:
    """Fsyncs everything below `path`; digests by path relative to it."""
    digests = {}
    for entry in sorted(path.rglob("*")):
        if entry.is_dir():
            sync_directory(entry)
        else:
            with entry.open("rb") as stream:
                os.fsync(stream.fileno())
            digests[entry.relative_to(path).as_posix()] = digest_file(entry)
    sync_directory(path)
    return digests


def digest_file(path: Path) -> Digest:
    """Size and hash of a file, read in blocks."""
    with path.open("rb") as stream:
        return _digest(stream)


def open_verified(path: Path, expected: Digest, root: Path) -> BinaryIO:
    """Opens a file for reading once its content was found to be as expected.

    Args:
      path: the file.
      expected: its digest when it was written.
      root: errors name the file relative to this.

    Raises:
      CheckpointError: the file is missing, unreadable, truncated or altered.
    """
    label = path.relative_to(root).as_posix()
    try:
        with contextlib.ExitStack() as on_error:
            stream = on_error.enter_context(path.open("rb"))
            problem = _difference(expected, _digest(stream))
            if problem:
                raise CheckpointError(f"{label}: {problem}")
            stream.seek(0)
            on_error.pop_all()
            return stream
    except FileNotFoundError:
        raise CheckpointError(f"{label}: missing") from None
    except OSError as error:
        raise CheckpointError(f"{label}: {error.strerror or error}") from error


def _digest(stream: BinaryIO) -> Digest:
    sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return Digest(stream.tell(), sha256)


def _difference(expected: Digest, found: Digest) -> str:
    if found.size != expected.size:
        return f"{found.size} bytes instead of {expected.size}"
    return "" if found.sha256 == expected.sha256 else "content altered (SHA-256 differs)"


def reserve(path: Path, size: int) -> None:
    """Fails with OSError if `size` bytes do not fit beside `path`.

    For writers whose own failure on a full disk is not clean.
    """
    try:
        with path.open("wb") as stream:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(stream.fileno(), 0, size)
    finally:
        path.unlink(missing_ok=True)


def remove_tree(path: Path) -> None:
    """Removes a directory; what cannot be removed now is left for another time."""
    shutil.rmtree(path, ignore_errors=True)

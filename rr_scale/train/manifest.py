"""The manifest of a checkpoint: what belongs to it and how each file reads.

It carries a hash of itself, so that an altered manifest cannot vouch for
altered files.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any

from rr_scale import durable
from rr_scale.errors import CheckpointError
from rr_scale.replay.store import Chunk, parse_name
from rr_scale.train.tree_files import Leaf

NAME = "manifest.json"
_FORMAT = 1
_SEAL = "manifest_sha256"


class DoesNotFit(CheckpointError):
    """The checkpoint is whole, but of another program or configuration."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """One checkpoint.

    Attributes:
      step: its name.
      tree: path -> shape and type of the state's leaves.
      files: path relative to the checkpoint -> digest; all but the manifest.
      chunks: the replay chunks it needs, in order.
      first_row: insertion index of the oldest row that the ring held.
      total_rows: rows inserted since the start of the run.
    """

    step: int
    tree: dict[str, Leaf]
    files: dict[str, durable.Digest]
    chunks: tuple[Chunk, ...]
    first_row: int
    total_rows: int


def write(directory: Path, manifest: Manifest) -> None:
    """Writes the manifest into the checkpoint and fsyncs it."""
    content = {
        "format": _FORMAT,
        "step": manifest.step,
        "tree": {
            path: {"shape": leaf.shape, "dtype": leaf.dtype} for path, leaf in manifest.tree.items()
        },
        "files": {name: digest._asdict() for name, digest in manifest.files.items()},
        "replay": {chunk.name: chunk.digest._asdict() for chunk in manifest.chunks},
        "first_row": manifest.first_row,
        "total_rows": manifest.total_rows,
    }
    content[_SEAL] = _seal(content)
    durable.write_bytes(directory / NAME, json.dumps(content, indent=1).encode())


def read(directory: Path, root: Path) -> Manifest:
    """Reads the manifest of a checkpoint.

    Args:
      directory: the checkpoint.
      root: errors name files relative to this.

    Raises:
      CheckpointError: it is missing or altered.
      DoesNotFit: it has another format.
    """
    path = directory / NAME
    label = path.relative_to(root).as_posix()
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CheckpointError(f"{label}: missing") from None
    except OSError as error:
        raise CheckpointError(f"{label}: {error.strerror or error}") from error
    except ValueError:
        raise CheckpointError(f"{label}: truncated or altered (not JSON)") from None
    if not isinstance(content, dict) or content.pop(_SEAL, None) != _seal(content):
        raise CheckpointError(f"{label}: content altered (SHA-256 differs)")
    if content.get("format") != _FORMAT:
        raise DoesNotFit(f"{label}: format {content.get('format')} is not {_FORMAT}")
    try:
        return _parse(content)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise CheckpointError(f"{label}: not a manifest of this program") from None


def check_files(directory: Path, manifest: Manifest, root: Path) -> None:
    """Compares every file of the checkpoint, chunks excepted, with its digest.

    Raises:
      CheckpointError: a file is missing or altered.
    """
    for name, digest in manifest.files.items():
        durable.open_verified(directory / name, digest, root).close()


def check_tree(directory: Path, manifest: Manifest, expected: dict[str, Leaf], root: Path) -> None:
    """Compares the stored tree with the one that the run needs.

    Raises:
      DoesNotFit: names the first leaf that is missing, unknown, or of
        another shape or type.
    """
    label = directory.relative_to(root).as_posix()
    for path, leaf in expected.items():
        found = manifest.tree.get(path)
        if found is None:
            raise DoesNotFit(f"{label}: the state has no '{path}', which this run needs")
        if found != leaf:
            raise DoesNotFit(f"{label}: '{path}' is {found}, but this run needs {leaf}")
    for path in manifest.tree:
        if path not in expected:
            raise DoesNotFit(f"{label}: the state has '{path}', unknown to this run")


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _parse(content: dict[str, Any]) -> Manifest:
    files = {_inside(name): durable.Digest(**value) for name, value in content["files"].items()}
    chunks = []
    for name, value in content["replay"].items():
        start, stop = parse_name(name)  # type: ignore[misc]  # None raises TypeError
        chunks.append(Chunk(start, stop, durable.Digest(**value)))
    return Manifest(
        step=content["step"],
        tree={
            path: Leaf(tuple(leaf["shape"]), leaf["dtype"])
            for path, leaf in content["tree"].items()
        },
        files=files,
        chunks=tuple(chunks),
        first_row=content["first_row"],
        total_rows=content["total_rows"],
    )


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"'{name}' leaves the checkpoint")
    return name

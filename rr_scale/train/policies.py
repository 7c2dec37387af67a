"""One actor in one file: arrays by name and what they are the actor of.

The file is an ordinary uncompressed `.npz` that `numpy.load` opens without
pickle. The same arrays and metadata give the same bytes on any day, so that
files of a resumed run can be compared with those of an uninterrupted one.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rr_scale import durable
from rr_scale.errors import UserError

METADATA = "metadata"
_NAMES = "arrays"
_SUFFIX = ".npy"
# What zipfile, json and numpy raise on altered bytes; found by flipping each one.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
)


def save_policy(
    path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, object]
) -> None:
    """Writes a policy file; a crash leaves the old file or the new one.

    Args:
      path: the `.npz` file; its folder is created.
      arrays: flat, 'params/Dense_0/kernel' -> array (see `flatten`).
      metadata: JSON values: env_step, seed, env_name, exp_name,
        observation_size, action_size, value, agent (configuration as a dict).

    Raises:
      ValueError: an array that `.npz` cannot hold without pickle, or a name
        that is taken ('metadata' of an array, 'arrays' in the metadata).
    """
    if METADATA in arrays or _NAMES in metadata:
        raise ValueError(f"the array '{METADATA}' and the metadata '{_NAMES}' are reserved")
    # A damaged directory of the archive can hide members: only a list reveals it.
    text = json.dumps({**metadata, _NAMES: sorted(arrays)}, sort_keys=True)
    members = {METADATA: np.array(text), **arrays}
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            archive.writestr(_entry(name), _npy_bytes(name, members[name]))
    durable.replace_bytes(path, content.getvalue())


def load_policy(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads what `save_policy` wrote: (arrays, metadata).

    JSON has no tuples: those in the metadata come back as lists.

    Raises:
      UserError: no such file, or a damaged one.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such policy file")
    try:
        with zipfile.ZipFile(path) as archive:
            # Whole members first: that checks their checksum before numpy parses them.
            members = {name: archive.read(name) for name in archive.namelist()}
        arrays = {
            name.removesuffix(_SUFFIX): np.lib.format.read_array(
                io.BytesIO(content), allow_pickle=False
            )
            for name, content in members.items()
        }
        metadata = json.loads(str(arrays.pop(METADATA)))
        if metadata.pop(_NAMES) != sorted(arrays):
            raise ValueError("arrays are missing")
    except _DAMAGE as error:
        raise UserError(f"{path}: not a readable policy file ({_one_line(error)})") from error
    return arrays, metadata


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, np.ndarray]:
    """A nested dict of arrays as a flat one with '/' between the names.

    Empty dicts inside vanish.

    Raises:
      ValueError: a name that is no string or contains '/'.
    """
    flat: dict[str, np.ndarray] = {}
    for name, value in tree.items():
        if not isinstance(name, str) or "/" in name or not name:
            raise ValueError(f"cannot flatten the name {name!r}")
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{name}/"))
        else:
            flat[prefix + name] = np.asarray(value)
    return flat


def unflatten(flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The inverse of `flatten`.

    Raises:
      ValueError: one name is both an array and a branch.
    """
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *branches, leaf = path.split("/")
        node = tree
        for branch in branches:
            node = node.setdefault(branch, {})
            if not isinstance(node, dict):
                raise ValueError(f"'{path}' passes through an array")
        if leaf in node:
            raise ValueError(f"'{path}' is both an array and a branch")
        node[leaf] = value
    return tree


def _entry(name: str) -> zipfile.ZipInfo:
    # The date, the system and the mode would otherwise depend on when and where.
    entry = zipfile.ZipInfo(name + _SUFFIX, date_time=(1980, 1, 1, 0, 0, 0))
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    return entry


def _npy_bytes(name: str, array: np.ndarray) -> bytes:
    array = np.asarray(array, order="C")
    # Void is what numpy makes of bfloat16 and the like: the type would be lost.
    if array.dtype.kind in "OV":
        raise ValueError(f"cannot store '{name}' of type {array.dtype}")
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

"""A pytree of arrays as an Orbax item, and what its shape is.

Orbax sees a flat dictionary from path to NumPy array: what it stores then
depends neither on the classes of the tree nor on devices and shardings. It
converts types silently and notices no altered byte; who calls this has
compared hashes and `describe` before.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging

from rr_scale import durable

_OVERHEAD_BYTES = 1 << 20
_OVERHEAD_BYTES_PER_LEAF = 1 << 13


class Leaf(NamedTuple):
    """Shape and type of one array of a tree."""

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


def describe(tree: Any) -> dict[str, Leaf]:
    """Path -> shape and type of every leaf, in the order of flattening.

    Args:
      tree: leaves are arrays or `jax.ShapeDtypeStruct`.
    """
    return {
        path: Leaf(tuple(int(size) for size in np.shape(leaf)), np.dtype(leaf.dtype).name)
        for path, leaf in _by_path(tree).items()
    }


def to_host(tree: Any) -> dict[str, np.ndarray]:
    """Path -> array on the host.

    Raises:
      TypeError: a leaf is a typed key; convert it with `jax.random.key_data`.
    """
    arrays = {}
    for path, leaf in _by_path(tree).items():
        if jax.dtypes.issubdtype(getattr(leaf, "dtype", None), jax.dtypes.prng_key):
            raise TypeError(f"'{path}' is a typed key; store jax.random.key_data of it")
        arrays[path] = np.asarray(jax.device_get(leaf))
    return arrays


def save_tree(directory: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes the arrays as an Orbax item.

    Raises:
      OSError: it cannot be written; a full disk leaves nothing behind.
    """
    stored = {path: values for path, values in arrays.items() if values.size}
    if not stored:
        directory.mkdir()
        return
    # Orbax in the middle of a full disk prints pages of tracebacks from its
    # threads, so the room it needs is claimed beforehand.
    size = sum(values.nbytes for values in stored.values())
    room = size + _OVERHEAD_BYTES + _OVERHEAD_BYTES_PER_LEAF * len(stored)
    durable.reserve(directory.with_name("room"), room)
    with _quiet(), ocp.PyTreeCheckpointer(use_compression=False) as checkpointer:
        try:
            checkpointer.save(directory, stored)
        except ValueError as error:
            code = re.search(r"os_error_code='(\d+)'", str(error))
            if code is None:
                raise
            raise OSError(int(code[1]), str(error).splitlines()[0]) from error


def load_tree(directory: Path, expected: dict[str, Leaf]) -> dict[str, np.ndarray]:
    """Reads an item that holds exactly the `expected` arrays."""
    empty = {path: np.empty(leaf.shape, np.dtype(leaf.dtype)) for path, leaf in expected.items()}
    stored = {path: values for path, values in empty.items() if values.size}
    if not stored:
        return empty
    arguments = ocp.args.PyTreeRestore(
        item=stored,
        restore_args={path: ocp.RestoreArgs(restore_type=np.ndarray) for path in stored},
    )
    with _quiet(), ocp.PyTreeCheckpointer(use_compression=False) as checkpointer:
        return empty | checkpointer.restore(directory, args=arguments)


def _by_path(tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    named = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
    if len(named) != len(leaves):
        raise ValueError("two leaves of the state have one path")
    return named


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    before = logging.get_verbosity()
    logging.set_verbosity(logging.FATAL)
    try:
        yield
    finally:
        logging.set_verbosity(before)

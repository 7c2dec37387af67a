"""A binary tree of sums over the rows of a ring: draws in proportion to a number per row.

Node 1 is the root, the children of node k are 2k and 2k + 1, and the leaf of
row i is node P + i, P the power of two that holds all rows. A parent is always
computed as left + right and never incremented: sums cannot drift, and whoever
knows the leaves can rebuild every node bit for bit.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rr_scale.types import Array


class Tree(NamedTuple):
    """The nodes 0 ... 2P - 1 of a tree, at `start` in an array that may hold others' too."""

    nodes: Array  # [M] float32; node 0 is unused
    start: Array | int  # []


def num_leaves(capacity: int) -> int:
    """P for a ring of `capacity` rows."""
    return 1 << (capacity - 1).bit_length()


def empty(capacity: int) -> Array:
    """The nodes [2P] of a tree of zeros."""
    return jnp.zeros(2 * num_leaves(capacity))


def total(tree: Tree) -> Array:
    """The sum of all leaves, []."""
    return tree.nodes[tree.start + 1]


def leaf(tree: Tree, capacity: int, row: Array) -> Array:
    """Leaves [...] of the rows [...]."""
    return tree.nodes[tree.start + num_leaves(capacity) + row]


def replace(tree: Tree, capacity: int, row: Array, value: Array) -> Tree:
    """Sets leaves and all sums above them; the largest counts where a row is repeated.

    Args:
      tree: changed in place where the compiler may.
      capacity: rows of the ring.
      row: [K] int32.
      value: [K], none negative.
    """
    leaves, start = num_leaves(capacity), tree.start
    node = leaves + row
    # Zero first: what an index that occurs twice gets must not depend on the order.
    nodes = tree.nodes.at[start + node].set(0.0).at[start + node].max(value)

    def level(_: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        nodes, node = carry
        node = node // 2
        both = nodes[start + 2 * node] + nodes[start + 2 * node + 1]
        return nodes.at[start + node].set(both), node

    nodes, _ = jax.lax.fori_loop(0, leaves.bit_length() - 1, level, (nodes, node))
    return tree._replace(nodes=nodes)


def find(tree: Tree, capacity: int, mass: Array) -> Array:
    """The rows [B] at which the running sum of leaves passes `mass` [B].

    Whatever `mass` is, and however sums were rounded, a leaf of zero is never
    found unless all are.
    """
    leaves = num_leaves(capacity)

    def level(_: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        node, mass = carry
        left = tree.nodes[tree.start + 2 * node]
        right = tree.nodes[tree.start + 2 * node + 1]
        goes_right = ((mass >= left) & (right > 0)) | (left <= 0)
        return 2 * node + goes_right, mass - jnp.where(goes_right, left, 0.0)

    node = jnp.ones(mass.shape, jnp.int32)
    node, _ = jax.lax.fori_loop(0, leaves.bit_length() - 1, level, (node, mass))
    # Only a tree without any mass leads beyond the last row.
    return jnp.minimum(node - leaves, capacity - 1)


def draw(tree: Tree, capacity: int, key: Array, size: int) -> Array:
    """Rows [size] with replacement, in proportion to their leaves.

    Stratified (Schaul et al. 2016, appendix B.2.1): the total is cut into as
    many equal parts as rows are drawn, and one is drawn from each.
    """
    share = (jnp.arange(size) + jax.random.uniform(key, (size,))) / size
    return find(tree, capacity, share * total(tree))


def build(leaves: np.ndarray) -> np.ndarray:
    """The nodes [..., 2P] over `leaves` [..., C], as `replace` would have left them."""
    capacity = leaves.shape[-1]
    size = num_leaves(capacity)
    nodes = np.zeros((*leaves.shape[:-1], 2 * size), np.float32)
    nodes[..., size : size + capacity] = leaves
    while size > 1:
        below = nodes[..., size : 2 * size]
        size //= 2
        nodes[..., size : 2 * size] = below[..., 0::2] + below[..., 1::2]
    return nodes

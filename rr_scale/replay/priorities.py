"""How much a row is wanted, and what that is worth to the loss.

Schaul et al., "Prioritized experience replay", ICLR 2016, proportional
variant; Fujimoto et al., "An equivalence between loss functions and
non-uniform sampling in experience replay", NeurIPS 2020 (LAP). The leaf of a
row is its priority to the power alpha, so that it is drawn in proportion to
its leaf. TD errors are means over the ensemble of |Q_i - y|, a choice of ours:
the papers know one critic, or take the maximum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rr_scale.config import HyperParams
from rr_scale.replay import sumtree
from rr_scale.replay.sumtree import Tree
from rr_scale.types import Array


class Priorities(NamedTuple):
    """Of one lane. A row that must not be drawn has a leaf of 0."""

    nodes: Array  # [2P], see `sumtree`
    highest: Array  # [] the largest leaf there ever was; what new rows get


class Rule(NamedTuple):
    """A way to prioritise."""

    leaf: Callable[[HyperParams, Array], Array]
    """(hp, TD error [B]) -> leaf [B], positive"""
    weight: Callable[[HyperParams, Array, Array], Array]
    """(hp, leaf [B], share of the schedule that has passed) -> importance weight [B]"""


class Span(NamedTuple):
    """`length` rows from `first` on, around the ring."""

    first: Array  # [] int32 row index
    length: Array  # [] int32, may be 0


def _proportional_leaf(hp: HyperParams, td_error: Array) -> Array:
    return (td_error + hp.priority_epsilon) ** hp.priority_exponent


def _importance_weight(hp: HyperParams, leaf: Array, passed: Array) -> Array:
    """(n P(i))^-beta over its maximum in the batch: n and the total cancel out."""
    beta = hp.importance_start + (hp.importance_end - hp.importance_start) * passed
    return (leaf / jnp.min(leaf)) ** -beta


def _lap_leaf(hp: HyperParams, td_error: Array) -> Array:
    return jnp.maximum(td_error, hp.lap_floor) ** hp.priority_exponent


RULES = {
    "prioritized": Rule(_proportional_leaf, _importance_weight),
    "lap": Rule(_lap_leaf, lambda hp, leaf, passed: jnp.ones(leaf.shape)),
}


def empty(capacity: int) -> Priorities:
    """Of a ring without rows; the first rows get priority 1."""
    return Priorities(sumtree.empty(capacity), jnp.ones(()))


def move(
    priorities: Priorities,
    capacity: int,
    gone: Span,
    come: Span,
    drawn: Array,
    width: int,
    rounds: Any,
) -> Priorities:
    """Rows `gone` are drawn no more, rows `come` from now on, with the highest leaf so far.

    Args:
      priorities: of one lane.
      capacity: rows of the ring.
      gone, come: what changes; a row in both comes.
      drawn: whether rows that come may be drawn at all.
      width: rows that are changed at a time.
      rounds: how often; `width` x `rounds` must not be below either length.
        Where lanes are mapped, the same for all, or every round would copy
        the tree.
    """

    def part(tree: Tree, number: Array, rows: Span, value: Array) -> Tree:
        offset = number * width + jnp.arange(width)
        # What is too many repeats the last row; without any, the first stays as it is.
        row = (rows.first + jnp.clip(offset, 0, jnp.maximum(rows.length - 1, 0))) % capacity
        value = jnp.where(rows.length > 0, value, sumtree.leaf(tree, capacity, row))
        return sumtree.replace(tree, capacity, row, value)

    def change(rows: Span, value: Array) -> Callable[[Array, Array], Array]:
        return lambda number, nodes: part(Tree(nodes, 0), number, rows, value).nodes

    nodes = priorities.nodes
    fresh = jnp.where(drawn, priorities.highest, 0.0)
    for rows, value in ((gone, jnp.zeros(())), (come, fresh)):
        nodes = jax.lax.fori_loop(0, rounds, change(rows, value), nodes)
    return priorities._replace(nodes=nodes)


def feed_back(
    rule: Rule,
    hp: HyperParams,
    tree: Tree,
    highest: Array,
    capacity: int,
    row: Array,
    td_error: Array,
) -> tuple[Tree, Array]:
    """What an update found out about the rows [B] that it was given.

    Where a row was drawn twice, its larger error counts. A row whose error is
    not finite gets the highest leaf: the lane is reported elsewhere, and a NaN
    must not spread to the sums.

    Returns:
      The tree, and the highest leaf there ever was.
    """
    leaf = rule.leaf(hp, td_error)
    leaf = jnp.where(jnp.isfinite(leaf), leaf, highest)
    return sumtree.replace(tree, capacity, row, leaf), jnp.maximum(highest, jnp.max(leaf))


def refill(capacity: int, leaves: np.ndarray, first_row: int) -> np.ndarray:
    """The nodes [S, 2P] of all lanes from the leaves of a checkpoint, bit for bit.

    Args:
      capacity: rows of the ring, perhaps more than before.
      leaves: [S, n] in insertion order.
      first_row: insertion index of the first of them.
    """
    lanes, count = leaves.shape
    placed = np.zeros((lanes, capacity), np.float32)
    placed[:, np.arange(first_row, first_row + count) % capacity] = leaves
    return sumtree.build(placed)

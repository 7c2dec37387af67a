"""How a lane draws its batches, assembled from a configuration as functions for one lane.

What a sampler knows beside the ring is in `SamplerState`; drawing uniformly
needs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rr_scale.config import HyperParams, ReplayConfig
from rr_scale.replay import priorities, sumtree
from rr_scale.replay.priorities import Priorities, Span
from rr_scale.replay.rings import AnyRing
from rr_scale.replay.sampling import form, sample
from rr_scale.replay.sumtree import Tree
from rr_scale.types import Array, Batch, Clock

_WIDTH = 4  # rows that an insertion can touch: the new one, and three that went


class SamplerState(NamedTuple):
    """Of one lane; parts that a configuration does not need are None."""

    priorities: Priorities | None


class Drawn(NamedTuple):
    """Batches by name, and where the training batch comes from."""

    batches: dict[str, Batch]
    row: Array | None  # [B], if somebody wants to know


class Sampler(NamedTuple):
    """Pure functions for one lane."""

    empty: Callable[[int], SamplerState]
    """(capacity) -> state of an empty ring"""
    insert: Callable[[SamplerState, AnyRing, AnyRing], SamplerState]
    """(state, ring before, ring after one insertion) -> state"""
    draw: Callable[[HyperParams, AnyRing, Tree | None, Array, Clock], Drawn]
    """(hp, ring, tree, key, clock) -> batches"""
    feed_back: Callable[..., tuple[Tree, Array]] | None
    """(hp, tree, highest leaf, capacity, rows [B], TD error [B]) -> (tree, highest leaf);
    None if nothing is learned from an update"""


def make_sampler(config: ReplayConfig, schedule_horizon: int) -> Sampler:
    """Looks up what `config` names.

    Args:
      config: batch size, n-step, and how rows are drawn.
      schedule_horizon: env steps over which importance weights are annealed.
    """
    if config.sampling == "uniform":
        return Sampler(
            lambda capacity: SamplerState(None),
            lambda state, before, after: state,
            lambda hp, ring, tree, key, clock: Drawn(
                {"train": sample(ring, key, hp.discount, config)}, None
            ),
            None,
        )
    rule = priorities.RULES[config.sampling]

    def insert(state: SamplerState, before: AnyRing, after: AnyRing) -> SamplerState:
        assert state.priorities is not None
        capacity = before.rows.reward.shape[0]
        gone = Span((before.cursor - before.size) % capacity, before.size + 1 - after.size)
        come = Span(before.cursor, jnp.int32(1))
        moved = priorities.move(state.priorities, capacity, gone, come, _WIDTH, 1)
        return state._replace(priorities=moved)

    def draw(hp: HyperParams, ring: AnyRing, tree: Tree | None, key: Array, clock: Clock) -> Drawn:
        assert tree is not None
        capacity = ring.rows.reward.shape[0]
        row = sumtree.draw(tree, capacity, key, config.batch_size)
        batch = form(ring, (row - ring.cursor + ring.size) % capacity, hp.discount, config)
        passed = jnp.clip(clock.env_step / schedule_horizon, 0.0, 1.0)
        weight = rule.weight(hp, sumtree.leaf(tree, capacity, row), passed)
        return Drawn({"train": batch._replace(weight=weight)}, row)

    return Sampler(
        lambda capacity: SamplerState(priorities.empty(capacity)),
        insert,
        draw,
        lambda *known: priorities.feed_back(rule, *known),
    )


def nbytes(config: ReplayConfig, capacity: int) -> int:
    """Device bytes of what the sampler of one lane knows."""
    state = jax.eval_shape(lambda: make_sampler(config, 1).empty(capacity))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))

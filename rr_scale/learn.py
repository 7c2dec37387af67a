"""The updates of one lane: draw a batch, update the agent, note what it says; again.

And its resets, some of which look at a batch too.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rr_scale.agents.state import Agent, TrainState
from rr_scale.config import HyperParams
from rr_scale.replay.lane import lane_view
from rr_scale.replay.rings import AnyRing
from rr_scale.replay.sampler import Sampler, SamplerState
from rr_scale.replay.sumtree import Tree
from rr_scale.types import Array, Batch, Clock, Metrics


class Learning(NamedTuple):
    """What updates change."""

    train: TrainState
    metrics: Metrics  # sums
    first_bad: Array  # [] first update with a non-finite number, -1 if none
    highest: Array | None  # [] see `replay.priorities`; None without priorities
    tree: Tree | None


def learn(
    agent: Agent,
    sampler: Sampler,
    hp: HyperParams,
    ring: AnyRing,
    known: SamplerState,
    before: Learning,
    clock: Clock,
    count: int | Array,
) -> Learning:
    """`count` updates from what is in the ring.

    Args:
      agent, sampler: the functions.
      hp: of the lane.
      ring: of the lane; at least one row.
      known: by the sampler of the lane, without priorities.
      before: of the lane.
      clock: `update` is the index of the first update.
      count: how many; traced, or part of the program.
    """
    capacity = ring.rows.reward.shape[0]

    def update(index: Array, carry: Learning) -> Learning:
        train, metrics, first_bad, highest, tree = carry
        now = Clock(clock.env_step, clock.update + index, clock.since_reset + index)
        drawn = sampler.draw(hp, ring, known, tree, train.root, now)
        train, feedback = agent.update(hp, train, drawn.batches, now)
        totals = sum(mean.total for mean in feedback.metrics.values())
        bad = ~jnp.isfinite(totals) & (first_bad < 0)
        first_bad = jnp.where(bad, now.update, first_bad)
        metrics = jax.tree.map(jnp.add, metrics, feedback.metrics)
        if sampler.learns:
            tree, highest = sampler.feed_back(
                hp, tree, highest, capacity, drawn.row, feedback.td_error
            )
        return Learning(train, metrics, first_bad, highest, tree)

    return jax.lax.fori_loop(0, count, update, before)


def reset_lane(
    agent: Agent,
    sampler: Sampler,
    replay: AnyRing,
    known: SamplerState,
    rule: int,
    firing: Array,
    given: tuple[Array, HyperParams, TrainState],
) -> TrainState:
    """Applies a reset rule to one lane.

    Args:
      agent, sampler: the functions.
      replay, known: of all lanes [L, ...].
      rule: index of the rule.
      firing: how many resets happened before.
      given: which lane, its hyper-parameters and its state.
    """
    lane, hp, train = given

    def draw() -> Batch:
        own = lane_view(known._replace(priorities=None), lane)
        return sampler.look(hp, lane_view(replay, lane), own, train.root, firing)

    return agent.reset(hp, train, rule, firing, draw)

"""The updates of one lane: draw a batch, update the agent, note what it says; again.

And its resets, some of which look at a batch too.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rr_scale.agents.state import Agent, TrainState
from rr_scale.config import HyperParams
from rr_scale.replay import rings
from rr_scale.replay.lane import lane_view
from rr_scale.replay.sampler import Sampler, SamplerState
from rr_scale.replay.sumtree import Tree
from rr_scale.rng import root_key
from rr_scale.rounds import Rounds, Stretches
from rr_scale.types import Array, Batch, Clock, Mean, Metrics


class Learning(NamedTuple):
    """What updates change."""

    train: TrainState
    metrics: Mean  # [K] sums, in the order of `metric_names`
    first_bad: Array  # [] first update with a non-finite number, -1 if none
    highest: Array | None  # [] see `replay.priorities`; None without priorities
    tree: Tree | None


def learn(
    agent: Agent,
    sampler: Sampler,
    hp: HyperParams,
    ring: rings.AnyRing,
    known: SamplerState,
    before: Learning,
    clock: Clock,
    rounds: Rounds,
) -> Learning:
    """Updates from what is in the ring.

    Args:
      agent, sampler: the functions.
      hp: of the lane.
      ring: of the lane; at least one row.
      known: by the sampler of the lane, without priorities.
      before: of the lane.
      clock: `update` is the index of the first update.
      rounds: how many updates, and in what rounds.
    """
    capacity = ring.rows.reward.shape[0]

    def update(first: Array | int, phase: int | None, index: Array, carry: Learning) -> Learning:
        train, metrics, first_bad, highest, tree = carry
        later = first + index
        now = Clock(clock.env_step, clock.update + later, clock.since_reset + later)
        drawn = sampler.draw(hp, ring, known, tree, train.root, now)
        train, feedback = agent.update(hp, train, drawn.batches, now, phase)
        means = _side_by_side(feedback.metrics)
        bad = ~jnp.isfinite(means.total).all() & (first_bad < 0)
        first_bad = jnp.where(bad, now.update, first_bad)
        metrics = jax.tree.map(jnp.add, metrics, means)
        if sampler.learns:
            tree, highest = sampler.feed_back(
                hp, tree, highest, capacity, drawn.row, feedback.td_error
            )
        return Learning(train, metrics, first_bad, highest, tree)

    def run(stretches: Stretches, first: Array | int, carry: Learning) -> Learning:
        for phase, length in stretches:
            one = partial(update, first, phase)
            carry = one(0, carry) if length == 1 else jax.lax.fori_loop(0, length, one, carry)
            first += length
        return carry

    def one_round(index: Array, carry: Learning) -> Learning:
        return run(rounds.stretches, begun + index * rounds.length, carry)

    begun = rounds.begun
    learned = jax.lax.fori_loop(0, rounds.count, one_round, run(rounds.before, 0, before))
    return run(rounds.after, begun + rounds.count * rounds.length, learned)


def _side_by_side(metrics: Metrics) -> Mean:
    """One vector of all metrics: an accelerator would start a kernel for each scalar."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *(metrics[k] for k in sorted(metrics)))


def reset_lane(
    agent: Agent,
    sampler: Sampler,
    replay: rings.AnyRing,
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


def metric_names(
    agent: Agent, sampler: Sampler, storage: str, sizes: tuple[int, int, int], hps: HyperParams
) -> list[str]:
    """Names of the K metrics that an update reports, without running one; sorted.

    Args:
      agent, sampler: of the run.
      storage: of its ring.
      sizes: capacity, O and A; with a capacity of 1 the metrics are the same.
      hps: of all lanes, leaves [S].
    """

    def feedback(hps: HyperParams) -> Metrics:
        hp = jax.tree.map(lambda x: x[0], hps)
        train = agent.init(root_key(0), hp)
        ring = rings.empty(storage, 1, *sizes[1:])
        clock = Clock(jnp.int32(0), jnp.int32(0), jnp.int32(0))
        known = sampler.empty(1)
        tree = Tree(known.priorities.nodes, 0) if known.priorities else None
        drawn = sampler.draw(hp, ring, known, tree, root_key(0), clock)
        return agent.update(hp, train, drawn.batches, clock)[1].metrics

    return sorted(jax.eval_shape(feedback, hps))

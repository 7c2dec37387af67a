"""What the device holds of a run; for all lanes."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rr_scale.agents.state import TrainState, policy_of
from rr_scale.replay import rings
from rr_scale.replay.sampler import Sampler, SamplerState
from rr_scale.types import Array, Mean, Transition


class EngineState(NamedTuple):
    """All device state of a run; every leaf has a leading lane axis S."""

    train: TrainState
    replay: rings.AnyRing
    memory: Any
    metrics: Mean  # [S, K] sums since they were last read
    first_bad: Array  # [S] int32, first update with a non-finite number, -1 if none
    sampler: SamplerState


def store(sampler: Sampler, state: EngineState, transition: Transition) -> EngineState:
    """One row more in the ring of each lane [L, ...]."""
    capacity = state.replay.rows.reward.shape[1]
    replay = jax.vmap(rings.insert)(state.replay, transition)
    known, moves = jax.vmap(sampler.insert)(
        state.sampler, state.replay, replay, transition, state.train.root
    )
    if moves is not None:
        # The same number of rounds for all lanes: a loop that lanes leave one
        # by one would copy everything in every round.
        rounds = sampler.rounds(moves)
        known = jax.vmap(lambda *lane: sampler.move(*lane, capacity, rounds))(known, moves)
    return state._replace(replay=replay, sampler=known)


def copy_policy(train: TrainState) -> TrainState:
    """What evaluating needs, in memory of its own."""
    # Copied inside a program: an argument that is returned as it is would be
    # the very buffer that the next step overwrites.
    return jax.tree.map(jnp.copy, policy_of(train))

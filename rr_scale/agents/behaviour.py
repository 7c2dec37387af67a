"""Who acts in training: the actor, or an optimistic explorer beside it."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from rr_scale.agents.state import TrainState
from rr_scale.config import HyperParams
from rr_scale.nets.build import Gaussian, Policy
from rr_scale.nets.explorer import Explorer
from rr_scale.types import Array, Params


def explorer_output(
    explorer: Explorer, hp: HyperParams, params: Params, actor: Gaussian, observation: Array
) -> Gaussian:
    """The explorer's Gaussian before squashing: the actor's, moved, with another width."""
    assert actor.log_sigma is not None
    mean = actor.mean + explorer.shift(params, observation, actor.mean)
    return Gaussian(mean, actor.log_sigma + jnp.log(hp.explorer_std))


def make_behaviour(
    policy: Policy, explorer: Explorer | None
) -> Callable[[HyperParams, TrainState, Array, Array], Array]:
    """(hp, state, observation [..., O], key) -> action [..., A]."""

    def actor(hp: HyperParams, state: TrainState, observation: Array, key: Array) -> Array:
        return policy.sample(state.actor.params, state.actor.stats, observation, key)[0]

    if explorer is None:
        return actor

    def beside_actor(hp: HyperParams, state: TrainState, observation: Array, key: Array) -> Array:
        assert state.explorer is not None
        learner = state.actor
        output, _ = policy.apply(learner.params, learner.stats, observation, None, False)
        explored = explorer_output(explorer, hp, state.explorer.params, output, observation)
        return policy.draw(explored, key)[0]

    return beside_actor

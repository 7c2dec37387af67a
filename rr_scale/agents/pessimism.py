"""Pessimism that is learned: from training batches (GPL) or from validation batches (VPL)."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rr_scale.agents.ingredients import Ingredients
from rr_scale.agents.state import TrainState
from rr_scale.agents.steps import Given, Scalars, descend, td_target
from rr_scale.core.duals import pessimism_loss
from rr_scale.core.values import mean_return
from rr_scale.types import Array


def _training_error(
    parts: Ingredients, given: Given, state: TrainState, measured: Scalars
) -> Array:
    """Cetin & Celiktutan 2023: what the critic step just measured."""
    return measured["train/q_mean"] - measured["train/target_q_mean"]


def _validation_error(
    parts: Ingredients, given: Given, state: TrainState, measured: Scalars
) -> Array:
    """The same on transitions that the critics never learn from, networks as in acting.

    A reconstruction: Nauman et al., "A case for validation buffer in
    pessimistic actor-critic", 2024, of which only the abstract and the
    introduction were available.
    """
    hp, critic, batch = given.hp, state.critic, given.validation
    assert batch is not None
    slow = critic if critic.target is None else critic._replace(params=critic.target)
    stats = critic.stats if critic.target is None else critic.target_stats
    action, log_prob = parts.next_action(hp, state, batch.next_observation, given.keys.validation)
    next_output, _ = parts.critic.apply(
        slow.params, stats, batch.next_observation, action, None, False
    )
    target = td_target(parts, given, state, batch, next_output, log_prob)
    output, _ = parts.critic.apply(
        critic.params, critic.stats, batch.observation, batch.action, None, False
    )
    error = jnp.mean(parts.value.means(hp, output), axis=0) - mean_return(target)
    return jnp.mean(batch.weight * error)


ERRORS = {"gpl": _training_error, "vpl": _validation_error}
"""`agent.pessimism` -> mean of prediction - target, the gradient of the pessimism."""


def pessimism_step(
    parts: Ingredients, given: Given, state: TrainState, measured: Scalars
) -> tuple[TrainState, Scalars]:
    """Pessimism rises while targets exceed predictions, and falls while they fall short."""
    hp, learner = given.hp, state.duals["pessimism"]
    error = ERRORS[parts.config.pessimism](parts, given, state, measured)
    gradient = jax.grad(pessimism_loss)(learner.params, error)
    learner = descend(parts.pessimism_optimizer, given, learner, gradient)
    learner = learner._replace(params=jnp.clip(learner.params, hp.pessimism_min, hp.pessimism_max))
    return state._replace(duals={**state.duals, "pessimism": learner}), {
        "train/pessimism_error": error
    }

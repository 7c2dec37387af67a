"""Pessimism that is learned: from training batches (GPL) or from validation batches (VPL)."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rr_scale.agents.ingredients import Ingredients
from rr_scale.agents.state import TrainState
from rr_scale.agents.steps import Given, Scalars, bellman_pair, descend
from rr_scale.core.duals import pessimism_loss
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
    batch = given.validation
    assert batch is not None
    said, target = bellman_pair(parts, given, state, batch, given.keys.validation)
    return jnp.mean(batch.weight * (jnp.mean(said, axis=0) - target))


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

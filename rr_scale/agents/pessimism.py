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
) -> tuple[Array, Array]:
    """Cetin & Celiktutan 2023: what the critic step just measured."""
    return measured["train/q_mean"] - measured["train/target_q_mean"], jnp.array(True)


def _validation_error(
    parts: Ingredients, given: Given, state: TrainState, measured: Scalars
) -> tuple[Array, Array]:
    """The same on transitions that the critics never learn from, networks as in acting.

    A reconstruction: Nauman et al., "A case for validation buffer in
    pessimistic actor-critic", 2024, of which only the abstract and the
    introduction were available.
    """
    batch = given.validation
    assert batch is not None
    said, target = bellman_pair(parts, given, state, batch, given.keys.validation)
    return jnp.mean(batch.weight * (jnp.mean(said, axis=0) - target)), jnp.any(batch.weight > 0)


ERRORS = {"gpl": _training_error, "vpl": _validation_error}
"""`agent.pessimism` -> (mean of prediction - target, the gradient of the pessimism; whether there
was anything to measure)."""


def pessimism_step(
    parts: Ingredients, given: Given, state: TrainState, measured: Scalars
) -> tuple[TrainState, Scalars]:
    """Pessimism rises while targets exceed predictions, and falls while they fall short."""
    hp, before = given.hp, state.duals["pessimism"]
    error, known = ERRORS[parts.config.pessimism](parts, given, state, measured)
    gradient = jax.grad(pessimism_loss)(before.params, error)
    after = descend(parts.pessimism_optimizer, given, before, gradient)
    after = after._replace(params=jnp.clip(after.params, hp.pessimism_min, hp.pessimism_max))
    # Adam's counts rest as well, or the first steps would be many times too long.
    after = jax.tree.map(lambda new, old: jnp.where(known, new, old), after, before)
    return state._replace(duals={**state.duals, "pessimism": after}), {
        "train/pessimism_error": error
    }

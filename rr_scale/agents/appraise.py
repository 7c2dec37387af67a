"""What an agent expects of an action, in the units of the task."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from rr_scale.agents.ingredients import Ingredients
from rr_scale.agents.state import TrainState
from rr_scale.config import HyperParams
from rr_scale.core.distributions import tanh_gaussian_entropy
from rr_scale.types import Array


def make_appraise(parts: Ingredients) -> Callable[..., tuple[Array, Array]]:
    """Builds `Agent.appraise`."""
    form = parts.config.actor.log_prob

    def appraise(
        hp: HyperParams, state: TrainState, observation: Array, action: Array
    ) -> tuple[Array, Array]:
        x = parts.normalize(state, observation)
        critic, actor = state.critic, state.actor
        output, _ = parts.critic.apply(critic.params, critic.stats, x, action, None, False)
        value = jnp.mean(parts.value.means(hp, output), axis=0)
        bonus = jnp.zeros_like(value)
        policy, _ = parts.policy.apply(actor.params, actor.stats, x, None, False)
        if policy.log_sigma is not None:
            entropy = tanh_gaussian_entropy(policy.mean, policy.log_sigma, form)
            bonus = parts.alpha(hp, state) * entropy
        # What one unit of the task's reward is to the critics.
        unit = parts.scale_reward(hp, state, jnp.ones(()))
        return value / unit, bonus / unit

    return appraise

"""The named parts an agent is assembled from, and their assembly from a configuration."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from rr_scale.agents.state import TrainState
from rr_scale.config import AgentConfig, HyperParams, RunConfig
from rr_scale.core.aggregate import AGGREGATES
from rr_scale.core.targets import smoothing_noise
from rr_scale.nets.build import CriticEnsemble, Policy, build_critic, build_policy
from rr_scale.normalize import standardize
from rr_scale.optim import adam
from rr_scale.types import Array


class Ingredients(NamedTuple):
    """Every choice that a configuration makes, as a function or a size."""

    config: AgentConfig
    observation_size: int
    action_size: int
    policy: Policy
    critic: CriticEnsemble
    actor_optimizer: Callable[[HyperParams], optax.GradientTransformation]
    critic_optimizer: Callable[[HyperParams], optax.GradientTransformation]
    temperature_optimizer: Callable[[HyperParams], optax.GradientTransformation]
    target_value: Callable[[Array], Array]  # [N, B] -> [B]
    actor_value: Callable[[Array], Array]  # [N, B] -> [B]
    normalize: Callable[[TrainState, Array], Array]
    alpha: Callable[[HyperParams, TrainState], Array | float]
    next_action: Callable[[HyperParams, TrainState, Array, Array], tuple[Array, Array]]
    """(hp, state, next observation [B, O], key) -> (action [B, A], log-probability [B])"""


def build_ingredients(config: RunConfig, observation_size: int, action_size: int) -> Ingredients:
    """Looks every named choice of `config` up; after this nothing asks for a name."""
    agent = config.agent
    policy = build_policy(agent.actor, observation_size, action_size)
    hps = config.variant_hps()
    clip_actor = any(math.isfinite(hp.actor_max_grad_norm) for hp in hps)
    clip_critic = any(math.isfinite(hp.critic_max_grad_norm) for hp in hps)
    decay_critic = any(hp.critic_weight_decay > 0 for hp in hps)
    return Ingredients(
        config=agent,
        observation_size=observation_size,
        action_size=action_size,
        policy=policy,
        critic=build_critic(agent.critic, observation_size, action_size),
        actor_optimizer=lambda hp: adam(
            hp, hp.actor_lr, hp.actor_max_grad_norm if clip_actor else None
        ),
        critic_optimizer=lambda hp: adam(
            hp,
            hp.critic_lr,
            hp.critic_max_grad_norm if clip_critic else None,
            hp.critic_weight_decay if decay_critic else None,
        ),
        temperature_optimizer=lambda hp: adam(hp, hp.temperature_lr),
        target_value=AGGREGATES[agent.critic.target_ensemble],
        actor_value=AGGREGATES[agent.actor.objective_ensemble],
        normalize=_normalizer(agent.normalize_observations),
        alpha=_ALPHAS[agent.temperature],
        next_action=_BOOTSTRAPS[agent.critic.bootstrap_policy](policy),
    )


def _normalizer(enabled: bool) -> Callable[[TrainState, Array], Array]:
    if enabled:
        return lambda state, x: standardize(state.normalizers["observation"], x)
    return lambda state, x: x


def _learned_alpha(hp: HyperParams, state: TrainState) -> Array:
    return jnp.exp(state.duals["temperature"].params)


_ALPHAS: dict[str, Callable[[HyperParams, TrainState], Array | float]] = {
    "alpha": _learned_alpha,
    "log": _learned_alpha,
    "fixed": lambda hp, state: hp.init_temperature,
    # A Python zero: the entropy terms vanish from the program.
    "none": lambda hp, state: 0.0,
}


def _current(policy: Policy) -> Callable:
    return lambda hp, state, observation, key: policy.sample(state.actor.params, observation, key)


def _target(policy: Policy) -> Callable:
    return lambda hp, state, observation, key: policy.sample(state.actor.target, observation, key)


def _target_noise(policy: Policy) -> Callable:
    def next_action(
        hp: HyperParams, state: TrainState, observation: Array, key: Array
    ) -> tuple[Array, Array]:
        sample_key, noise_key = jax.random.split(key)
        action, log_prob = policy.sample(state.actor.target, observation, sample_key)
        noise = smoothing_noise(
            jax.random.normal(noise_key, action.shape), hp.target_noise, hp.target_noise_clip
        )
        return jnp.clip(action + noise, -1.0, 1.0), log_prob

    return next_action


_BOOTSTRAPS = {"current": _current, "target": _target, "target_noise": _target_noise}

"""The named parts an agent is assembled from, and their assembly from a configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rr_scale.agents.behaviour import make_behaviour
from rr_scale.agents.optimizers import dual_optimizer, network_optimizer
from rr_scale.agents.passes import Passes, build_passes
from rr_scale.agents.state import TrainState
from rr_scale.agents.valuation import Valuation, build_valuation
from rr_scale.config import AgentConfig, HyperParams, RunConfig
from rr_scale.core.targets import smoothing_noise
from rr_scale.nets.build import CriticEnsemble, Policy, build_critic, build_policy
from rr_scale.nets.explorer import Explorer, build_explorer
from rr_scale.normalize import scale_reward, standardize
from rr_scale.optim import FOLLOWS, Optimizer
from rr_scale.types import Array, Params


class Ingredients(NamedTuple):
    """Every choice that a configuration makes, as a function or a size."""

    config: AgentConfig
    observation_size: int
    action_size: int
    policy: Policy
    critic: CriticEnsemble
    passes: Passes
    actor_optimizer: Optimizer
    critic_optimizer: Optimizer
    temperature_optimizer: Optimizer
    follow: Callable[[Params, Params, Array], Params]
    """(target, online, tau) -> target"""
    explorer_optimizer: Optimizer
    pessimism_optimizer: Optimizer
    optimism_optimizer: Optimizer
    explorer: Explorer | None
    behave: Callable[[HyperParams, TrainState, Array, Array], Array]
    """(hp, state, observation [..., O], key) -> action [..., A] in training"""
    value: Valuation
    normalize: Callable[[TrainState, Array], Array]
    scale_reward: Callable[[HyperParams, TrainState, Array], Array]
    alpha: Callable[[HyperParams, TrainState], Array | float]
    next_action: Callable[[HyperParams, TrainState, Array, Array], tuple[Array, Array]]
    """(hp, state, next observation [B, O], key) -> (action [B, A], log-probability [B])"""


def build_ingredients(
    config: RunConfig, observation_size: int, action_size: int, horizon: int
) -> Ingredients:
    """Looks every named choice of `config` up; after this nothing asks for a name.

    Args:
      config: a run.
      observation_size: O.
      action_size: A.
      horizon: env steps over which schedules run.
    """
    agent = config.agent
    policy = build_policy(agent.actor, observation_size, action_size)
    critic = build_critic(agent.critic, observation_size, action_size)
    explorer = None
    if agent.explorer.kind == "optimistic":
        explorer = build_explorer(agent.explorer.network, observation_size, action_size)
    return Ingredients(
        config=agent,
        observation_size=observation_size,
        action_size=action_size,
        policy=policy,
        critic=critic,
        passes=build_passes(agent.critic, critic),
        actor_optimizer=network_optimizer(config, horizon, "actor", agent.actor),
        critic_optimizer=network_optimizer(config, horizon, "critic", agent.critic),
        temperature_optimizer=dual_optimizer(
            config, horizon, lambda hp: hp.temperature_lr, "temperature"
        ),
        explorer_optimizer=network_optimizer(
            config, horizon, "actor", replace(agent.actor, network=agent.explorer.network)
        ),
        pessimism_optimizer=dual_optimizer(config, horizon, lambda hp: hp.pessimism_lr),
        optimism_optimizer=dual_optimizer(config, horizon, lambda hp: hp.optimism_lr),
        follow=FOLLOWS[agent.critic.target_network],
        explorer=explorer,
        behave=make_behaviour(policy, explorer),
        value=build_valuation(agent),
        normalize=_normalizer(agent.normalize_observations),
        scale_reward=_reward_scaler(agent.reward_scale),
        alpha=_ALPHAS[agent.temperature],
        next_action=_BOOTSTRAPS[agent.critic.bootstrap_policy](policy),
    )


def _reward_scaler(name: str) -> Callable[[HyperParams, TrainState, Array], Array]:
    if name == "none":
        return lambda hp, state, reward: reward
    return lambda hp, state, reward: scale_reward(
        name, state.normalizers["reward"], hp.v_max, reward
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
    return lambda hp, state, observation, key: policy.sample(
        state.actor.params, state.actor.stats, observation, key
    )


def _target(policy: Policy) -> Callable:
    return lambda hp, state, observation, key: policy.sample(
        state.actor.target, state.actor.target_stats, observation, key
    )


def _target_noise(policy: Policy) -> Callable:
    def next_action(
        hp: HyperParams, state: TrainState, observation: Array, key: Array
    ) -> tuple[Array, Array]:
        sample_key, noise_key = jax.random.split(key)
        action, log_prob = policy.sample(
            state.actor.target, state.actor.target_stats, observation, sample_key
        )
        noise = smoothing_noise(
            jax.random.normal(noise_key, action.shape), hp.target_noise, hp.target_noise_clip
        )
        return jnp.clip(action + noise, -1.0, 1.0), log_prob

    return next_action


_BOOTSTRAPS = {"current": _current, "target": _target, "target_noise": _target_noise}

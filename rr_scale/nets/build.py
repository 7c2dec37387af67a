"""From configuration to pure functions; nobody else sees a flax module."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rr_scale.config import ActorConfig, CriticConfig
from rr_scale.core.distributions import bound_log_sigma, sample_tanh_gaussian
from rr_scale.nets.heads import Actor, Critic
from rr_scale.types import Array, Params


class Policy(NamedTuple):
    """A policy over actions in [-1, 1]."""

    init: Callable[[Array], Params]
    sample: Callable[[Params, Array, Array], tuple[Array, Array]]
    """(params, observation [..., O], key) -> (action [..., A], log-probability [...])"""
    mode: Callable[[Params, Array], Array]
    """(params, observation [..., O]) -> deterministic action [..., A]"""
    stochastic: bool
    """Whether `sample` draws and reports a log-probability."""


class CriticEnsemble(NamedTuple):
    """N independent critics; every parameter leaf has a leading axis N."""

    init: Callable[[Array], Params]
    apply: Callable[[Params, Array, Array], Array]
    """(params, observation [B, O], action [B, A]) -> Q [N, B]"""


def build_policy(config: ActorConfig, observation_size: int, action_size: int) -> Policy:
    """The policy of `config`; a deterministic one reports log-probability 0."""
    module = Actor(config, action_size)

    def init(key: Array) -> Params:
        return module.init(key, jnp.zeros((1, observation_size)))["params"]

    def mode(params: Params, observation: Array) -> Array:
        return jnp.tanh(module.apply({"params": params}, observation)[0])

    def sample(params: Params, observation: Array, key: Array) -> tuple[Array, Array]:
        mean, raw = module.apply({"params": params}, observation)
        if raw is None:
            return jnp.tanh(mean), jnp.zeros(mean.shape[:-1], mean.dtype)
        log_sigma = bound_log_sigma(
            raw, config.log_sigma_min, config.log_sigma_max, config.log_sigma_map
        )
        return sample_tanh_gaussian(key, mean, log_sigma, config.log_prob)

    return Policy(init, sample, mode, config.distribution != "deterministic")


def build_critic(config: CriticConfig, observation_size: int, action_size: int) -> CriticEnsemble:
    """The ensemble of `config`."""
    module = Critic(config.network)

    def init(key: Array) -> Params:
        def member(key: Array) -> Params:
            observation, action = jnp.zeros((1, observation_size)), jnp.zeros((1, action_size))
            return module.init(key, observation, action)["params"]

        # Members one after another: orthogonal initialisers call QR, and a
        # batched QR can deadlock XLA's CPU thread pool on two cores.
        return jax.lax.map(member, jax.random.split(key, config.ensemble_size))

    def apply(params: Params, observation: Array, action: Array) -> Array:
        def member(member_params: Params) -> Array:
            return module.apply({"params": member_params}, observation, action)

        return jax.vmap(member)(params)

    return CriticEnsemble(init, apply)

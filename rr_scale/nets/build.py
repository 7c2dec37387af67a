"""From configuration to pure functions; nobody else sees a flax module."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rr_scale.config import ActorConfig, CriticConfig
from rr_scale.core.distributions import bound_log_sigma, sample_tanh_gaussian
from rr_scale.core.values import output_size
from rr_scale.nets.heads import Actor, Critic
from rr_scale.nets.layers import STATS
from rr_scale.nets.watched import Watched, watched_pass
from rr_scale.types import Array, Params, Stats


class Gaussian(NamedTuple):
    """What a policy says before the action is squashed."""

    mean: Array  # [..., A]
    log_sigma: Array | None  # [..., A]; None: deterministic


class Policy(NamedTuple):
    """A policy over actions in [-1, 1]."""

    init: Callable[[Array], tuple[Params, Stats]]
    apply: Callable[[Params, Stats, Array, Array | None, bool], tuple[Gaussian, Stats]]
    """(params, stats, observation [..., O], dropout key or None, train) -> (output, stats)"""
    draw: Callable[[Gaussian, Array], tuple[Array, Array]]
    """(output, key) -> (action [..., A], log-probability [...])"""
    sample: Callable[[Params, Stats, Array, Array], tuple[Array, Array]]
    """(params, stats, observation [..., O], key) -> (action, log-probability), for acting"""
    mode: Callable[[Params, Stats, Array], Array]
    """(params, stats, observation [..., O]) -> deterministic action [..., A]"""
    watch: Callable[[Params, Stats, Array], Watched]
    """(params, stats, observation [B, O]) -> what the units do in inference"""
    stochastic: bool
    """Whether `draw` draws and reports a log-probability."""


class CriticEnsemble(NamedTuple):
    """N independent critics; every leaf of params and stats has a leading axis N."""

    init: Callable[[Array], tuple[Params, Stats]]
    apply: Callable[[Params, Stats, Array, Array, Array | None, bool], tuple[Array, Stats]]
    """(params, stats, observation [B, O], action [B, A], dropout key or None, train) ->
    (output [N, B, K], stats)"""
    watch: Callable[[Params, Stats, Array, Array], Watched]
    """(params, stats, observation [B, O], action [B, A]) -> what the units of each member do in
    inference; leaves [N, B, ...]"""


def _init(module: nn.Module, key: Array, *sizes: int) -> tuple[Params, Stats]:
    """Fresh parameters and running statistics ({} where no layer keeps any)."""
    variables = module.init(key, *(jnp.zeros((1, size)) for size in sizes))
    return variables["params"], variables.get(STATS, {})


def _apply(
    module: nn.Module, params: Params, stats: Stats, *inputs: Array, key: Array | None, train: bool
) -> tuple[Array, Stats]:
    """One pass.

    Dropout is on if it has a key. With `train`, layers normalise by the batch
    and renew their statistics; without, they use the running ones.
    """
    rngs = {} if key is None else {"dropout": key}
    variables = {"params": params, STATS: stats} if stats else {"params": params}
    if not (stats and train):
        return module.apply(variables, *inputs, train=False, rngs=rngs), stats
    output, new = module.apply(variables, *inputs, train=True, rngs=rngs, mutable=[STATS])
    return output, new[STATS]


def build_policy(config: ActorConfig, observation_size: int, action_size: int) -> Policy:
    """The policy of `config`; a deterministic one reports log-probability 0."""
    module = Actor(config, action_size)

    def init(key: Array) -> tuple[Params, Stats]:
        return _init(module, key, observation_size)

    def apply(
        params: Params, stats: Stats, observation: Array, key: Array | None, train: bool
    ) -> tuple[Gaussian, Stats]:
        (mean, raw), stats = _apply(module, params, stats, observation, key=key, train=train)
        if raw is None:
            return Gaussian(mean, None), stats
        log_sigma = bound_log_sigma(
            raw, config.log_sigma_min, config.log_sigma_max, config.log_sigma_map
        )
        return Gaussian(mean, log_sigma), stats

    def draw(output: Gaussian, key: Array) -> tuple[Array, Array]:
        mean, log_sigma = output
        if log_sigma is None:
            return jnp.tanh(mean), jnp.zeros(mean.shape[:-1], mean.dtype)
        return sample_tanh_gaussian(key, mean, log_sigma, config.log_prob)

    def sample(params: Params, stats: Stats, observation: Array, key: Array) -> tuple[Array, Array]:
        return draw(apply(params, stats, observation, None, False)[0], key)

    def mode(params: Params, stats: Stats, observation: Array) -> Array:
        return jnp.tanh(apply(params, stats, observation, None, False)[0].mean)

    def watch(params: Params, stats: Stats, observation: Array) -> Watched:
        return watched_pass(module, params, stats, observation)

    stochastic = config.distribution != "deterministic"
    return Policy(init, apply, draw, sample, mode, watch, stochastic)


def build_critic(config: CriticConfig, observation_size: int, action_size: int) -> CriticEnsemble:
    """The ensemble of `config`."""
    module = Critic(config.network, output_size(config))

    def init(key: Array) -> tuple[Params, Stats]:
        def member(key: Array) -> tuple[Params, Stats]:
            return _init(module, key, observation_size, action_size)

        # Members one after another: orthogonal initialisers call QR, and a
        # batched QR can deadlock XLA's CPU thread pool on two cores.
        return jax.lax.map(member, jax.random.split(key, config.ensemble_size))

    def apply(
        params: Params,
        stats: Stats,
        observation: Array,
        action: Array,
        key: Array | None,
        train: bool,
    ) -> tuple[Array, Stats]:
        def member(params: Params, stats: Stats, key: Array | None) -> tuple[Array, Stats]:
            return _apply(module, params, stats, observation, action, key=key, train=train)

        keys = None if key is None else jax.random.split(key, config.ensemble_size)
        return jax.vmap(member)(params, stats, keys)

    def watch(params: Params, stats: Stats, observation: Array, action: Array) -> Watched:
        def member(params: Params, stats: Stats) -> Watched:
            return watched_pass(module, params, stats, observation, action)

        return jax.vmap(member)(params, stats)

    return CriticEnsemble(init, apply, watch)

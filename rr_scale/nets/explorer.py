"""The network of an optimistic explorer: how far it moves the actor's mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from rr_scale.config import NetworkConfig
from rr_scale.nets.trunks import TRUNKS
from rr_scale.nets.watched import TRUNK, Watched, watch_features, watched_pass
from rr_scale.types import Array, Params


class Explorer(NamedTuple):
    """A shift of another policy's mean."""

    init: Callable[[Array], Params]
    shift: Callable[[Params, Array, Array], Array]
    """(params, observation [..., O], pre-squash mean [..., A]) -> shift [..., A]"""
    watch: Callable[[Params, Array, Array], Watched]
    """(params, observation [B, O], pre-squash mean [B, A]) -> what its units do"""


class Shift(nn.Module):
    """A trunk over (s, mean) and a small linear head without bias: it starts near zero."""

    config: NetworkConfig
    action_size: int

    @nn.compact
    def __call__(self, observation: Array, mean: Array) -> Array:
        inputs = jnp.concatenate([observation, mean], axis=-1)
        features = TRUNKS[self.config.trunk](self.config, name=TRUNK)(inputs, False)
        watch_features(self, features)
        initializer = nn.initializers.orthogonal(0.01)
        return nn.Dense(self.action_size, use_bias=False, kernel_init=initializer, name="mean")(
            features
        )


def build_explorer(config: NetworkConfig, observation_size: int, action_size: int) -> Explorer:
    """The explorer whose network is `config`."""
    module = Shift(config, action_size)

    def init(key: Array) -> Params:
        inputs = jnp.zeros((1, observation_size)), jnp.zeros((1, action_size))
        return module.init(key, *inputs)["params"]

    def shift(params: Params, observation: Array, mean: Array) -> Array:
        return module.apply({"params": params}, observation, mean)

    def watch(params: Params, observation: Array, mean: Array) -> Watched:
        return watched_pass(module, params, {}, observation, mean)

    return Explorer(init, shift, watch)

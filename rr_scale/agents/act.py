"""Choosing actions: random warm-up, exploration, evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rr_scale.agents.ingredients import Ingredients
from rr_scale.agents.state import TrainState
from rr_scale.config import HyperParams
from rr_scale.rng import Stream, stream_key
from rr_scale.types import Array, Clock


class Noise(NamedTuple):
    """An exploration noise: what it remembers within an episode, and how it goes on."""

    initial: Callable[[int], Any]
    """(A) -> memory at the start of an episode"""
    step: Callable[[HyperParams, Any, Array, Array], tuple[Array, Any]]
    """(hp, memory, standard normal [A], sigma) -> (noise [A], memory)"""


def noise_scale(hp: HyperParams, env_step: Array, horizon: int) -> Array:
    """Linear from hp.noise_start at step 0 to hp.noise_end at `horizon`, then constant."""
    left = jnp.clip(1.0 - env_step / horizon, 0.0, 1.0)
    return hp.noise_end + (hp.noise_start - hp.noise_end) * left


def _gaussian(hp: HyperParams, memory: Any, normal: Array, sigma: Array) -> tuple[Array, Any]:
    return sigma * normal, memory


def _ornstein_uhlenbeck(
    hp: HyperParams, memory: Array, normal: Array, sigma: Array
) -> tuple[Array, Array]:
    """x <- x - theta x dt + sigma sqrt(dt) N (Uhlenbeck & Ornstein 1930; Lillicrap 2016)."""
    x = memory - hp.ou_theta * memory * hp.ou_dt + sigma * jnp.sqrt(hp.ou_dt) * normal
    return x, x


def _none(hp: HyperParams, memory: Any, normal: Array, sigma: Array) -> tuple[float, Any]:
    return 0.0, memory


def _nothing(size: int) -> tuple[()]:
    return ()


NOISES = {
    "policy": Noise(_nothing, _none),
    "gaussian": Noise(_nothing, _gaussian),
    "ou": Noise(jnp.zeros, _ornstein_uhlenbeck),
}


class Repeating(NamedTuple):
    """Memory of exploration that repeats its random numbers."""

    noise: Any
    drawn: Array  # [] int32, env steps completed when they were drawn
    left: Array  # [] int32, further env steps to use them for


def repeats(key: Array, longest: int) -> Array:
    """Env steps to use one draw for: n in 1 ... longest with probability proportional to 1 / n^2.

    Kim et al., "FlashSAC", 2026 (noise repetition).
    """
    lengths = jnp.arange(1, longest + 1)
    return lengths[jax.random.categorical(key, -2.0 * jnp.log(lengths))]


def _draw_or_repeat(
    root: Array, memory: Repeating, env_step: Array, longest: int
) -> tuple[Array, Repeating]:
    """(the env step whose random numbers are used now, memory)."""
    anew = memory.left == 0
    length = repeats(stream_key(root, Stream.REPEAT, env_step), longest)
    drawn = jnp.where(anew, env_step, memory.drawn).astype(jnp.int32)
    left = jnp.where(anew, length, memory.left).astype(jnp.int32) - 1
    return drawn, memory._replace(drawn=drawn, left=left)


def make_initial_memory(parts: Ingredients) -> Callable[[], Any]:
    """Builds `Agent.initial_memory`."""

    def initial_memory() -> Any:
        noise = NOISES[parts.config.exploration].initial(parts.action_size)
        if parts.config.noise_repeat == 1:
            return noise
        return Repeating(noise, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))

    return initial_memory


def make_act(parts: Ingredients, horizon: int) -> Callable[..., tuple[Array, Any]]:
    """Builds `Agent.act`.

    Args:
      parts: the agent's ingredients.
      horizon: env steps over which exploration noise is scheduled.
    """
    noise, longest = NOISES[parts.config.exploration], parts.config.noise_repeat

    def explore(
        hp: HyperParams,
        state: TrainState,
        memory: Any,
        observation: Array,
        env_step: Array,
        drawn: Array,
    ) -> tuple[Array, Any]:
        sample_key, noise_key = jax.random.split(stream_key(state.root, Stream.ACT, drawn))
        action = parts.behave(hp, state, observation, sample_key)
        sigma = noise_scale(hp, env_step, horizon)
        added, memory = noise.step(hp, memory, jax.random.normal(noise_key, action.shape), sigma)
        return jnp.clip(action + added, -1.0, 1.0), memory

    def act(
        hp: HyperParams, state: TrainState, memory: Any, observation: Array, clock: Clock, mode: str
    ) -> tuple[Array, Any]:
        if mode == "warmup":
            key = stream_key(state.root, Stream.WARMUP, clock.env_step)
            shape = (*observation.shape[:-1], parts.action_size)
            return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0), memory
        observation = parts.normalize(state, observation)
        if mode == "evaluate":
            return parts.policy.mode(state.actor.params, state.actor.stats, observation), memory
        now = clock.env_step
        if longest == 1:
            return explore(hp, state, memory, observation, now, now)
        drawn, memory = _draw_or_repeat(state.root, memory, now, longest)
        action, inner = explore(hp, state, memory.noise, observation, now, drawn)
        return action, memory._replace(noise=inner)

    return act

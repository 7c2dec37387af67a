"""What an agent learns from single steps: moments, the size of returns, the bandit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from rr_scale.agents.state import TrainState
from rr_scale.config import AgentConfig, HyperParams
from rr_scale.core.bandit import Bandit, init_bandit, update_bandit
from rr_scale.normalize import (
    Moments,
    RewardScale,
    init_moments,
    init_reward_scale,
    update_moments,
    update_reward_scale,
)
from rr_scale.rng import Stream, stream_key
from rr_scale.types import Array, Transition


class Observer(NamedTuple):
    """One entry of `TrainState.normalizers`."""

    wanted: Callable[[AgentConfig], bool]
    init: Callable[[int], Any]
    """(O) -> entry before the first step"""
    update: Callable[[HyperParams, Array, Any, Transition, Array], Any]
    """(hp, root key, entry, transition, episode_end) -> entry"""


def _observation(
    hp: HyperParams, root: Array, moments: Moments, transition: Transition, episode_end: Array
) -> Moments:
    return update_moments(moments, transition.observation)


def _reward(
    hp: HyperParams, root: Array, scale: RewardScale, transition: Transition, episode_end: Array
) -> RewardScale:
    return update_reward_scale(scale, transition.reward, hp.discount, episode_end)


def _bandit(
    hp: HyperParams, root: Array, bandit: Bandit, transition: Transition, episode_end: Array
) -> Bandit:
    key = stream_key(root, Stream.BANDIT, bandit.episodes)
    return update_bandit(bandit, key, transition.reward, episode_end)


OBSERVERS = {
    "observation": Observer(
        lambda config: config.normalize_observations, init_moments, _observation
    ),
    "reward": Observer(
        lambda config: config.reward_scale != "none", lambda size: init_reward_scale(), _reward
    ),
    "bandit": Observer(
        lambda config: config.pessimism == "top", lambda size: init_bandit(), _bandit
    ),
}
"""Name in `TrainState.normalizers` -> what it is."""


def init_observed(config: AgentConfig, observation_size: int) -> dict[str, Any]:
    """The entries that `config` asks for."""
    return {
        name: observer.init(observation_size)
        for name, observer in OBSERVERS.items()
        if observer.wanted(config)
    }


def observe_all(
    hp: HyperParams, state: TrainState, transition: Transition, episode_end: Array
) -> dict[str, Any]:
    """Every entry, told of one step."""
    return {
        name: OBSERVERS[name].update(hp, state.root, entry, transition, episode_end)
        for name, entry in state.normalizers.items()
    }

"""How the critics see (s, a) and (s', a'): in two passes or in one, with a slow copy or without.

Layers that normalise by the batch see two distributions in a critic step: the
pairs of the replay buffer and the next states with the policy's actions.
Normalised apart, the two halves of the regression are not comparable; one pass
over both gives them the same statistics (Bhatt et al., "CrossQ", ICLR 2024).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from rr_scale.agents.state import Learner
from rr_scale.config import CriticConfig
from rr_scale.nets.build import CriticEnsemble
from rr_scale.types import Array, Batch, Params, Stats


class Passes(NamedTuple):
    """The passes of a critic step. Keys are those of dropout, or None."""

    target: Callable[[Learner, Batch, Array, Array | None], Array] | None
    """(critics, batch, next action [B, A], key) -> output of the slow copies at (s', a')
    [N, B, K]; None where there are none"""
    online: Callable[
        [Params, Learner, Batch, Array, Array | None], tuple[Array, Array | None, Stats]
    ]
    """(params, critics, batch, next action [B, A], key) -> (output at (s, a) [N, B, K], output
    at (s', a') if the pass was joint, statistics)"""


def build_passes(config: CriticConfig, critic: CriticEnsemble) -> Passes:
    """The passes that `config` asks for."""
    joint = config.has_joint_pass

    def target(learner: Learner, batch: Batch, next_action: Array, key: Array | None) -> Array:
        inputs = (batch.next_observation, next_action)
        if joint:
            inputs = _both(batch, next_action)
        output, _ = critic.apply(learner.target, learner.target_stats, *inputs, key, True)
        return output[:, -len(next_action) :]

    def online(
        params: Params, learner: Learner, batch: Batch, next_action: Array, key: Array | None
    ) -> tuple[Array, Array | None, Stats]:
        if not joint:
            inputs = (batch.observation, batch.action)
            output, stats = critic.apply(params, learner.stats, *inputs, key, True)
            return output, None, stats
        output, stats = critic.apply(params, learner.stats, *_both(batch, next_action), key, True)
        size = len(batch.action)
        return output[:, :size], output[:, size:], stats

    return Passes(None if config.target_network == "none" else target, online)


def _both(batch: Batch, next_action: Array) -> tuple[Array, Array]:
    """(s, a) above (s', a'): ([2B, O], [2B, A])."""
    return (
        jnp.concatenate([batch.observation, batch.next_observation]),
        jnp.concatenate([batch.action, next_action]),
    )

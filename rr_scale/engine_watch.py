"""Compiled programs that read training and leave it alone; for all lanes.

None of them is compiled before it is asked for.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from rr_scale.agents.state import Agent, TrainState, critics_of
from rr_scale.config import HyperParams
from rr_scale.engine_state import EngineState
from rr_scale.placement import Placement
from rr_scale.replay.rings import AnyRing
from rr_scale.replay.sampler import Sampler, SamplerState
from rr_scale.rng import Stream, stream_key
from rr_scale.types import Array, Batch, Clock, Mean, Metrics


class Watch:
    """Diagnostics over S lanes; holds no state of its own.

    Args:
      agent: the algorithm, for one lane.
      sampler: of its batches.
      placement: where the lanes run.
    """

    def __init__(self, agent: Agent, sampler: Sampler, placement: Placement):
        self._agent = agent
        self._sampler = sampler
        self._placement = placement
        self._diagnose = placement.program(self._diagnose_lanes, "LLLLLS")
        self._critics = placement.program(_copy_critics, "L")
        self._appraise = placement.program(self._appraise_lanes, "LLLL")

    def diagnose(
        self, hp: HyperParams, state: EngineState, before: TrainState, clock: Clock
    ) -> dict[str, Mean]:
        """The agent's diagnostics on a batch of their own, leaves [S]; waits for them.

        Args:
          hp: of all lanes.
          state: after the updates of an env step; not consumed.
          before: a copy of the policy before them, from `Engine.policy`.
          clock: env_step counts that step.
        """
        known = state.sampler._replace(priorities=None)
        found = self._diagnose(hp, state.train, state.replay, known, before, clock)
        measured: dict[str, Mean] = self._placement.to_host(found)
        return measured

    def critics(self, state: EngineState) -> TrainState:
        """A copy of what `appraise` needs; the steps that follow leave it alone."""
        copied: TrainState = self._critics(state.train)
        return copied

    def appraise(
        self, hp: HyperParams, critics: TrainState, observation: np.ndarray, action: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Expected returns and entropy bonuses [S, E] of actions [S, E, A] at [S, E, O]."""
        observation, action = self._placement.pad(observation), self._placement.pad(action)
        value, bonus = self._appraise(hp, critics, observation, action)
        return self._placement.to_host(value), self._placement.to_host(bonus)

    def _diagnose_lanes(
        self,
        hp: HyperParams,
        train: TrainState,
        replay: AnyRing,
        sampler: SamplerState,
        before: TrainState,
        clock: Clock,
    ) -> Metrics:
        def draw(
            hp: HyperParams, ring: AnyRing, known: SamplerState, root: Array
        ) -> dict[str, Batch]:
            source = stream_key(root, Stream.DIAGNOSE, clock.env_step)
            # Without the tree: all rows alike, whatever training prefers.
            return self._sampler.draw(hp, ring, known, None, root, clock, source).batches

        batches = jax.vmap(draw)(hp, replay, sampler, train.root)
        # Lane after lane on every device: batched singular values, like the
        # batched QR of nets.build, may wait for the pool that they run in.
        return jax.lax.map(
            lambda lane: self._agent.diagnose(*lane, clock), (hp, train, before, batches)
        )

    def _appraise_lanes(
        self, hp: HyperParams, critics: TrainState, observation: Array, action: Array
    ) -> tuple[Array, Array]:
        return jax.vmap(self._agent.appraise)(hp, critics, observation, action)


def _copy_critics(train: TrainState) -> TrainState:
    # See `engine_state.copy_policy`.
    return jax.tree.map(jnp.copy, critics_of(train))

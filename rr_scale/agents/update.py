"""One gradient update: the configured steps in the configured order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from rr_scale.agents.ingredients import Ingredients
from rr_scale.agents.optimism import explorer_step, optimism_step
from rr_scale.agents.pessimism import pessimism_step
from rr_scale.agents.state import TrainState
from rr_scale.agents.steps import (
    TD_ERROR,
    Given,
    Scalars,
    actor_step,
    critic_step,
    draw_keys,
    target_step,
    temperature_step,
)
from rr_scale.config import AgentConfig, HyperParams
from rr_scale.types import Batch, Clock, Feedback, Mean

STEPS: dict[str, Callable[..., tuple[TrainState, Scalars]]] = {
    "critic": critic_step,
    "target": target_step,
    "actor": actor_step,
    "explorer": explorer_step,
    "temperature": temperature_step,
    "optimism": optimism_step,
    "pessimism": pessimism_step,
}
"""Name in `agent.update_order` -> step."""


_MOST_STRETCHES = 4
"""Each one is compiled by itself."""


def stretches(config: AgentConfig) -> tuple[tuple[int, int], ...]:
    """Which updates do the same steps, over one period of the delays.

    Returns:
      (phase, length) of neighbouring updates that do the same steps: an actor
      delayed by 20 gives (0, 1), (1, 19). Empty if delays differ so much that
      there are many of them.
    """
    delays = {config.delay(step) for step in config.update_order}
    starts = {0}
    period = math.lcm(*delays)
    for delay in delays - {1}:
        starts |= {phase for k in range(0, period, delay) for phase in (k, k + 1)}
    begins = sorted(starts)
    if len(begins) > _MOST_STRETCHES:
        return ()
    return tuple((a, b - a) for a, b in itertools.pairwise([*begins, period]))


def prepare(parts: Ingredients, hp: HyperParams, state: TrainState, batch: Batch) -> Batch:
    """A batch as the networks see it: observations normalised, rewards scaled."""
    chex.assert_rank([batch.reward, batch.discount, batch.weight], 1)
    return batch._replace(
        observation=parts.normalize(state, batch.observation),
        reward=parts.scale_reward(hp, state, batch.reward),
        next_observation=parts.normalize(state, batch.next_observation),
    )


def make_update(parts: Ingredients) -> Callable[..., tuple[TrainState, Feedback]]:
    """Builds `Agent.update`.

    Neighbouring steps with one delay share one `lax.cond` on the clock, so
    that a delayed actor costs nothing on the updates in between; where the
    phase is known while compiling, there is none. The first update of a run
    does every step.
    """
    groups = [
        (delay, tuple(steps))
        for delay, steps in itertools.groupby(parts.config.update_order, parts.config.delay)
    ]

    def run_steps(
        steps: tuple[str, ...], given: Given, state: TrainState
    ) -> tuple[TrainState, Scalars]:
        measured: Scalars = {}
        for step in steps:
            state, new = STEPS[step](parts, given, state, measured)
            measured.update(new)
        return state, measured

    def update(
        hp: HyperParams,
        state: TrainState,
        batches: dict[str, Batch],
        clock: Clock,
        phase: int | None = None,
    ) -> tuple[TrainState, Feedback]:
        keys = draw_keys(parts, state.root, clock.update)
        given = Given(hp, prepare(parts, hp, state, batches["train"]), clock, keys)
        if parts.config.pessimism == "vpl":
            given = given._replace(validation=prepare(parts, hp, state, batches["validation"]))
        means: dict[str, Mean] = {}
        for delay, steps in groups:

            def do(state: TrainState, steps: tuple[str, ...] = steps) -> tuple:
                state, scalars = run_steps(steps, given, state)
                return state, {k: Mean(v, jnp.ones(())) for k, v in scalars.items()}

            def skip(state: TrainState, do: Callable = do) -> tuple:
                shapes = jax.eval_shape(do, state)[1]
                return state, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

            if delay == 1:
                state, new = do(state)
            elif phase is not None:
                state, new = (skip if phase % delay else do)(state)
            else:
                state, new = jax.lax.cond(clock.update % delay == 0, do, skip, state)
            means.update(new)
        td_error = means.pop(TD_ERROR).total
        return state, Feedback(means, td_error)

    return update

"""Updates alone: `Engine.step` in a loop on a filled ring, no environment."""

from __future__ import annotations

import math
import time
from typing import Any

import jax
import numpy as np

from benchmarks.flops import flops_per_update
from benchmarks.options import run_config
from rr_scale.agents.build import make_agent
from rr_scale.engine import Engine, EngineState
from rr_scale.envs import suites
from rr_scale.types import Clock, Transition


def measure(
    preset: str,
    settings: list[list[str]],
    env_name: str,
    seeds: int,
    replay_ratios: list[int],
    capacity: int,
    ages: list[int],
    seconds: float,
    repeats: int,
) -> dict[str, Any]:
    """Durations of steps with that many updates each, in turns.

    Args:
      preset, settings: of the agent.
      env_name: gives the sizes of observation and action.
      seeds: lanes.
      replay_ratios: updates per step; 0 only inserts.
      capacity: rows per lane of the ring.
      ages: env steps done (transitions inserted) before timing begins, rising.
      seconds: least duration of a repeat.
      repeats: how many.

    Returns:
      `flops_per_update`, and under `timings` per age and replay ratio the
      number of steps and its durations in seconds.
    """
    spec = suites.spec_of(env_name)
    sizes = (spec.observation_size, spec.action_size)
    loop = _Loop(preset, settings, seeds, capacity, *sizes)
    timings = []
    for age in ages:
        loop.insert(age)
        steps, first = {}, {}
        for ratio in replay_ratios:
            first[ratio] = loop.timed(ratio, 1)
            steps[ratio] = loop.enough_steps(ratio, seconds)
        durations: dict[int, list[float]] = {ratio: [] for ratio in replay_ratios}
        for _ in range(repeats):
            for ratio in replay_ratios:
                durations[ratio].append(loop.timed(ratio, steps[ratio]))
        timings += [
            {
                "age": age,
                "replay_ratio": ratio,
                "first_step_s": first[ratio],
                "steps": steps[ratio],
                "seconds": durations[ratio],
            }
            for ratio in replay_ratios
        ]
    loop.check()
    flops = flops_per_update(run_config(preset, settings), *sizes)
    return {"flops_per_update": flops, "timings": timings}


class _Loop:
    """An engine and its state, stepped with random transitions."""

    def __init__(
        self,
        preset: str,
        settings: list[list[str]],
        seeds: int,
        capacity: int,
        observation_size: int,
        action_size: int,
    ):
        config = run_config(preset, settings)
        agent = make_agent(config, observation_size, action_size)
        hps = [config.hp] * seeds
        self._engine = Engine(agent, hps, config.replay, capacity, observation_size, action_size)
        self._state: EngineState = self._engine.init(list(range(seeds)))
        rng = np.random.default_rng(0)
        # A few hundred, so that making them is no part of what is timed.
        self._transitions = [
            Transition(
                observation=rng.normal(size=(seeds, observation_size)).astype(np.float32),
                action=rng.uniform(-1, 1, (seeds, action_size)).astype(np.float32),
                reward=rng.normal(size=seeds).astype(np.float32),
                terminated=np.zeros(seeds, bool),
                truncated=rng.uniform(size=seeds) < 0.001,
                next_observation=rng.normal(size=(seeds, observation_size)).astype(np.float32),
            )
            for _ in range(256)
        ]
        self._env_step = 0
        self._updates = 0

    def insert(self, total: int) -> None:
        """Stores transitions until `total` were stored."""
        while self._env_step < total:
            self._run(0, min(1_000, total - self._env_step))

    def timed(self, updates: int, steps: int) -> float:
        """Seconds for `steps` steps with `updates` updates each, until all is computed."""
        begun = time.perf_counter()
        self._run(updates, steps)
        return time.perf_counter() - begun

    def enough_steps(self, updates: int, seconds: float) -> int:
        """How many steps take `seconds`."""
        steps = 1
        while (elapsed := self.timed(updates, steps)) < seconds / 4:
            steps *= 2
        return max(1, math.ceil(steps * seconds / elapsed))

    def check(self) -> None:
        """Raises if a parameter is not finite: such updates would be no work to speak of."""
        if not self._engine.finite(self._state).all():
            raise FloatingPointError("the benchmark's updates diverged")

    def _run(self, updates: int, steps: int) -> None:
        for _ in range(steps):
            transition = self._transitions[self._env_step % len(self._transitions)]
            self._env_step += 1
            clock = Clock(
                np.int32(self._env_step), np.int32(self._updates), np.int32(self._updates)
            )
            self._state = self._engine.step(self._state, transition, clock, updates)
            self._updates += updates
        jax.block_until_ready((self._state.train, self._state.replay))

"""Simulators alone: random actions, all lanes of a pool, with and without workers."""

from __future__ import annotations

import functools
import math
import time
from typing import Any

import numpy as np

from rr_scale.envs import suites
from rr_scale.envs.pool import Pool


def measure(
    task: str, lanes: int, workers: list[int], seconds: float, repeats: int
) -> dict[str, Any]:
    """Durations of pool steps, the numbers of workers taking turns.

    Args:
      task: name of the environment.
      lanes: environments.
      workers: numbers of workers to compare; 0 steps them one after another.
      seconds: least duration of a repeat.
      repeats: how many.

    Returns:
      Under `timings` per number of workers the pool steps and the seconds of
      each repeat; one pool step is `lanes` env steps.
    """
    pools = {count: _Stepper(task, lanes, count) for count in workers}
    try:
        steps = {count: pool.enough_steps(seconds) for count, pool in pools.items()}
        durations: dict[int, list[float]] = {count: [] for count in pools}
        for _ in range(repeats):
            for count, pool in pools.items():
                durations[count].append(pool.timed(steps[count]))
    finally:
        for pool in pools.values():
            pool.close()
    timings = [
        {"workers": count, "steps": steps[count], "seconds": durations[count]} for count in pools
    ]
    return {"timings": timings}


def _seed_of(lane_seed: int, episode: int) -> int:
    return (1_000_003 * lane_seed + episode) % 2**32


class _Stepper:
    """A pool and random actions for it."""

    def __init__(self, task: str, lanes: int, workers: int):
        # Nothing here is a lambda: workers may be processes.
        make_env = functools.partial(suites.make, task, 1)
        self._pool = Pool(make_env, list(range(lanes)), _seed_of, workers)
        self._pool.reset()
        shape = (1_000, lanes, self._pool.spec.action_size)
        self._actions = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)

    def timed(self, steps: int) -> float:
        """Seconds for `steps` steps of all lanes."""
        begun = time.perf_counter()
        for step in range(steps):
            self._pool.step(self._actions[step % len(self._actions)])
        return time.perf_counter() - begun

    def enough_steps(self, seconds: float) -> int:
        """How many steps take `seconds`."""
        steps = 8
        while (elapsed := self.timed(steps)) < seconds / 4:
            steps *= 2
        return max(1, math.ceil(steps * seconds / elapsed))

    def close(self) -> None:
        """Frees the simulators."""
        self._pool.close()

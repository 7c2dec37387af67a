"""Numbered simulators that are reset and stepped together, in this process.

`workers.WorkerSimulators` offers the same from processes of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from rr_scale.envs.spec import Environment, EnvSpec

MakeEnv = Callable[[], Environment]


class Simulators(Protocol):
    """Environments by number. Each is made when it is first needed."""

    spec: EnvSpec

    def reset(self, indices: Sequence[int], seeds: Sequence[int]) -> np.ndarray:
        """Starts the episodes of `seeds` [n] in n simulators.

        Returns:
          Their first observations [n, O] float32.
        """
        ...

    def step(self, indices: Sequence[int], actions: np.ndarray) -> np.ndarray:
        """Applies `actions` [n, A] float32 in n simulators.

        Returns:
          What follows [n], with the fields of `step_type`.
        """
        ...

    def close(self) -> None:
        """Frees the simulators."""
        ...


def step_type(observation_size: int) -> np.dtype:
    """The fields of `spec.Step` as the type of an array's elements.

    `success` is 1, 0, or NaN where the task does not say.
    """
    return np.dtype(
        [
            ("reward", np.float64),
            ("success", np.float64),
            ("observation", np.float32, (observation_size,)),
            ("terminated", bool),
            ("truncated", bool),
        ]
    )


class LocalSimulators:
    """Simulators of this process, stepped one after another.

    Args:
      make_env: builds an environment; called once per number.
      first: the number whose environment is made at once and asked for its
        sizes.
    """

    def __init__(self, make_env: MakeEnv, first: int = 0):
        self._make_env = make_env
        self._environments = {first: make_env()}
        self.spec = self._environments[first].spec
        self._type = step_type(self.spec.observation_size)

    def reset(self, indices: Sequence[int], seeds: Sequence[int]) -> np.ndarray:
        """See `Simulators.reset`."""
        observations = np.empty((len(indices), self.spec.observation_size), np.float32)
        for at, (index, seed) in enumerate(zip(indices, seeds, strict=True)):
            if index not in self._environments:
                self._environments[index] = self._make_env()
            observations[at] = self._environments[index].reset(seed)
        return observations

    def step(self, indices: Sequence[int], actions: np.ndarray) -> np.ndarray:
        """See `Simulators.step`."""
        steps = np.empty(len(indices), self._type)
        for at, index in enumerate(indices):
            step = self._environments[index].step(actions[at])
            success = np.nan if step.success is None else step.success
            steps[at] = (step.reward, success, step.observation, step.terminated, step.truncated)
        return steps

    def close(self) -> None:
        """See `Simulators.close`."""
        for environment in self._environments.values():
            environment.close()

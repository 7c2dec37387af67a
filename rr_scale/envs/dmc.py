"""Tasks of the dm_control suite."""

from __future__ import annotations

import functools
import logging
from types import ModuleType

import numpy as np

from rr_scale.envs.spec import ActionRescaling, EnvSpec, Step, disable_rendering


@functools.cache
def load_suite() -> ModuleType:
    """The module `dm_control.suite`, imported on first use without a renderer."""
    disable_rendering()
    from dm_control import suite

    return suite


def task_names() -> tuple[str, ...]:
    """Every task of the suite as `domain-task`.

    Underscores stay as they are (`ball_in_cup-catch`, `humanoid_CMU-run`). No
    domain and no task contains a hyphen, so the first hyphen separates them.
    """
    return tuple(f"{domain}-{task}" for domain, task in load_suite().ALL_TASKS)


class DmControl:
    """One simulator of the suite.

    The generator that the task draws from is re-seeded at every reset; it is
    the only state that outlives an episode. Time limits truncate; a task
    terminates only where it ends with discount 0.

    Args:
      name: `domain-task`, one of `task_names()`.
    """

    def __init__(self, name: str):
        from dm_control.rl.control import PhysicsError

        domain, task = name.split("-", 1)
        # RandomState is what dm_control asks for; an instance, never the global one.
        self._random = np.random.RandomState(0)  # noqa: NPY002
        self._simulator = load_suite().load(domain, task, task_kwargs={"random": self._random})
        self._physics_error = PhysicsError
        bounds = self._simulator.action_spec()
        self._rescale = ActionRescaling(
            np.broadcast_to(bounds.minimum, bounds.shape),
            np.broadcast_to(bounds.maximum, bounds.shape),
        )
        self.seconds_per_step = float(self._simulator.control_timestep())
        self._last = self.reset(0)
        self.spec = EnvSpec(name, self._last.size, int(np.prod(bounds.shape)))

    def reset(self, seed: int) -> np.ndarray:
        """Starts the episode of `seed`; its first observation [O] float32."""
        self._random.seed(seed)
        self._last = _flatten(self._simulator.reset().observation)
        return self._last

    def step(self, action: np.ndarray) -> Step:
        """Applies `action` [A].

        Where the physics diverges, dm_control raises; a run of many lanes must
        not die of it, so the episode is cut there: truncated, with reward 0 and
        the last valid observation.
        """
        try:
            timestep = self._simulator.step(self._rescale(action))
        except self._physics_error as error:
            logging.getLogger(__name__).warning("%s: episode cut: %s", self.spec.name, error)
            return Step(self._last, 0.0, False, True, None)
        self._last = _flatten(timestep.observation)
        over = timestep.last()
        terminated = over and timestep.discount == 0
        truncated = over and not terminated
        return Step(self._last, float(timestep.reward), terminated, truncated, None)

    def picture(self) -> np.ndarray:
        """What the first camera sees now [480, 640, 3] uint8; needs a renderer."""
        return self._simulator.physics.render(480, 640, camera_id=0)

    def close(self) -> None:
        """Frees the simulator."""
        self._simulator.close()


def _flatten(observation: dict[str, np.ndarray]) -> np.ndarray:
    """An ordered dict of arrays and scalars as one vector [O] float32."""
    return np.concatenate(tuple(observation.values()), axis=None, dtype=np.float32)

"""Gymnasium tasks with a flat observation and a bounded action."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from rr_scale.envs import goal_tasks
from rr_scale.envs.spec import ActionRescaling, EnvSpec, Step, disable_rendering
from rr_scale.errors import UserError


def load_gymnasium() -> ModuleType:
    """The module `gymnasium`, imported on first use without a renderer."""
    disable_rendering()
    import gymnasium

    return gymnasium


def task_names() -> tuple[str, ...]:
    """The current version of every MuJoCo task, `Ant-v5` and the like."""
    registry = load_gymnasium().registry
    return tuple(
        name
        for name, spec in registry.items()
        if name.endswith("-v5") and str(spec.entry_point).startswith("gymnasium.envs.mujoco.")
    )


def is_registered(name: str) -> bool:
    """Whether Gymnasium knows the id.

    Raises:
      UserError: it is of a package that is not installed.
    """
    registry = load_gymnasium().registry
    if name not in registry:
        goal_tasks.register(name)
    return name in registry


class Gymnasium:
    """One simulator made by `gymnasium.make`.

    Args:
      name: a registered id.
      pictures: whether `picture` will be called.

    Raises:
      UserError: it cannot be made here, its observation is neither a flat box
        nor that of a goal task whose reward is known, or its action is not a
        bounded flat box.
    """

    def __init__(self, name: str, pictures: bool = False):
        gymnasium = load_gymnasium()
        try:
            self._simulator = gymnasium.make(
                name, disable_env_checker=True, render_mode="rgb_array" if pictures else None
            )
        except ModuleNotFoundError as error:
            raise UserError(f"'{name}' needs the extra 'gym' of rr_scale: {error}") from error
        except (gymnasium.error.Error, ImportError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"Gymnasium cannot make '{name}': {reason}") from error
        goal = goal_tasks.goal_of(name, self._simulator)
        self._flat = np.asarray if goal is None else goal_tasks.flatten
        self._rescale = _rescaling(name, self._simulator, goal is not None)
        observation_size = gymnasium.spaces.flatdim(self._simulator.observation_space)
        action_size = self._simulator.action_space.shape[0]
        horizon = self._simulator.spec.max_episode_steps
        self.spec = EnvSpec(name, observation_size, action_size, goal=goal, horizon=horizon)
        self.seconds_per_step = 1 / self._simulator.metadata.get("render_fps", 30)

    def reset(self, seed: int) -> np.ndarray:
        """Starts the episode of `seed`; its first observation [O] float32."""
        observation, _ = self._simulator.reset(seed=seed)
        return np.array(self._flat(observation), np.float32)

    def step(self, action: np.ndarray) -> Step:
        """Applies `action` [A]; an end that falls on the time limit counts as terminated."""
        observation, reward, terminated, truncated, info = self._simulator.step(
            self._rescale(action)
        )
        success = info.get("is_success", info.get("success"))
        return Step(
            np.array(self._flat(observation), np.float32),
            float(reward),
            bool(terminated),
            bool(truncated and not terminated),
            None if success is None else bool(success),
        )

    def picture(self) -> np.ndarray:
        """What the simulator shows now [height, width, 3] uint8; needs a renderer."""
        return self._simulator.render()

    def close(self) -> None:
        """Frees the simulator."""
        self._simulator.close()


def _rescaling(name: str, simulator, has_goals: bool) -> ActionRescaling:
    """The action map of `simulator`, once its spaces are known to be flat boxes."""
    box = load_gymnasium().spaces.Box
    observations, actions = simulator.observation_space, simulator.action_space
    flat = isinstance(observations, box) and len(observations.shape) == 1
    if not flat and not has_goals:
        raise UserError(f"'{name}' has observations {observations}, not a flat Box")
    if not isinstance(actions, box) or len(actions.shape) != 1:
        raise UserError(f"'{name}' has actions {actions}, not a flat Box")
    if not np.issubdtype(actions.dtype, np.floating):
        raise UserError(f"'{name}' has actions {actions}, not real numbers")
    if not actions.is_bounded():
        raise UserError(f"'{name}' has actions without bounds: {actions}")
    return ActionRescaling(actions.low, actions.high)

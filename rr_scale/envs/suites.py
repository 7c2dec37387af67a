"""Which name means which environment.

* `cheetah-run`, `ball_in_cup-catch`, or `dm_control/cheetah-run-v0`: a task of
  the dm_control suite, domain and task joined by a hyphen, underscores kept.
* `Ant-v5`: any id registered with Gymnasium.
* `probe-action`: one of our analytic environments.
"""

from __future__ import annotations

import dataclasses
import re

import numpy as np

from rr_scale.envs import dmc, gym
from rr_scale.envs.probes import PROBES
from rr_scale.envs.spec import Environment, EnvSpec, Step
from rr_scale.errors import UserError, nearest

UNSUPPORTED: dict[str, str] = {
    "lqr-lqr_2_1": "it draws its dynamics once per simulator and has no time limit",
    "lqr-lqr_6_2": "it draws its dynamics once per simulator and has no time limit",
    "quadruped-escape": "its reset uploads a height field to an OpenGL context",
}
"""Tasks of dm_control that are refused, and why."""


def known_names() -> tuple[str, ...]:
    """Every supported name: probes, dm_control tasks, Gymnasium's MuJoCo tasks.

    Other Gymnasium ids may work too; whether they do shows when one is made.
    """
    tasks = tuple(name for name in dmc.task_names() if name not in UNSUPPORTED)
    return (*PROBES, *tasks, *gym.task_names())


def check_name(name: str) -> None:
    """Checks a name without building its simulator.

    Raises:
      UserError: no such environment (the message names the nearest), or it is
        one that cannot be supported (the message says why).
    """
    task = _canonical(name)
    if task in PROBES:
        return
    if task in UNSUPPORTED:
        raise UserError(f"'{name}' is not supported: {UNSUPPORTED[task]}")
    known = gym.is_registered(task) if _is_versioned(task) else task in dmc.task_names()
    if not known:
        raise UserError(f"unknown environment '{name}'{nearest(task, known_names())}")


def make(name: str, action_repeat: int = 1, pictures: bool = False) -> Environment:
    """Builds the environment of a name.

    Args:
      name: see the module's description.
      action_repeat: simulator frames per agent decision.
      pictures: whether `picture` will be called.

    Raises:
      UserError: as `check_name`, or `action_repeat` is below 1, or a
        Gymnasium task does not fit (see `gym.Gymnasium`).
    """
    if action_repeat < 1:
        raise UserError(f"action_repeat must be at least 1, not {action_repeat}")
    check_name(name)
    environment = _make_single(_canonical(name), pictures)
    return environment if action_repeat == 1 else ActionRepeat(environment, action_repeat)


def spec_of(name: str, action_repeat: int = 1) -> EnvSpec:
    """What `make` would say of its environment, which is closed again."""
    environment = make(name, action_repeat)
    spec = environment.spec
    environment.close()
    return spec


def _canonical(name: str) -> str:
    """`cheetah-run` for `dm_control/cheetah-run-v0`; other names unchanged."""
    match = re.fullmatch(r"dm_control/(.+)-v\d+", name)
    return match[1] if match else name


def _is_versioned(name: str) -> bool:
    """Whether the name is of Gymnasium's form, so that only one suite is imported."""
    return re.search(r"-v\d+$", name) is not None


def _make_single(name: str, pictures: bool) -> Environment:
    if name in PROBES:
        return PROBES[name]()
    return gym.Gymnasium(name, pictures) if _is_versioned(name) else dmc.DmControl(name)


class ActionRepeat:
    """Gives every action to a simulator several times.

    Rewards are added up; an end of the episode cuts the repetition short;
    everything else is that of the last frame.

    Args:
      environment: stepped once per frame.
      times: frames per agent decision.
    """

    def __init__(self, environment: Environment, times: int):
        self._environment = environment
        self.spec = dataclasses.replace(environment.spec, action_repeat=times)
        self.seconds_per_step = environment.seconds_per_step * times

    def reset(self, seed: int) -> np.ndarray:
        """Starts the episode of `seed`; its first observation [O] float32."""
        return self._environment.reset(seed)

    def step(self, action: np.ndarray) -> Step:
        """Applies `action` [A] for `times` frames, or until the episode ends."""
        total = 0.0
        for _ in range(self.spec.action_repeat):
            step = self._environment.step(action)
            total += step.reward
            if step.terminated or step.truncated:
                break
        return step._replace(reward=total)

    def picture(self) -> np.ndarray:
        """What there is to see now [height, width, 3] uint8."""
        return self._environment.picture()

    def close(self) -> None:
        """Frees the simulator."""
        self._environment.close()

"""Goal tasks of gymnasium-robotics: their names, their rewards, their observations."""

from __future__ import annotations

import importlib
import re

import numpy as np

from rr_scale.errors import UserError
from rr_scale.types import GoalSpec

_FAMILIES = re.compile(r"(Fetch|Hand|AdroitHand|PointMaze|AntMaze|FrankaKitchen)\w*-v\d+")
# Their reward is 0 within `distance_threshold` and -1 beyond it, or minus the distance.
_BY_DISTANCE = re.compile(
    r"(FetchReach|FetchPush|FetchSlide|FetchPickAndPlace|HandReach)(Dense)?-v"
)
_PARTS = ("observation", "achieved_goal", "desired_goal")


def register(name: str) -> None:
    """Has gymnasium-robotics register its tasks, if the name is like one of theirs.

    Raises:
      UserError: the package is not installed.
    """
    if not _FAMILIES.fullmatch(name):
        return
    try:
        importlib.import_module("gymnasium_robotics")
    except ImportError as error:
        raise UserError(f"'{name}' needs the extra 'robotics' of rr_scale: {error}") from error


def goal_of(name: str, simulator) -> GoalSpec | None:
    """Where the goals of a Gymnasium task are and what they are worth; None if it has none.

    Raises:
      UserError: it has goals, and none of `core.goals.GOAL_REWARDS` is its reward.
    """
    spaces = getattr(simulator.observation_space, "spaces", None)
    if not isinstance(spaces, dict) or set(spaces) != set(_PARTS):
        return None
    found = _BY_DISTANCE.match(name)
    if not found:
        raise UserError(
            f"'{name}' is about goals, but no reward of core/goals.py is known to be its own"
        )
    size = int(np.prod(spaces["desired_goal"].shape))
    reward = "dense" if found[2] else "sparse"
    return GoalSpec(size, reward, float(simulator.unwrapped.distance_threshold))


def flatten(observation: dict[str, np.ndarray]) -> np.ndarray:
    """The parts of a goal task's observation as one vector [O] float32, the goals last."""
    return np.concatenate([observation[part] for part in _PARTS], dtype=np.float32)

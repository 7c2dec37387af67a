"""What every environment offers, whatever simulator is behind it."""

from __future__ import annotations

import dataclasses
import os
from typing import NamedTuple, Protocol

import numpy as np

from rr_scale.types import GoalSpec


@dataclasses.dataclass(frozen=True)
class EnvSpec:
    """The name and the sizes of an environment.

    `action_repeat` is the number of simulator frames per agent decision. A
    task about goals says where they are, and after how many decisions an
    episode is over at the latest.
    """

    name: str
    observation_size: int
    action_size: int
    action_repeat: int = 1
    goal: GoalSpec | None = None
    horizon: int | None = None


class Step(NamedTuple):
    """What follows an action.

    `observation` is the true successor, also at the end of an episode.
    `terminated` means that the task ended, `truncated` that it was cut; at
    most one of them is true. `success` is None where the task does not say.
    """

    observation: np.ndarray  # [O] float32
    reward: float
    terminated: bool
    truncated: bool
    success: bool | None


class Environment(Protocol):
    """One simulator. An episode is a pure function of its seed and its actions.

    `seconds_per_step` is the time in the simulated world between two decisions.

    After an end (terminated or truncated) only `reset` and `close` may follow.
    An observation that was handed out never changes afterwards.
    """

    spec: EnvSpec
    seconds_per_step: float

    def reset(self, seed: int) -> np.ndarray:
        """Starts the episode of `seed`, in [0, 2**32); its first observation [O] float32."""
        ...

    def step(self, action: np.ndarray) -> Step:
        """Applies `action` [A], in [-1, 1], for one agent decision."""
        ...

    def picture(self) -> np.ndarray:
        """What there is to see now [height, width, 3] uint8.

        Raises:
          UserError: nothing.
        """
        ...

    def close(self) -> None:
        """Frees the simulator."""
        ...


class ActionRescaling:
    """The affine map from [-1, 1] to the bounds of a simulator.

    Args:
      low, high: the bounds [A]; actions come out in their dtype.
    """

    def __init__(self, low: np.ndarray, high: np.ndarray):
        self._centre = (low + high) / 2
        self._half_range = (high - low) / 2
        self._identity = bool(np.all(low == -1) and np.all(high == 1))

    def __call__(self, action: np.ndarray) -> np.ndarray:
        """`action` [A] clipped to [-1, 1], then rescaled [A]."""
        # fmax, not maximum: NaN becomes a bound here, so that a lane whose
        # policy turned non-finite cannot bring down its simulator.
        clipped = np.fmin(np.fmax(action, -1.0), 1.0)
        if not self._identity:
            clipped = self._centre + self._half_range * clipped
        return clipped.astype(self._centre.dtype, copy=False)


def disable_rendering() -> None:
    """Keeps simulators from looking for a display; call before importing one.

    Nothing here draws, and machines for training often have no working GL. A
    choice that the user made in MUJOCO_GL is respected.
    """
    os.environ.setdefault("MUJOCO_GL", "disabled")

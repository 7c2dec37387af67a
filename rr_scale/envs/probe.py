"""What the probes have in common."""

from __future__ import annotations

import numpy as np

from rr_scale.envs.spec import EnvSpec, Step
from rr_scale.errors import UserError
from rr_scale.types import GoalSpec


class Probe:
    """What the probes share: counting steps, and ending after `horizon` of them.

    A subclass says what is observed and rewarded, and the exact value of an
    action under every policy that is optimal from the next step on.
    """

    name = "probe"
    observation_size = 1
    action_size = 1
    horizon = 1
    terminates = True  # else the end is a truncation
    seconds_per_step = 1.0
    goal: GoalSpec | None = None

    def __init__(self) -> None:
        sizes = (self.observation_size, self.action_size)
        self.spec = EnvSpec(self.name, *sizes, goal=self.goal, horizon=self.horizon)

    def reset(self, seed: int) -> np.ndarray:
        """Starts the episode of `seed`; its first observation [O] float32."""
        self.elapsed = 0
        self.begin(seed)
        return np.array(self.observe(), np.float32)

    def step(self, action: np.ndarray) -> Step:
        """Applies `action` [A], clipped to [-1, 1]."""
        action = np.fmin(np.fmax(np.asarray(action, np.float64), -1.0), 1.0)
        reward, success = self.reward(action), self.success(action)
        self.elapsed += 1
        over = self.elapsed >= self.horizon
        observation = np.array(self.observe(), np.float32)
        return Step(
            observation, reward, over and self.terminates, over and not self.terminates, success
        )

    def picture(self) -> np.ndarray:
        """Raises `UserError`: a probe has no looks."""
        raise UserError(f"there is nothing to see in '{self.spec.name}'")

    def close(self) -> None:
        """Frees nothing."""

    def begin(self, seed: int) -> None:
        """Draws what the episode of `seed` depends on."""

    def observe(self) -> list[float]:
        """The current observation [O]."""
        return [0.0]

    def reward(self, action: np.ndarray) -> float:
        """Reward of `action` [A] in the current state."""
        return 1.0

    def success(self, action: np.ndarray) -> bool | None:
        """Whether `action` [A] solves the task, None if there is no such notion."""
        return None

    @staticmethod
    def analytic_q(discount: float, observation: np.ndarray, action: np.ndarray) -> float:
        """The exact action value."""
        raise NotImplementedError

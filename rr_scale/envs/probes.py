"""Tiny environments whose exact action values are known.

An agent that cannot solve one of these has a defect, and which one it fails
says where: value loss, observation input, action input, discounting,
truncation, termination, or a policy that depends on the observation.
"""

from __future__ import annotations

import numpy as np

from rr_scale.envs.hard_probes import BitFlip, Chain, Rare
from rr_scale.envs.probe import Probe


class Constant(Probe):
    """One step with reward 1, terminated: Q = 1. Fails if the critic cannot fit a number."""

    name = "probe-constant"

    @staticmethod
    def analytic_q(discount: float, observation: np.ndarray, action: np.ndarray) -> float:
        """Q = 1."""
        return 1.0


class Observation(Probe):
    """One step, the reward is the observation, +1 or -1: Q = o. Fails if o is not seen."""

    name = "probe-observation"

    def begin(self, seed: int) -> None:
        self.sign = 1.0 if np.random.default_rng(seed).random() < 0.5 else -1.0

    def observe(self) -> list[float]:
        return [self.sign]

    def reward(self, action: np.ndarray) -> float:
        return self.sign

    @staticmethod
    def analytic_q(discount: float, observation: np.ndarray, action: np.ndarray) -> float:
        """Q = o."""
        return float(observation[0])


class Action(Probe):
    """One step with reward -(a - 0.3)^2: Q = -(a - 0.3)^2. Fails if the actor does not ascend."""

    name = "probe-action"

    def reward(self, action: np.ndarray) -> float:
        return float(-((action[0] - 0.3) ** 2))

    @staticmethod
    def analytic_q(discount: float, observation: np.ndarray, action: np.ndarray) -> float:
        """Q = -(a - 0.3)^2."""
        return float(-((action[0] - 0.3) ** 2))


class Target(Probe):
    """One step with reward -|a - o|^2, o uniform in [-0.5, 0.5]^2: Q = -|a - o|^2.

    Success means that no coordinate is off by more than 0.1. Fails if the
    policy does not depend on the observation, or mixes up coordinates.
    """

    name = "probe-target"
    observation_size = 2
    action_size = 2

    def begin(self, seed: int) -> None:
        # As float32, what is observed is exactly what is rewarded.
        self.target = np.random.default_rng(seed).uniform(-0.5, 0.5, 2).astype(np.float32)

    def observe(self) -> list[float]:
        return list(self.target)

    def reward(self, action: np.ndarray) -> float:
        return float(-np.sum((action - self.target) ** 2))

    def success(self, action: np.ndarray) -> bool | None:
        return bool(np.all(np.abs(action - self.target) <= 0.1))

    @staticmethod
    def analytic_q(discount: float, observation: np.ndarray, action: np.ndarray) -> float:
        """Q = -|a - o|^2."""
        return float(-np.sum((np.asarray(action, np.float64) - observation) ** 2))


class Delay(Probe):
    """Two steps, reward 0 then 1, o counts them: Q = gamma, then 1. Fails without bootstrapping."""

    name = "probe-delay"
    horizon = 2

    def observe(self) -> list[float]:
        return [float(self.elapsed)]

    def reward(self, action: np.ndarray) -> float:
        return float(self.elapsed)

    @staticmethod
    def analytic_q(discount: float, observation: np.ndarray, action: np.ndarray) -> float:
        """Q = gamma^(1 - o)."""
        return float(discount ** (1 - round(float(observation[0]))))


class Truncation(Probe):
    """Reward 1 for ever, cut every 10 steps: Q = 1 / (1 - gamma), gamma < 1.

    The observation is constant. Whoever takes the cut for an end finds less.
    """

    name = "probe-truncation"
    horizon = 10
    terminates = False

    @staticmethod
    def analytic_q(discount: float, observation: np.ndarray, action: np.ndarray) -> float:
        """Q = 1 / (1 - gamma)."""
        return 1.0 / (1.0 - discount)


class Termination(Probe):
    """Reward 1 in each of 5 steps, then terminated: Q = (1 - gamma^k) / (1 - gamma).

    The observation is k / 5 for k steps that remain. Whoever takes the end for
    a cut finds more.
    """

    name = "probe-termination"
    horizon = 5

    def observe(self) -> list[float]:
        return [(self.horizon - self.elapsed) / self.horizon]

    @staticmethod
    def analytic_q(discount: float, observation: np.ndarray, action: np.ndarray) -> float:
        """Q = 1 + gamma + ... + gamma^(k - 1)."""
        remaining = round(float(observation[0]) * Termination.horizon)
        return float(sum(discount**step for step in range(remaining)))


class NotANumber(Probe):
    """Reward 1 for ever, cut every 100 steps; in poisoned episodes NaN after 60 steps.

    An episode is poisoned if its seed is even, so lanes turn non-finite at
    different times: half of them in their first episode, at env step 61, and
    half of the others in each later episode. The observation is 1 in a
    poisoned episode and 0 in a sound one, where Q = 1 / (1 - gamma).
    """

    name = "probe-nan"
    horizon = 100
    terminates = False

    def begin(self, seed: int) -> None:
        self.poisoned = seed % 2 == 0

    def observe(self) -> list[float]:
        return [float(self.poisoned)]

    def reward(self, action: np.ndarray) -> float:
        return float("nan") if self.poisoned and self.elapsed >= 60 else 1.0

    @staticmethod
    def analytic_q(discount: float, observation: np.ndarray, action: np.ndarray) -> float:
        """Q = 1 / (1 - gamma) in sound episodes, NaN in poisoned ones."""
        return float("nan") if observation[0] else 1.0 / (1.0 - discount)


PROBES: dict[str, type[Probe]] = {
    probe.name: probe
    for probe in (
        Constant,
        Observation,
        Action,
        Target,
        Delay,
        Truncation,
        Termination,
        NotANumber,
        Chain,
        Rare,
        BitFlip,
    )
}


def analytic_q(name: str, discount: float, observation: np.ndarray, action: np.ndarray) -> float:
    """The exact value of `action` [A] at `observation` [O] in the probe `name`.

    Args:
      name: a key of `PROBES`.
      discount: gamma; below 1 for the probes that never terminate.
      observation, action: as the probe hands out and takes them.
    """
    return PROBES[name].analytic_q(discount, observation, action)

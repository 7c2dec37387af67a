"""Probes that chance does not solve: what helps there is how transitions are drawn."""

from __future__ import annotations

import numpy as np

from rr_scale.envs.probe import Probe
from rr_scale.envs.spec import Step
from rr_scale.types import GoalSpec

_CHAIN, _BITS, _RARITY = 12, 8, 256


class Chain(Probe):
    """A path of 12 steps that the first wrong one ends; reward 1 at its far end, else 0.

    Each place asks for a positive or a negative action. A random policy comes
    through once in 4096 episodes, so that hardly any stored transition says
    anything (the blind cliffwalk of Schaul et al. 2016, with signs for moves).
    The place is observed as one of 12 bits. Q of a right action is
    gamma^(steps left after it), of a wrong one 0.
    """

    name = "probe-chain"
    observation_size = _CHAIN
    horizon = _CHAIN
    signs = np.array([1, -1, -1, 1, -1, 1, 1, 1, -1, 1, -1, -1])

    def observe(self) -> list[float]:
        return [float(place == self.elapsed) for place in range(self.horizon)]

    def step(self, action: np.ndarray) -> Step:
        right = float(action[0]) * self.signs[self.elapsed] > 0
        step = super().step(action)
        through = right and step.terminated
        return step._replace(
            reward=float(through), terminated=step.terminated or not right, success=through
        )

    @staticmethod
    def analytic_q(discount: float, observation: np.ndarray, action: np.ndarray) -> float:
        """Q = gamma^(steps left) if the sign is right, else 0."""
        place = int(np.argmax(observation))
        right = float(action[0]) * Chain.signs[place] > 0
        return float(discount ** (_CHAIN - 1 - place)) if right else 0.0


class BitFlip(Probe):
    """8 bits to be made equal to 8 others, in 8 steps: reward 0 while they are, else -1; cut.

    Every bit whose action is above 0 is flipped. A random action arrives once
    in 256 times, so that without hindsight there is next to nothing to learn from
    (Andrychowicz et al. 2017, section 3.1, where an action flips one bit).
    Bits are -1 and +1. Q is 0 for the action that arrives (or stays there),
    and -1 for any other.
    """

    name = "probe-bit-flip"
    observation_size = 2 * _BITS
    action_size = _BITS
    horizon = _BITS
    terminates = False
    goal = GoalSpec(_BITS, "sparse", 0.5)

    def begin(self, seed: int) -> None:
        self.bits, self.wanted = np.random.default_rng(seed).choice([-1.0, 1.0], (2, _BITS))

    def observe(self) -> list[float]:
        return [*self.bits, *self.wanted]

    def reward(self, action: np.ndarray) -> float:
        self.bits = np.where(action > 0, -self.bits, self.bits)
        return self.compute_reward(self.bits, self.wanted)

    def success(self, action: np.ndarray) -> bool | None:
        return self.compute_reward(self.bits, self.wanted) == 0.0

    @staticmethod
    def compute_reward(achieved: np.ndarray, desired: np.ndarray) -> float:
        """0 if all bits [8] are equal, else -1."""
        return 0.0 if np.array_equal(achieved, desired) else -1.0

    @staticmethod
    def analytic_q(discount: float, observation: np.ndarray, action: np.ndarray) -> float:
        """Q = 0 if the action makes the bits equal, else -1."""
        bits, wanted = np.split(np.asarray(observation), 2)
        return BitFlip.compute_reward(np.where(np.asarray(action) > 0, -bits, bits), wanted)


class Rare(Probe):
    """One step with reward o, which is 1 in one episode of 256 and else 0, terminated: Q = o.

    An update with uniform draws meets a rewarded row once in 256 rows. Drawn by their
    error those rows come again and again until they are known, so that prioritised replay
    (Schaul et al. 2016) must find Q(1) = 1 in fewer updates.
    """

    name = "probe-rare"

    def begin(self, seed: int) -> None:
        self.rare = float(np.random.default_rng(seed).integers(_RARITY) == 0)

    def observe(self) -> list[float]:
        return [self.rare]

    def reward(self, action: np.ndarray) -> float:
        return self.rare

    @staticmethod
    def analytic_q(discount: float, observation: np.ndarray, action: np.ndarray) -> float:
        """Q = o."""
        return float(observation[0])

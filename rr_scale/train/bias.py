"""How far the critics are off on evaluation episodes: Q against what followed.

Chen et al., "Randomized ensembled double Q-learning", ICLR 2021, section 3.1:
mean and standard deviation of Q(s, a) - G(s, a) over the states of episodes,
with G the discounted return that follows. For critics that count entropy, so
does G: G_t = r_t + gamma (alpha H_{t+1} + G_{t+1}), H being the entropy of the
policy. Deviations: episodes are those of the evaluation, whose actions are the
policy's modes and not samples; the bias is not divided by the mean of G.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Appraise = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Observations [S, E, O], actions [S, E, A] -> expected returns and entropy bonuses [S, E]."""

TAIL = 0.01
"""What a reward beyond a time limit may at most weigh in a return that is compared."""


class Moment(NamedTuple):
    """One step of an episode."""

    value: float  # Q(s, a)
    bonus: float  # alpha H(s)
    reward: float


class Bias:
    """Watches the episodes of one evaluation.

    Args:
      appraise: the critics.
      discounts: of each lane [S].
    """

    def __init__(self, appraise: Appraise, discounts: Sequence[float]):
        self._appraise = appraise
        self._discounts = discounts
        self._moments: dict[tuple[int, int], list[Moment]] = defaultdict(list)
        self._terminated: set[tuple[int, int]] = set()

    def step(
        self,
        observation: np.ndarray,
        action: np.ndarray,
        places: Sequence[tuple[int, int]],
        steps: np.ndarray,
    ) -> None:
        """Notes one step of some episodes.

        Args:
          observation: of all places [S, E, O], before the step.
          action: of all places [S, E, A].
          places: lane and episode of those that were stepped.
          steps: what followed for them, with fields of `simulators.step_type`.
        """
        value, bonus = self._appraise(observation, action)
        for place, reward, terminated in zip(
            places, steps["reward"], steps["terminated"], strict=True
        ):
            moment = Moment(float(value[place]), float(bonus[place]), float(reward))
            self._moments[place].append(moment)
            if terminated:
                self._terminated.add(place)

    def row(self, lane: int) -> dict[str, float]:
        """Metrics of a lane; none if no state of its episodes can be compared."""
        values: list[float] = []
        returns: list[float] = []
        # In an order of their own: that of their ends depends on the simulators.
        for place in sorted(self._moments):
            if place[0] == lane:
                moments = self._moments[place]
                found = discounted_returns(moments, self._discounts[lane])
                count = len(found)
                if place not in self._terminated:
                    count = comparable(len(found), self._discounts[lane])
                returns += found[:count]
                values += [moment.value for moment in moments[:count]]
        if not values:
            return {}
        error = np.array(values) - np.array(returns)
        return {
            "q_bias": float(error.mean()),
            "q_bias_std": float(error.std()),
            "mc_return": float(np.mean(returns)),
        }


def discounted_returns(moments: Sequence[Moment], discount: float) -> list[float]:
    """G of every step of an episode, entropy bonuses of the states that follow included."""
    found, following = [], 0.0
    for moment in reversed(moments):
        following = moment.reward + discount * following
        found.append(following)
        following += moment.bonus
    return found[::-1]


def comparable(length: int, discount: float) -> int:
    """How many steps of a cut episode have returns in which what was cut hardly counts.

    Rewards beyond a time limit exist, and critics count them, but nobody saw
    them: only steps are compared whose return would give them a weight of
    discount^(steps that remain) <= `TAIL`.
    """
    remaining = length - np.arange(length)
    return int(np.sum(discount**remaining <= TAIL))

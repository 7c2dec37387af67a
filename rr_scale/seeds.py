"""Which simulator seed an episode has. Without jax, unlike `rng`."""

from __future__ import annotations

import enum

import numpy as np


class Role(enum.IntEnum):
    """Host-side uses of randomness: which family of episodes a simulator seed belongs to."""

    TRAIN = 0
    EVALUATE = 1
    TEST = 2


def episode_seed(lane_seed: int, role: Role, *counters: int) -> int:
    """The simulator seed of one episode, in [0, 2**32).

    Args:
      lane_seed: seed of the lane.
      role: training, evaluation within training, or a test of a saved policy.
      *counters: (env index, episode index) in training; (env step of the
        evaluation, episode index) in evaluation; (episode index) in a test.
        Always the same number of them per role.
    """
    sequence = np.random.SeedSequence([lane_seed, int(role), *counters])
    return int(sequence.generate_state(1, np.uint32)[0])

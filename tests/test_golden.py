"""Named numbers of a short training on synthetic data, as they were when last reviewed.

They change when the algorithm, its defaults or its order of random draws does,
and only then: rounding stays far below the tolerance.
"""

from __future__ import annotations

import functools

import jax
import numpy as np
import pytest

from helpers import (
    ACTION_SIZE,
    OBSERVATION_SIZE,
    act,
    clock,
    engine_of,
    fill,
    host,
    select,
    tiny,
    train,
)
from rr_scale.types import Transition

STEPS, WARM_UP = 24, 20

GOLDEN = {
    "sac": {
        "train/actor_loss": 5.30635,
        "train/critic_loss": 46.7713,
        "train/entropy": -5.2472,
        "train/q_mean": 0.0564047,
        "train/target_q_mean": -3.96186,
        "train/td_error": 4.27958,
        "train/temperature": 1.00282,
        "train/temperature_loss": -4.259,
        "actor moved": 0.0576611,
        "critic moved": 0.0606163,
        "target moved": 0.00322154,
        "best action": -0.115736,
        "explored action": -0.166356,
    },
    "td3": {
        "train/actor_loss": -0.0378263,
        "train/critic_loss": 1.26238,
        "train/q_mean": 0.0752087,
        "train/target_q_mean": 0.203239,
        "train/td_error": 0.737998,
        "actor moved": 0.0230473,
        "critic moved": 0.0431208,
        "target moved": 0.00107702,
        "best action": -0.140158,
        "explored action": 0.0146898,
    },
    "ddpg": {
        "train/actor_loss": -0.0461134,
        "train/critic_loss": 0.616362,
        "train/q_mean": 0.099801,
        "train/target_q_mean": 0.237029,
        "train/td_error": 0.721763,
        "actor moved": 0.0435691,
        "critic moved": 0.030902,
        "target moved": 0.0016018,
        "best action": -0.143217,
        "explored action": 0.465025,
    },
}


def wave(*shape, speed):
    """Numbers that look random and need no generator."""
    return np.sin(speed * np.arange(1, np.prod(shape) + 1) ** 1.5).reshape(shape).astype(np.float32)


def rows():
    step = np.arange(STEPS)[:, None]
    return Transition(
        observation=wave(STEPS, 1, OBSERVATION_SIZE, speed=1.1),
        action=wave(STEPS, 1, ACTION_SIZE, speed=1.7),
        reward=wave(STEPS, 1, speed=2.3),
        terminated=step % 9 == 4,
        truncated=step % 9 == 8,
        next_observation=wave(STEPS, 1, OBSERVATION_SIZE, speed=3.1),
    )


def distance(before, after):
    """How far parameters moved, in the Euclidean norm."""
    squares = jax.tree.map(lambda a, b: np.sum((a.astype(float) - b) ** 2), before, after)
    return float(np.sqrt(sum(jax.tree.leaves(squares))))


@functools.cache
def statistics(name):
    """What twenty updates came to."""
    engine = engine_of(tiny(name))
    state = engine.init([0])
    before = host(state.train)
    state = fill(engine, state, select(rows(), slice(WARM_UP)))
    state = train(engine, state, select(rows(), slice(WARM_UP, None)), 5)
    means, state = engine.read_metrics(state)
    after = host(state.train)
    observation = np.array([[0.5, -1.0, 2.0]], np.float32)
    explored, state = act(engine, state, observation, clock(24, 20, 20), "explore")
    found = {metric: float(values[0]) for metric, values in means.items()}
    found["actor moved"] = distance(before.actor.params, after.actor.params)
    found["critic moved"] = distance(before.critic.params, after.critic.params)
    found["target moved"] = distance(before.critic.target, after.critic.target)
    found["best action"] = float(
        engine.evaluate(engine.policy(state), observation[:, None])[0, 0, 0]
    )
    found["explored action"] = float(explored[0, 0])
    return found


@pytest.mark.parametrize("name", ["sac", "td3", "ddpg"])
def test_twenty_updates_come_to_the_reviewed_numbers(name):
    found = statistics(name)
    assert set(found) == set(GOLDEN[name])
    for statistic, value in GOLDEN[name].items():
        assert found[statistic] == pytest.approx(value, rel=1e-3), statistic

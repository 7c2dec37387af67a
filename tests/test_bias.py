"""Q against the returns of episodes: made-up critics, then whole evaluations."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from rr_scale.envs import suites
from rr_scale.train.bias import Bias, comparable
from rr_scale.train.evaluate import Evaluator

DISCOUNT = 0.5


def told(episodes: dict[tuple[int, int], dict[str, Any]], shape: tuple[int, int]) -> Bias:
    """A watcher that saw episodes of one length, side by side."""
    moment = {}

    def appraise(observation: np.ndarray, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, bonus = np.full((2, *shape), np.nan)
        for place, episode in episodes.items():
            value[place], bonus[place] = (episode[n][moment["t"]] for n in ("value", "bonus"))
        return value, bonus

    bias = Bias(appraise, [DISCOUNT] * shape[0])
    length = len(next(iter(episodes.values()))["reward"])
    for t in range(length):
        moment["t"] = t
        steps = np.zeros(len(episodes), [("reward", float), ("terminated", bool)])
        for row, episode in zip(steps, episodes.values(), strict=True):
            row["reward"] = episode["reward"][t]
            row["terminated"] = episode["terminated"] and t == length - 1
        bias.step(np.zeros((*shape, 1)), np.zeros((*shape, 1)), list(episodes), steps)
    return bias


def brute(episode: dict[str, Any], start: int) -> float:
    """The soft return from a step on, as a sum."""
    found = 0.0
    for t in range(start, len(episode["reward"])):
        soft = episode["bonus"][t] if t > start else 0.0
        found += DISCOUNT ** (t - start) * (episode["reward"][t] + soft)
    return found


def made_up(seed: int, terminated: bool, length: int = 10) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    value, bonus, reward = rng.normal(size=(3, length))
    return {"value": value, "bonus": bonus, "reward": reward, "terminated": terminated}


def test_the_bias_is_over_all_steps_whose_return_was_seen():
    # 0.5^7 is the first power below 1 %: of 10 steps 7 or more remain at 4.
    cut, ended = made_up(0, terminated=False), made_up(1, terminated=True)
    row = told({(0, 0): cut, (0, 1): ended, (1, 0): ended}, (2, 2)).row(0)
    returns = [brute(cut, t) for t in range(4)] + [brute(ended, t) for t in range(10)]
    errors = np.concatenate([cut["value"][:4], ended["value"]]) - returns
    assert row == {
        "q_bias": pytest.approx(np.mean(errors)),
        "q_bias_std": pytest.approx(np.std(errors)),
        "mc_return": pytest.approx(np.mean(returns)),
    }


def test_an_episode_that_was_cut_early_says_nothing():
    assert told({(0, 0): made_up(0, terminated=False, length=6)}, (1, 1)).row(0) == {}


@pytest.mark.parametrize(
    ("length", "discount", "expected"), [(1000, 0.99, 542), (1000, 0.999, 0), (7, 0.0, 7)]
)
def test_how_many_steps_of_a_cut_episode_can_be_compared(length, discount, expected):
    assert comparable(length, discount) == expected


def test_every_lane_has_its_own_discount():
    episode = made_up(2, terminated=True, length=2)
    bias = told({(0, 0): episode, (1, 0): episode}, (2, 1))
    bias._discounts = [DISCOUNT, 0.0]
    assert bias.row(0)["mc_return"] != bias.row(1)["mc_return"]
    assert bias.row(1)["mc_return"] == pytest.approx(np.mean(episode["reward"]))


@pytest.mark.parametrize("max_envs", [1, 3, 6])
def test_an_evaluation_of_exact_critics_has_no_bias_whatever_the_simulators(max_envs):
    # Five steps of reward 1, then the end; the observation says how many remain.
    def appraise(observation: np.ndarray, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        remaining = np.round(5 * observation[..., 0])
        value = (1 - 0.9**remaining) / 0.1
        return value + np.array([[0.0], [0.25]]), np.zeros_like(value)

    make_env = partial(suites.make, "probe-termination")
    evaluator = Evaluator(make_env, [0, 1], episodes=3, max_envs=max_envs)
    bias = Bias(appraise, [0.9, 0.9])
    act = lambda observation: np.zeros((2, 3, 1), np.float32)  # noqa: E731
    rows = evaluator.run(act, 0, [False, False], bias)
    evaluator.close()
    expected = np.mean([(1 - 0.9**k) / 0.1 for k in range(1, 6)])
    for row, shift in zip(rows, (0.0, 0.25), strict=True):
        assert row["q_bias"] == pytest.approx(shift, abs=1e-6)
        assert row["q_bias_std"] == pytest.approx(0.0, abs=1e-6)
        assert row["mc_return"] == pytest.approx(expected)
        assert row["avg_return"] == 5.0

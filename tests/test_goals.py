"""Goal tasks: rewards of ours against those of the environments, layout, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import gymnasium
import gymnasium_robotics  # noqa: F401 - registers its tasks
import jax
import numpy as np
import pytest

from rr_scale import run
from rr_scale.config import ResetRule
from rr_scale.core.goals import goal_reward, reached
from rr_scale.envs import goal_tasks, suites
from rr_scale.envs.hard_probes import BitFlip, Chain
from rr_scale.errors import UserError
from rr_scale.train import episodes
from small_runs import tiny

PAIRS = 10_000
TASKS = ("FetchReach-v4", "FetchReachDense-v4", "HandReach-v3")


@pytest.mark.parametrize("name", TASKS)
def test_rewards_are_those_of_the_environment(name):
    simulator = gymnasium.make(name, disable_env_checker=True)
    goal = goal_tasks.goal_of(name, simulator)
    rng = np.random.default_rng(0)
    # About half of them within the threshold.
    desired = rng.uniform(-1, 1, (PAIRS, goal.size)).astype(np.float32)
    away = rng.normal(size=(PAIRS, goal.size))
    away *= rng.uniform(0, 2, (PAIRS, 1)) * goal.threshold / np.linalg.norm(away, axis=1)[:, None]
    achieved = (desired + away).astype(np.float32)
    theirs = simulator.unwrapped.compute_reward(achieved, desired, {})
    ours = jax.jit(lambda a, d: goal_reward(goal, a, d))(achieved, desired)
    if goal.reward == "sparse":
        np.testing.assert_array_equal(ours, theirs)
        assert 0.3 < -np.mean(theirs) < 0.7
        np.testing.assert_array_equal(reached(goal, achieved, desired), theirs == 0)
    else:
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_bit_flip_has_the_reward_that_hindsight_computes():
    rng, goal = np.random.default_rng(0), BitFlip.goal
    achieved = rng.choice([-1.0, 1.0], (PAIRS, goal.size)).astype(np.float32)
    # None, one or a few bits differ.
    flips = rng.uniform(size=(PAIRS, goal.size)) < rng.uniform(0, 0.2, (PAIRS, 1))
    desired = np.where(flips, -achieved, achieved)
    theirs = [BitFlip.compute_reward(*pair) for pair in zip(achieved, desired, strict=True)]
    np.testing.assert_array_equal(goal_reward(goal, achieved, desired), theirs)
    assert 0.2 < -np.mean(theirs) < 0.8


def test_an_observation_is_the_rest_then_what_is_achieved_then_what_is_desired():
    environment, other = suites.make("FetchReach-v4"), gymnasium.make("FetchReach-v4")
    spec = environment.spec
    assert (spec.observation_size, spec.action_size, spec.horizon) == (16, 4, 50)
    assert spec.goal == (3, "sparse", 0.05)
    seen, parts = environment.reset(5), other.reset(seed=5)[0]
    action = np.float32([0.5, -0.2, 0.1, 0.0])
    for _ in range(3):
        assert seen.dtype == np.float32
        np.testing.assert_array_equal(seen[:10], parts["observation"].astype(np.float32))
        np.testing.assert_array_equal(seen[10:13], parts["achieved_goal"].astype(np.float32))
        np.testing.assert_array_equal(seen[13:], parts["desired_goal"].astype(np.float32))
        step, parts = environment.step(action), other.step(action)[0]
        seen = step.observation
        assert step.success is not None and step.reward == float(step.success) - 1.0


@pytest.mark.parametrize("flips", [0, 1, 5])
def test_a_bit_is_flipped_where_the_action_is_positive(flips):
    environment = suites.make("probe-bit-flip")
    first = environment.reset(3)
    bits, wanted = np.split(first, 2)
    right = np.where(bits != wanted, 1.0, -1.0)
    wrong = right * np.where(np.arange(bits.size) < flips, -1, 1)
    step = environment.step(wrong)
    assert (step.reward, step.success) == ((0.0, True) if flips == 0 else (-1.0, False))
    assert (step.observation[: bits.size] != wanted).sum() == flips
    np.testing.assert_array_equal(step.observation[bits.size :], wanted)
    assert BitFlip.analytic_q(0.9, first, wrong) == step.reward
    for _ in range(BitFlip.horizon - 1):
        assert not step.truncated
        step = environment.step(-np.ones(bits.size))
    assert step.truncated and not step.terminated


def test_the_chain_ends_with_the_first_wrong_step():
    environment = suites.make("probe-chain")
    for right in (0, 3, Chain.horizon):
        observation = environment.reset(0)
        for place in range(Chain.horizon):
            sign = Chain.signs[place] * (1 if place < right else -1)
            q = Chain.analytic_q(0.9, observation, np.array([sign]))
            assert q == (0.9 ** (Chain.horizon - 1 - place) if place < right else 0.0)
            step = environment.step(np.float32([sign]))
            observation = step.observation
            if place == min(right, Chain.horizon - 1):
                break
            assert not step.terminated and step.reward == 0.0
        assert step.terminated and step.reward == float(right == Chain.horizon) == step.success


def test_a_goal_task_of_which_no_reward_is_known_is_refused():
    with pytest.raises(UserError, match="PointMaze_UMaze-v3' is about goals, but no reward"):
        suites.make("PointMaze_UMaze-v3")


def test_without_the_package_its_extra_is_named(monkeypatch):
    monkeypatch.delitem(gymnasium.registry, "FetchReach-v4")
    monkeypatch.setitem(sys.modules, "gymnasium_robotics", None)
    with pytest.raises(UserError, match="'FetchReach-v4' needs the extra 'robotics'"):
        suites.check_name("FetchReach-v4")


EARLY = ResetRule(unit="env_steps", at=(7, 50), how="recycle")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"env_name": "probe-target"}, "replay.hindsight=future needs a task with goals.*env_name"),
        ({"action_repeat": 2}, "replay.hindsight=future needs action_repeat=1"),
        ({"start_training": 16, "env_name": "FetchReach-v4"}, "start_training of at least 50"),
        ({"replay.capacity": 30}, "replay.capacity and max_steps of at least 32"),
        ({"resets": (EARLY,)}, "how=recycle to fire from env step 8 on .* got 7"),
    ],
)
def test_hindsight_where_it_cannot_work_is_refused(settings, message, tmp_path: Path):
    given = {"env_name": "probe-bit-flip", "replay.hindsight": "future"} | settings
    with pytest.raises(UserError, match=message):
        run(tiny("sac", tmp_path / "run", **given))
    assert not (tmp_path / "run").exists()


def test_a_ring_that_may_hold_nothing_but_validation_is_refused(tmp_path: Path):
    settings = {"env_name": "probe-bit-flip", "replay.validation_share": 0.3, "start_training": 16}
    small = tiny("sac", tmp_path / "run", **settings, **{"replay.capacity": 16 - 1})
    with pytest.raises(UserError, match="validation_share=0.3 needs replay.capacity of at least"):
        episodes.check(small, suites.spec_of(small.env_name))
    episodes.check(
        tiny("sac", tmp_path / "run", **settings, **{"replay.capacity": 16}),
        suites.spec_of(small.env_name),
    )

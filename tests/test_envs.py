"""Environments: names, flat float32 observations, action bounds, ends."""

import subprocess
import sys

import numpy as np
import pytest

from rr_scale.envs import dmc, gym, suites
from rr_scale.envs.probes import PROBES
from rr_scale.envs.spec import ActionRescaling, Step
from rr_scale.errors import UserError

NAMES = ["fish-swim", "quadruped-walk", "manipulator-bring_ball", "Ant-v5", *PROBES]


def rollout(environment, seed, actions):
    """Observations and steps of one episode, up to its end."""
    steps = []
    first = environment.reset(seed)
    for action in actions:
        steps.append(environment.step(action))
        if steps[-1].terminated or steps[-1].truncated:
            break
    return first, steps


def random_actions(environment, number, seed=0):
    shape = (number, environment.spec.action_size)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_observations_are_flat_float32_and_as_long_as_the_spec_says(name):
    environment = suites.make(name)
    first, (step, *_) = rollout(environment, 3, random_actions(environment, 1))
    for observation in (first, step.observation):
        assert observation.dtype == np.float32
        assert observation.shape == (environment.spec.observation_size,)
    assert type(step.reward) is float
    assert type(step.terminated) is bool
    assert type(step.truncated) is bool
    environment.close()


def test_scalars_and_matrices_are_flattened_in_the_order_of_the_task():
    environment = suites.make("finger-turn_easy")
    flat = environment.reset(1)
    random = np.random.RandomState(1)
    raw = dmc.load_suite().load("finger", "turn_easy", task_kwargs={"random": random})
    parts = raw.reset().observation.values()
    np.testing.assert_array_equal(flat, np.hstack([np.ravel(p) for p in parts]).astype("float32"))


def test_an_observation_does_not_change_after_it_was_handed_out():
    environment = suites.make("cheetah-run")
    first = environment.reset(0)
    before = first.copy()
    successor = environment.step(np.ones(6, np.float32)).observation
    successor_before = successor.copy()
    environment.step(-np.ones(6, np.float32))
    environment.reset(1)
    np.testing.assert_array_equal(first, before)
    np.testing.assert_array_equal(successor, successor_before)


def test_actions_are_clipped_then_mapped_to_the_bounds():
    rescale = ActionRescaling(np.array([-1.0, 0.0, -0.4]), np.array([1.1, 4.0, 0.4]))
    np.testing.assert_allclose(rescale(np.array([-1, -1, -1], np.float32)), [-1, 0, -0.4])
    np.testing.assert_allclose(rescale(np.array([0, 0, 0], np.float32)), [0.05, 2, 0])
    np.testing.assert_allclose(rescale(np.array([1, 9, np.inf], np.float32)), [1.1, 4, 0.4])
    assert np.all(np.isfinite(rescale(np.full(3, np.nan, np.float32))))


def test_the_simulator_receives_the_rescaled_action():
    quadruped = suites.make("quadruped-walk")
    quadruped.reset(0)
    high = quadruped._simulator.action_spec().maximum
    assert high.max() > 1
    quadruped.step(np.full(12, 5, np.float32))
    np.testing.assert_allclose(quadruped._simulator.physics.control(), high)
    humanoid = suites.make("Humanoid-v5")
    humanoid.reset(0)
    humanoid.step(np.full(17, 5, np.float32))
    np.testing.assert_allclose(humanoid._simulator.unwrapped.data.ctrl, 0.4, rtol=1e-6)


@pytest.mark.parametrize("name", ["cheetah-run", "Hopper-v5"])
def test_action_repeat_adds_rewards_and_keeps_the_last_observation(name):
    single, repeated = suites.make(name), suites.make(name, action_repeat=3)
    assert (single.spec.action_repeat, repeated.spec.action_repeat) == (1, 3)
    actions = random_actions(single, 2)
    _, frames = rollout(single, 5, np.repeat(actions, 3, axis=0))
    _, decisions = rollout(repeated, 5, actions)
    for index, decision in enumerate(decisions):
        group = frames[3 * index : 3 * index + 3]
        assert decision.reward == sum(frame.reward for frame in group)
        np.testing.assert_array_equal(decision.observation, group[-1].observation)


def test_action_repeat_stops_where_the_episode_ends():
    repeated = suites.make("probe-truncation", action_repeat=4)
    _, steps = rollout(repeated, 0, np.zeros((5, 1)))
    assert [step.reward for step in steps] == [4.0, 4.0, 2.0]
    assert [step.truncated for step in steps] == [False, False, True]
    with pytest.raises(UserError, match="action_repeat"):
        suites.make("probe-truncation", action_repeat=0)


def test_a_dm_control_time_limit_truncates_with_the_true_final_observation():
    environment = suites.make("pendulum-swingup")
    _, steps = rollout(environment, 0, np.zeros((1001, 1), np.float32))
    assert len(steps) == 1000
    assert steps[-1].truncated
    assert not any(step.terminated for step in steps)
    final = environment._simulator.task.get_observation(environment._simulator.physics)
    np.testing.assert_array_equal(
        steps[-1].observation, np.concatenate(list(final.values())).astype(np.float32)
    )


def test_a_dm_control_end_with_discount_zero_terminates():
    environment = suites.make("pendulum-swingup")
    environment.reset(0)
    environment._simulator.task.get_termination = lambda physics: 0.0
    step = environment.step(np.zeros(1, np.float32))
    assert step.terminated
    assert not step.truncated


def test_a_gymnasium_fall_terminates_and_a_time_limit_truncates():
    hopper = suites.make("Hopper-v5")
    _, fall = rollout(hopper, 0, random_actions(hopper, 1000))
    assert fall[-1].terminated
    assert not fall[-1].truncated
    pendulum = suites.make("Pendulum-v1")
    _, cut = rollout(pendulum, 0, random_actions(pendulum, 300))
    assert len(cut) == 200
    assert cut[-1].truncated
    assert not cut[-1].terminated


@pytest.mark.parametrize(
    ("info", "success"),
    [({}, None), ({"is_success": 1.0}, True), ({"success": 0.0}, False)],
)
def test_gymnasium_success_is_read_where_it_is_reported(info, success, monkeypatch):
    environment = suites.make("Pendulum-v1")
    environment.reset(0)
    outcome = (np.zeros(3), 0.0, False, False, info)
    monkeypatch.setattr(environment._simulator, "step", lambda action: outcome)
    assert environment.step(np.zeros(1)).success is success


def test_diverging_physics_truncate_and_the_next_episode_is_unharmed():
    environment, untouched = suites.make("cheetah-run"), suites.make("cheetah-run")
    first = environment.reset(0)
    environment._simulator.physics.data.qvel[0] = np.nan
    step = environment.step(np.zeros(6, np.float32))
    assert step == Step(step.observation, 0.0, False, True, None)
    np.testing.assert_array_equal(step.observation, first)
    actions = random_actions(environment, 20)
    after, fresh = rollout(environment, 4, actions), rollout(untouched, 4, actions)
    np.testing.assert_array_equal(after[1][-1].observation, fresh[1][-1].observation)


def test_an_action_of_nan_does_not_stop_a_simulator():
    environment = suites.make("cheetah-run")
    environment.reset(0)
    step = environment.step(np.full(6, np.nan, np.float32))
    assert not step.truncated
    assert np.all(np.isfinite(step.observation))


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("cheeta-run", "cheetah-run"),
        ("ball-in-cup-catch", "ball_in_cup-catch"),
        ("Ant-v55", "Ant-v5"),
        ("dm_control/cheetah-runn-v0", "cheetah-run"),
        ("probe-delayed", "probe-delay"),
    ],
)
def test_an_unknown_name_is_an_error_that_names_the_nearest(wrong, nearest):
    with pytest.raises(UserError, match=f"did you mean '{nearest}'"):
        suites.check_name(wrong)
    with pytest.raises(UserError, match=nearest):
        suites.make(wrong)


@pytest.mark.parametrize("name", suites.UNSUPPORTED)
def test_an_unsupported_task_is_refused_with_its_reason(name):
    assert name in dmc.task_names()
    assert name not in suites.known_names()
    with pytest.raises(UserError, match=suites.UNSUPPORTED[name]):
        suites.check_name(name)
    with pytest.raises(UserError, match="not supported"):
        suites.make(f"dm_control/{name}-v0")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("CartPole-v1", "actions Discrete"), ("FrozenLake-v1", "observations"), ("Ant-v3", "make")],
)
def test_a_gymnasium_task_that_does_not_fit_is_refused(name, wrong):
    suites.check_name(name)
    with pytest.raises(UserError, match=wrong) as error:
        suites.make(name)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("low", "high", "dtype", "wrong"),
    [(-np.inf, np.inf, np.float32, "without bounds"), (0, 3, np.int64, "not real numbers")],
)
def test_unbounded_and_integer_gymnasium_actions_are_refused(low, high, dtype, wrong, monkeypatch):
    pendulum = gym.load_gymnasium().make("Pendulum-v1")
    pendulum.action_space = gym.load_gymnasium().spaces.Box(low, high, (1,), dtype)
    monkeypatch.setattr(gym.load_gymnasium(), "make", lambda *args, **kwargs: pendulum)
    with pytest.raises(UserError, match=wrong):
        suites.make("Pendulum-v1")


def test_every_known_name_passes_the_check_and_aliases_are_one_environment():
    names = suites.known_names()
    assert len(set(names)) == len(names)
    for name in names:
        suites.check_name(name)
    assert {"cheetah-run", "humanoid_CMU-run", "Ant-v5", "probe-nan"} <= set(names)
    assert suites.make("dm_control/cheetah-run-v0").spec == suites.make("cheetah-run").spec


def test_environments_import_neither_jax_nor_a_simulator_before_they_need_one():
    code = (
        "import sys; from rr_scale.envs import pool, suites; suites.make('probe-delay');"
        "sys.exit(bool({'jax', 'mujoco', 'dm_control', 'gymnasium'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    code = (
        "import os, sys; os.environ.pop('MUJOCO_GL', None); from rr_scale.envs import suites;"
        "suites.make('cheetah-run').reset(0); maps = open('/proc/self/maps').read();"
        "sys.exit('jax' in sys.modules or any(n in maps for n in ('libGL.', 'libEGL', 'OSMesa')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

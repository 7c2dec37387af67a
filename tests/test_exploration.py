"""What acting adds to the policy: warm-up, noise, schedules, and nothing in evaluation."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import (
    ACTION_SIZE,
    OBSERVATION_SIZE,
    act,
    agent_of,
    clock,
    engine_of,
    host,
    make_rows,
    select,
    tiny,
    traced,
)
from rr_scale.agents.act import noise_scale, repeats
from rr_scale.config import HyperParams
from rr_scale.rng import Stream, root_key, stream_key

MANY = np.zeros((20_000, OBSERVATION_SIZE), np.float32)
OBSERVATION = np.array([0.3, -1.0, 2.0], np.float32)


def start(name, values=None):
    """(agent, hp, state, memory) at the start of an episode."""
    config = tiny(name, values)
    agent, hp = agent_of(config), traced(config.hp)
    return agent, hp, agent.init(root_key(4), hp), agent.initial_memory()


def normal_of(root, env_step, shape=(ACTION_SIZE,)):
    """The standard normal numbers behind exploration noise."""
    key = jax.random.split(stream_key(root, Stream.ACT, env_step))[1]
    return np.asarray(jax.random.normal(key, shape), np.float64)


@pytest.mark.parametrize(
    ("env_step", "expected"), [(0, 0.4), (250, 0.325), (500, 0.25), (1000, 0.1), (5000, 0.1)]
)
def test_noise_falls_linearly_to_the_horizon_and_stays(env_step, expected):
    hp = traced(HyperParams(noise_start=0.4, noise_end=0.1))
    assert float(noise_scale(hp, jnp.int32(env_step), 1000)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("env_step", "sigma"), [(0, 0.2), (500, 0.125), (1000, 0.05), (10**6, 0.05)]
)
def test_gaussian_noise_has_the_scheduled_standard_deviation(env_step, sigma):
    values = {"hp.noise_start": 0.2, "hp.noise_end": 0.05}  # max_steps is 1000
    agent, hp, state, memory = start("td3", values)
    mode, _ = agent.act(hp, state, memory, MANY, clock(env_step), "evaluate")
    action, _ = agent.act(hp, state, memory, MANY, clock(env_step), "explore")
    noise = np.asarray(action) - np.asarray(mode)
    np.testing.assert_allclose(noise.std(axis=0), sigma, rtol=0.03)
    np.testing.assert_allclose(noise.mean(axis=0), 0.0, atol=4 * sigma / np.sqrt(len(MANY)))
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.03


def test_horizon_may_be_set_apart_from_the_budget():
    values = {"hp.noise_start": 0.2, "hp.noise_end": 0.0, "noise_horizon": 10}
    agent, hp, state, memory = start("td3", values)
    mode, _ = agent.act(hp, state, memory, OBSERVATION, clock(0), "evaluate")
    early, _ = agent.act(hp, state, memory, OBSERVATION, clock(9), "explore")
    late, _ = agent.act(hp, state, memory, OBSERVATION, clock(10), "explore")
    assert np.abs(early - mode).max() > 1e-4
    np.testing.assert_array_equal(late, mode)


def test_ornstein_uhlenbeck_noise_follows_its_recursion():
    values = {"agent.exploration": "ou", "hp.noise_start": 0.3, "hp.noise_end": 0.3}
    values |= {"hp.ou_theta": 0.5, "hp.ou_dt": 0.04}
    agent, hp, state, memory = start("ddpg", values)
    np.testing.assert_array_equal(memory, np.zeros(ACTION_SIZE))
    mode, _ = agent.act(hp, state, memory, OBSERVATION, clock(0), "evaluate")
    x = np.zeros(ACTION_SIZE)
    for env_step in range(6):
        action, memory = agent.act(hp, state, memory, OBSERVATION, clock(env_step), "explore")
        x = x - 0.5 * x * 0.04 + 0.3 * 0.2 * normal_of(state.root, env_step)
        np.testing.assert_allclose(memory, x, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(action, np.clip(mode + x, -1, 1), rtol=1e-5, atol=1e-6)


def test_ornstein_uhlenbeck_noise_restarts_with_the_episode_in_its_lane_only():
    engine = engine_of(tiny("ddpg", {"agent.exploration": "ou"}), 3)
    state = engine.init([0, 1, 2])
    rows = select(make_rows(1, 3), 0)
    _, state = act(engine, state, rows.observation, clock(0), "explore")
    before = host(state.memory)
    assert np.all(before != 0)
    ended = {"terminated": np.arange(3) == 1, "truncated": np.arange(3) == 2}
    state = engine.step(state, rows._replace(**ended), clock(1), 0)
    np.testing.assert_array_equal(state.memory, before)
    # The noise of the second step, on top of what the first one left or of nothing.
    _, after = act(engine, state, rows.observation, clock(1), "explore", begins=np.arange(3) > 0)
    after = host(after.memory)
    _, anew = act(engine, engine.init([0, 1, 2]), rows.observation, clock(1), "explore")
    np.testing.assert_array_equal(after[1:], host(anew.memory)[1:])
    assert np.all(after[0] != host(anew.memory)[0])


@pytest.mark.parametrize("name", ["sac", "td3", "ddpg"])
def test_evaluation_ignores_noise_and_time(name):
    values = {"hp.noise_start": 5.0, "hp.noise_end": 5.0}
    agent, hp, state, memory = start(name, values)
    first, _ = agent.act(hp, state, memory, OBSERVATION, clock(0), "evaluate")
    later, left = agent.act(hp, state, memory, OBSERVATION, clock(77, 5), "evaluate")
    np.testing.assert_array_equal(first, later)
    assert left is memory
    other = state._replace(root=root_key(99))
    np.testing.assert_array_equal(
        first, agent.act(hp, other, memory, OBSERVATION, clock(3), "evaluate")[0]
    )
    # The mode is tanh of the mean, worked out from the parameters.
    params = host(state.actor.params)
    hidden = params["trunk"]["Dense_0"]
    features = np.maximum(OBSERVATION @ hidden["kernel"] + hidden["bias"], 0)
    mean = features @ params["mean"]["kernel"] + params["mean"]["bias"]
    np.testing.assert_allclose(first, np.tanh(mean), rtol=1e-5, atol=1e-6)
    explored, _ = agent.act(hp, state, memory, OBSERVATION, clock(0), "explore")
    assert np.abs(explored - first).max() > 1e-3
    assert np.abs(explored).max() <= 1.0


def test_noise_settings_do_not_reach_a_policy_that_explores_by_itself():
    loud, quiet = ({"hp.noise_start": x, "hp.noise_end": x} for x in (3.0, 0.0))
    actions = []
    for values in (loud, quiet):
        agent, hp, state, memory = start("sac", values)
        actions.append(agent.act(hp, state, memory, OBSERVATION, clock(1), "explore")[0])
    np.testing.assert_array_equal(*actions)


def test_warm_up_is_uniform_and_depends_on_seed_and_step_alone():
    agent, hp, state, memory = start("sac")
    action, _ = agent.act(hp, state, memory, MANY, clock(3), "warmup")
    assert np.abs(action).max() <= 1.0
    counts = np.histogram(action, bins=20, range=(-1, 1))[0]
    assert counts.min() > 0.9 * action.size / 20
    one, _ = agent.act(hp, state, memory, OBSERVATION, clock(3, 50), "warmup")
    trained = state._replace(actor=state.actor._replace(params=None))
    same, _ = agent.act(hp, trained, memory, OBSERVATION + 1, clock(3), "warmup")
    other, _ = agent.act(hp, state, memory, OBSERVATION, clock(4), "warmup")
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_repeated_noise_is_held_for_lengths_that_follow_their_distribution():
    longest, draws = 16, 6000
    keys = jax.random.split(jax.random.key(0), draws)
    lengths = np.asarray(jax.jit(jax.vmap(lambda key: repeats(key, longest)))(keys))
    expected = np.arange(1, longest + 1, dtype=float) ** -2
    expected *= draws / expected.sum()
    counts = np.bincount(lengths, minlength=longest + 1)[1:]
    assert counts.sum() == draws
    # Chi-square with 15 degrees of freedom: above 45 in one of 10,000 cases.
    assert ((counts - expected) ** 2 / expected).sum() < 45


def test_exploration_repeats_its_random_numbers_and_not_its_actions():
    agent, hp, state, memory = start("sac", {"agent.noise_repeat": 4})
    act = jax.jit(agent.act, static_argnums=5)
    steps = []
    for env_step in range(40):
        left = int(memory.left)
        action, memory = act(hp, state, memory, OBSERVATION, clock(env_step), "explore")
        steps.append((left, int(memory.drawn), np.asarray(action)))
    for env_step, (before, now) in enumerate(itertools.pairwise(steps), start=1):
        repeated = now[0] > 0
        assert now[1] == (before[1] if repeated else env_step)
        assert np.array_equal(before[2], now[2]) == repeated
    runs = np.diff([0, *sorted({drawn for _, drawn, _ in steps})])
    assert runs.max() <= 4 and (runs > 1).any()
    # Another observation gets the same noise, and so another action.
    other, _ = act(hp, state, memory, OBSERVATION + 1, clock(40), "explore")
    assert not np.array_equal(other, steps[-1][2])

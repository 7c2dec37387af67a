"""Running moments of observations: accuracy, use, and where they come from."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from helpers import (
    OBSERVATION_SIZE,
    act,
    agent_of,
    assert_close,
    assert_identical,
    changed,
    clock,
    engine_of,
    fill,
    host,
    make_batch,
    make_rows,
    named,
    select,
    tiny,
    traced,
    train,
)
from rr_scale.normalize import Moments, init_moments, standardize, update_moments
from rr_scale.rng import root_key

SAMPLES, OFFSET = 200_000, 1e3
NORMALIZED = {"agent.normalize_observations": True}


@jax.jit
def accumulate(moments, data):
    """Adds every row of data [T, O] in order."""
    return jax.lax.scan(lambda carry, x: (update_moments(carry, x), None), moments, data)[0]


@jax.jit
def plain_welford(data):
    """The same recursion in float32 without compensation: (mean, variance)."""

    def step(carry, x):
        count, mean, spread = carry
        count = count + 1
        after = mean + (x - mean) / count
        return (count, after, spread + (x - mean) * (x - after)), None

    zeros = jnp.zeros(data.shape[1])
    count, mean, spread = jax.lax.scan(step, (jnp.zeros(()), zeros, zeros), data)[0]
    return mean, spread / count


def variance_of(moments):
    spread = np.asarray(moments.spread, np.float64) + np.asarray(moments.spread_low, np.float64)
    return spread / int(moments.seen)


def test_moments_stay_close_to_float64_over_a_long_run():
    rng = np.random.default_rng(0)
    data = (OFFSET + rng.normal(size=(SAMPLES, 2)) * [1.0, 0.1]).astype(np.float32)
    exact = data.astype(np.float64)
    moments = accumulate(init_moments(2), data)
    assert int(moments.seen) == SAMPLES
    mean = np.asarray(moments.mean, np.float64) + np.asarray(moments.mean_low, np.float64)
    mean_error = np.abs(mean - exact.mean(axis=0))
    variance_error = np.abs(variance_of(moments) / exact.var(axis=0) - 1)
    assert mean_error.max() < 1e-6
    assert variance_error.max() < 1e-5
    plain_mean, plain_variance = (np.asarray(x, np.float64) for x in plain_welford(data))
    assert np.all(np.abs(plain_mean - exact.mean(axis=0)) > 100 * mean_error)
    assert np.all(np.abs(plain_variance / exact.var(axis=0) - 1) > 10 * variance_error)


def test_two_passes_one_after_the_other_equal_one_pass():
    data = np.random.default_rng(1).normal(3, 2, (1000, 3)).astype(np.float32)
    whole = accumulate(init_moments(3), data)
    halves = accumulate(accumulate(init_moments(3), data[:400]), data[400:])
    assert_identical(whole, halves)
    np.testing.assert_allclose(whole.mean, data.mean(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(variance_of(whole), data.var(axis=0, dtype=np.float64), rtol=1e-6)


def test_standardize_gives_mean_zero_and_variance_one():
    data = np.random.default_rng(2).normal(OFFSET, 5, (5000, 2)).astype(np.float32)
    moments = accumulate(init_moments(2), data)
    scaled = np.asarray(standardize(moments, data), np.float64)
    exact = data.astype(np.float64)
    expected = (exact - exact.mean(axis=0)) / np.sqrt(exact.var(axis=0) + 1e-8)
    np.testing.assert_allclose(scaled, expected, atol=1e-4)


def test_standardize_adds_1e_8_to_the_variance():
    moments = Moments(np.int32(100), *(np.float32([x]) for x in (0.0, 0.0, 100e-8, 0.0)))
    # The variance is 1e-8 as well, so the root is that of 2e-8.
    scaled = standardize(moments, np.float32([1e-4]))
    np.testing.assert_allclose(scaled, [1.0 / np.sqrt(2.0)], rtol=1e-5)


def test_standardize_is_the_identity_until_there_is_a_variance():
    x = np.array([5.0, -2.0], np.float32)
    for seen in (0, 1):
        moments = accumulate(init_moments(2), np.full((seen, 2), 7.0, np.float32))
        np.testing.assert_array_equal(standardize(moments, x), x)


def test_a_constant_observation_stays_finite_and_becomes_zero():
    moments = accumulate(init_moments(1), np.full((1000, 1), 0.1, np.float32))
    np.testing.assert_array_equal(standardize(moments, np.full((1,), 0.1, np.float32)), [0.0])


def test_update_normalises_both_observations_with_the_current_moments():
    rng = np.random.default_rng(3)
    data = rng.normal(10, 3, (50, OBSERVATION_SIZE)).astype(np.float32)
    moments = accumulate(init_moments(OBSERVATION_SIZE), data)
    config, plain = tiny("sac", NORMALIZED), tiny("sac")
    hp = traced(config.hp)
    state = agent_of(plain).init(root_key(0), hp)
    batch = make_batch()
    seen = batch._replace(
        observation=standardize(moments, batch.observation),
        next_observation=standardize(moments, batch.next_observation),
    )
    by_hand, _ = agent_of(plain).update(hp, state, {"train": seen}, clock(9))
    state = state._replace(normalizers={"observation": moments})
    normalized, _ = agent_of(config).update(hp, state, {"train": batch}, clock(9))
    assert_close(by_hand.actor, normalized.actor, 1e-6)
    assert_close(by_hand.critic, normalized.critic, 1e-6)
    # An update uses statistics and gathers none.
    assert_identical(normalized.normalizers["observation"], moments)


def test_acting_normalises_what_it_sees():
    config, plain = tiny("sac", NORMALIZED), tiny("sac")
    hp = traced(config.hp)
    state = agent_of(plain).init(root_key(0), hp)
    moments = Moments(np.int32(100), *(np.full(OBSERVATION_SIZE, x) for x in (4.0, 0, 900.0, 0)))
    observation = np.array([1.0, 4.0, 10.0], np.float32)
    with_moments = state._replace(normalizers={"observation": moments})
    for mode in ("explore", "evaluate"):
        raw, _ = agent_of(config).act(hp, with_moments, (), observation, clock(1), mode)
        by_hand, _ = agent_of(plain).act(hp, state, (), (observation - 4) / 3, clock(1), mode)
        np.testing.assert_allclose(raw, by_hand, rtol=1e-5, atol=1e-6)


def test_statistics_come_from_stored_steps_alone():
    engine = engine_of(tiny("sac", NORMALIZED), 2)
    rows = make_rows(12, 2)
    state = fill(engine, engine.init([0, 1]), rows)
    moments = host(state.train.normalizers["observation"])
    np.testing.assert_array_equal(moments.seen, [12, 12])
    np.testing.assert_allclose(moments.mean, rows.observation.mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(moments.spread / 12, rows.observation.var(axis=0), rtol=1e-4)
    # Replay keeps what the environment said.
    stored = engine.reader.rows(state, 0, 12)()["observation"]
    np.testing.assert_array_equal(stored, np.swapaxes(rows.observation, 0, 1))
    far = 1000 + make_rows(1, 2, seed=5).observation[0]
    for mode in ("warmup", "explore"):
        _, state = act(engine, state, far, clock(12), mode)
    engine.evaluate(engine.policy(state), np.stack([far, far], axis=1))
    assert_identical(state.train.normalizers["observation"], moments)
    # Updates leave them alone as well: only the one stored step moves them.
    one = select(rows, slice(0, 1))
    state = train(engine, state, one, 3)
    after = state.train.normalizers["observation"]
    np.testing.assert_array_equal(after.seen, [13, 13])
    quiet = fill(engine, engine.init([0, 1]), rows)
    quiet = fill(engine, quiet, one).train.normalizers["observation"]
    assert_identical(after, quiet)


def test_without_normalisation_there_is_nothing_to_keep():
    state = engine_of(tiny("sac"), 2).init([0, 1])
    assert state.train.normalizers == {}
    assert not any("normalizers" in path for path in named(state))


def test_moments_are_per_lane():
    engine = engine_of(tiny("sac", NORMALIZED), 2)
    rows = make_rows(5, 2)
    state = host(fill(engine, engine.init([0, 1]), rows))
    other = rows._replace(observation=rows.observation + np.array([0.0, 1.0])[None, :, None])
    other = jax.tree.map(lambda x, y: np.asarray(x, y.dtype), other, rows)
    moved = host(fill(engine, engine.init([0, 1]), other))
    before, after = (s.train.normalizers["observation"] for s in (state, moved))
    assert not changed(select(before, 0), select(after, 0))
    assert changed(select(before, 1), select(after, 1))

"""The ring and what is drawn from it, with an id in every field."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from helpers import engine_of, fill, host, make_rows, tiny
from rr_scale import engine_reader
from rr_scale.config import ReplayConfig
from rr_scale.replay import ring as ring_lib
from rr_scale.replay.sampling import sample
from rr_scale.types import Transition

INSERT = jax.jit(ring_lib.insert)
BY_AGE = jax.jit(ring_lib.by_age)
SAMPLE = jax.jit(sample, static_argnames="config")
GAMMA = 0.5


def ends(index):
    """(terminated, truncated) of the row with this id: some neither, one both."""
    terminated = (index % 5 == 2) | (index % 13 == 12)
    truncated = (index % 7 == 3) | (index % 13 == 12)
    return terminated, truncated


def row(index, observation_size=2, action_size=3):
    """A transition that carries its id in every field; ids may be an array [T]."""
    index = np.asarray(index)
    terminated, truncated = ends(index)

    def repeat(values, size):
        return np.repeat(np.asarray(values, np.float32)[..., None], size, axis=-1)

    return Transition(
        observation=repeat(index, observation_size),
        action=repeat(index + 0.25, action_size),
        reward=(index + 0.5).astype(np.float32),
        terminated=terminated,
        truncated=truncated,
        next_observation=repeat(index + 1000, observation_size),
    )


@functools.cache
def filled(capacity, inserted):
    """A ring after rows 0 ... inserted - 1."""
    if inserted == 0:
        return ring_lib.empty(capacity, 2, 3)
    return INSERT(filled(capacity, inserted - 1), row(inserted - 1))


@pytest.mark.parametrize("capacity", [1, 2, 7, 16])
def test_ring_holds_the_newest_rows_aligned_in_every_field(capacity):
    for inserted in range(3 * capacity + 2):
        ring = filled(capacity, inserted)
        size = min(inserted, capacity)
        assert int(ring.size) == size
        assert int(ring.cursor) == inserted % capacity
        oldest_first = np.arange(inserted - size, inserted)
        index = np.asarray(BY_AGE(ring, jnp.arange(capacity)))[:size]
        for actual, expected in zip(host(ring.rows), row(oldest_first), strict=True):
            np.testing.assert_array_equal(actual[index], expected)


def test_insert_writes_one_row_and_leaves_the_others():
    before = host(filled(7, 12)).rows
    after = host(filled(7, 13)).rows
    for name in before._fields:
        old, new = getattr(before, name), getattr(after, name)
        np.testing.assert_array_equal(np.delete(old, 5, axis=0), np.delete(new, 5, axis=0))
    assert after.reward[5] == 12.5


def expected_window(start, newest, steps, bootstrap_on_truncation):
    """(return, discount, next observation) of a window, from the list of all rows."""
    total, factor, index = 0.0, 1.0, start
    for index in range(start, min(start + steps, newest + 1)):
        total += factor * (index + 0.5)
        factor *= GAMMA
        terminated, truncated = ends(index)
        if terminated or (truncated and not bootstrap_on_truncation):
            return total, 0.0, index + 1000
        if truncated:
            break
    return total, factor, index + 1000


@pytest.mark.parametrize("bootstrap_on_truncation", [True, False])
@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_windows_are_right_for_every_age_and_cursor(steps, bootstrap_on_truncation):
    config = ReplayConfig(
        batch_size=128, n_step=steps, bootstrap_on_truncation=bootstrap_on_truncation
    )
    for inserted in range(1, 23):
        ring = filled(7, inserted)
        batch = host(SAMPLE(ring, jax.random.key(inserted), jnp.float32(GAMMA), config))
        start = batch.observation[:, 0].astype(int)
        assert set(start) == set(range(max(inserted - 7, 0), inserted))
        np.testing.assert_array_equal(batch.action, row(start).action)
        np.testing.assert_array_equal(batch.observation, row(start).observation)
        np.testing.assert_array_equal(batch.weight, np.ones(128))
        windows = [expected_window(s, inserted - 1, steps, bootstrap_on_truncation) for s in start]
        reward, discount, following = np.transpose(windows)
        np.testing.assert_allclose(batch.reward, reward, rtol=1e-6)
        np.testing.assert_allclose(batch.discount, discount, rtol=1e-6)
        np.testing.assert_array_equal(batch.next_observation[:, 0], following)
        np.testing.assert_array_equal(batch.next_observation[:, 1], following)


def test_window_never_mixes_new_rows_with_those_they_overwrote():
    # Row 9 sits beside row 3, the oldest. A window across the cursor would add both.
    config = ReplayConfig(batch_size=64, n_step=2)
    batch = host(SAMPLE(filled(7, 10), jax.random.key(0), jnp.float32(1.0), config))
    newest = batch.observation[:, 0] == 9
    assert newest.any()
    np.testing.assert_array_equal(batch.reward[newest], 9.5)
    np.testing.assert_array_equal(batch.next_observation[newest, 0], 1009)


def test_window_never_reads_unwritten_rows():
    config = ReplayConfig(batch_size=64, n_step=7)
    batch = host(SAMPLE(filled(7, 2), jax.random.key(0), jnp.float32(1.0), config))
    assert set(batch.observation[:, 0]) == {0, 1}
    np.testing.assert_array_equal(batch.next_observation[:, 0], 1001)
    np.testing.assert_array_equal(batch.discount, 1.0)


def test_a_time_limit_is_death_only_if_asked_for():
    for bootstrap, expected in ((True, GAMMA), (False, 0.0)):
        config = ReplayConfig(batch_size=64, bootstrap_on_truncation=bootstrap)
        batch = host(SAMPLE(filled(7, 4), jax.random.key(0), jnp.float32(GAMMA), config))
        truncated = batch.observation[:, 0] == 3
        terminated = batch.observation[:, 0] == 2
        neither = ~truncated & ~terminated
        assert truncated.any() and terminated.any() and neither.any()
        np.testing.assert_array_equal(batch.discount[truncated], np.float32(expected))
        np.testing.assert_array_equal(batch.discount[terminated], 0.0)
        np.testing.assert_array_equal(batch.discount[neither], np.float32(GAMMA))


@pytest.mark.parametrize(("capacity", "inserted"), [(16, 16), (16, 41), (16, 9)])
@pytest.mark.parametrize("steps", [1, 3])
def test_sampling_is_uniform_over_what_is_stored(capacity, inserted, steps):
    config = ReplayConfig(batch_size=32_000, n_step=steps)
    ring = filled(capacity, inserted)
    batch = host(SAMPLE(ring, jax.random.key(7), jnp.float32(GAMMA), config))
    counts = np.bincount(batch.observation[:, 0].astype(int), minlength=inserted)
    size = min(capacity, inserted)
    assert counts[: inserted - size].sum() == 0
    stored = counts[inserted - size :]
    assert scipy.stats.chisquare(stored).pvalue > 1e-3
    # Successive draws are independent too.
    pairs = np.bincount(
        (batch.observation[:-1, 0] * inserted + batch.observation[1:, 0]).astype(int)
    )
    assert scipy.stats.chisquare(pairs[pairs > 0]).pvalue > 1e-3
    assert (pairs > 0).sum() == size**2


def test_draws_depend_on_the_key_alone():
    config = ReplayConfig(batch_size=32)
    draws = [
        host(SAMPLE(filled(16, 20), jax.random.key(k), jnp.float32(gamma), config)).observation
        for k, gamma in ((0, 0.5), (0, 0.9), (1, 0.5))
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_engine_rows_are_in_insertion_order_after_wrap_around():
    engine = engine_of(tiny(), 2, capacity=7)
    rows = make_rows(17, 2)
    state = fill(engine, engine.init([0, 1]), rows)
    for start, stop in ((10, 17), (12, 13), (13, 15), (14, 17)):
        read = engine.reader.rows(state, start, stop)()
        for name, values in read.items():
            expected = np.swapaxes(getattr(rows, name)[start:stop], 0, 1)
            np.testing.assert_array_equal(values, expected)
            assert values.dtype == expected.dtype


@pytest.mark.parametrize("ahead", [1, 2, 16])
def test_engine_rows_are_read_in_blocks_without_seams(monkeypatch, ahead):
    monkeypatch.setattr(engine_reader, "AHEAD", ahead)
    monkeypatch.setattr(engine_reader, "BLOCK", 1024)
    capacity, inserted = 5000, 13_700
    engine = engine_of(tiny(), 2, capacity=capacity)
    state = engine.init([0, 1])
    ids = np.arange(inserted)[-capacity:]
    order = np.argsort(ids % capacity)
    stored = jax.tree.map(lambda x: jnp.stack([x, x]), row(ids[order], 3, 2))
    state = state._replace(replay=state.replay._replace(rows=stored))
    for start, stop in ((8700, 13_700), (8700, 8701), (9000, 12_072), (9000, 12_073)):
        read = engine.reader.rows(state, start, stop)()
        assert set(read) == set(Transition._fields)
        for name, expected in row(np.arange(start, stop), 3, 2)._asdict().items():
            np.testing.assert_array_equal(read[name], np.stack([expected, expected]))

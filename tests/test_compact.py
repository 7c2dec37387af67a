"""The compact ring draws what the plain ring draws, from half the memory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from episode_rows import episodes, lanes_of
from helpers import ACTION_SIZE, OBSERVATION_SIZE, assert_identical, host, select
from marks import in_all_tests
from rr_scale.config import ReplayConfig
from rr_scale.replay import rings
from rr_scale.replay.sampling import sample

GAMMA = jnp.float32(0.9)
SIZES = (OBSERVATION_SIZE, ACTION_SIZE)
ENDLESS = (10**6,)


def history(storage, capacity, rows):
    """The rings [T, ...] after each of the rows [T, ...]."""

    def step(ring, row):
        ring = rings.insert(ring, row)
        return ring, ring

    return jax.jit(lambda: jax.lax.scan(step, rings.empty(storage, capacity, *SIZES), rows)[1])()


def draws(ring_history, config):
    """A batch from each ring, with a key of its own."""
    keys = jax.random.split(jax.random.key(0), ring_history.size.shape[0])
    return host(jax.jit(jax.vmap(lambda r, k: sample(r, k, GAMMA, config)))(ring_history, keys))


def fitting(rows, capacity, inserted):
    """How many of the newest rows the slots suffice for, counted from the rows themselves."""
    slots, used, held = capacity + capacity // 8 + 2, 2, 1
    for row in range(inserted - 2, max(inserted - capacity, 0) - 1, -1):
        after, before = rows.next_observation[row], rows.observation[row + 1]
        used += 1 if after.tobytes() == before.tobytes() else 2
        if used > slots:
            break
        held += 1
    return held


@pytest.mark.parametrize("capacity", [7, *in_all_tests(1, 50)])
def test_samples_are_those_of_the_plain_ring(capacity):
    rows = episodes(3 * capacity + 40, range(8, 20), seed=capacity)
    plain, compact = (history(storage, capacity, rows) for storage in rings.STORAGES)
    np.testing.assert_array_equal(plain.size, compact.size)
    for n_step in (1, 3):
        config = ReplayConfig(batch_size=32, n_step=n_step)
        assert_identical(draws(plain, config), draws(compact, config))


KINDS = [(1,), (3,), (1, 2, 40), (7,), range(1, 13), ENDLESS]


@pytest.mark.parametrize("capacity", [3, *in_all_tests(1, 2, 17, 40)])
def test_what_is_held_is_whole_however_short_the_episodes(capacity):
    steps = 4 * capacity + 20
    lanes = [episodes(steps, kind, jump=jump) for kind in KINDS for jump in (0.0, 0.3)]
    rings_of = jax.vmap(lambda rows: history("compact", capacity, rows))(
        jax.tree.map(lambda *leaves: np.stack(leaves), *lanes)
    )
    read = jax.vmap(jax.vmap(rings.read, (0, None)), (0, None))
    every = host((rings_of.cursor, rings_of.size, read(rings_of, jnp.arange(capacity))))
    for lane, rows in enumerate(lanes):
        for inserted in range(1, steps + 1):
            cursor, size, found = select(every, (lane, inserted - 1))
            assert cursor == inserted % capacity
            assert size == fitting(rows, capacity, inserted)
            assert size >= min(inserted, (9 * capacity + 15) // 16)
            held = np.arange(inserted - size, inserted)
            for field, stored in zip(
                select(found, held % capacity), select(rows, held), strict=True
            ):
                assert field.tobytes() == stored.tobytes()
            others = np.setdiff1d(np.arange(capacity), held % capacity)
            for field in (found.observation, found.action, found.next_observation):
                assert np.isnan(field[others]).all()


def test_only_rows_that_are_held_are_drawn():
    rows = episodes(120, range(1, 5))
    compact = history("compact", 20, rows)
    for n_step in (1, 3):
        batch = draws(compact, ReplayConfig(batch_size=400, n_step=n_step))
        for inserted in (20, 33, 60, 119, 120):
            held = np.arange(inserted - int(compact.size[inserted - 1]), inserted)
            assert 11 <= len(held) < 20
            drawn = {row.tobytes() for row in batch.observation[inserted - 1]}
            assert drawn == {row.tobytes() for row in rows.observation[held]}
            after = {row.tobytes() for row in batch.next_observation[inserted - 1]}
            assert after <= {row.tobytes() for row in rows.next_observation[held]}


def test_the_sign_of_zero_is_kept():
    rows = episodes(2, ENDLESS)
    rows.next_observation[0], rows.observation[1] = -0.0, 0.0
    ring = select(history("compact", 4, rows), 1)
    assert np.signbit(rings.next_observation(ring, jnp.int32(0))).all()
    assert not np.signbit(rings.observation(ring, jnp.int32(1))).any()


def test_a_lane_that_stands_still_takes_a_slot_per_row():
    rows = jax.tree.map(lambda x: np.repeat(x[:1], 30, axis=0), episodes(1, ENDLESS))
    rows = rows._replace(next_observation=rows.observation)
    compact = history("compact", 8, rows)
    np.testing.assert_array_equal(compact.size, np.minimum(np.arange(1, 31), 8))


def test_large_observations_take_little_more_than_half_the_memory():
    needs = {storage: rings.nbytes(storage, 1000, 376, 17) for storage in rings.STORAGES}
    assert needs["plain"] == 1000 * (4 * (2 * 376 + 17 + 1) + 2) + 8
    assert 0.5 < needs["compact"] / needs["plain"] < 0.58
    for storage, needed in needs.items():
        ring = rings.empty(storage, 1000, 376, 17)
        assert sum(leaf.nbytes for leaf in jax.tree.leaves(ring)) == needed


def test_inserting_needs_no_memory_that_grows_with_the_ring():
    def temporary(capacity):
        one = rings.empty("compact", capacity, *SIZES)
        ring = jax.tree.map(lambda x: jnp.stack([x, x]), one)
        row = select(lanes_of(1, 2, (1,)), 0)
        insert = jax.jit(jax.vmap(rings.insert), donate_argnums=0)
        analysis = insert.lower(ring, row).compile().memory_analysis()
        return analysis.temp_size_in_bytes

    assert temporary(100) == temporary(10_000)


def test_a_larger_ring_does_not_bring_back_what_was_given_up():
    rows = episodes(60, (1,))
    lanes = jax.tree.map(lambda x: x[-1:], history("compact", 20, rows))
    held, every = int(lanes.size[0]), jnp.arange(40, 60)
    read = host(jax.vmap(rings.read, (0, None))(lanes, every % 20))
    like = jax.eval_shape(
        lambda: jax.tree.map(lambda x: x[None], rings.empty("compact", 90, *SIZES))
    )
    larger = rings.refill(like, dict(read._asdict()), 40, 60, jax.device_put)
    assert held == 12 and larger.size.tolist() == [12]
    found = host(jax.vmap(rings.read, (0, None))(larger, every))
    np.testing.assert_array_equal(np.isnan(found.action[0, :, 0]), np.arange(20) < 8)
    assert_identical(select(found, (0, slice(8, None))), select(rows, slice(48, None)))

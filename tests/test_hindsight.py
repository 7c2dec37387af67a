"""Hindsight: which rows are drawn, which goals they get, and what those are worth."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import clock, host, traced
from rr_scale.config import HyperParams, ReplayConfig
from rr_scale.envs.hard_probes import BitFlip
from rr_scale.replay import rings, routing, sumtree
from rr_scale.replay.sampler import Sampler
from rr_scale.replay.sumtree import Tree
from rr_scale.rng import root_key
from rr_scale.types import Transition

BITS = BitFlip.action_size
LENGTHS = (8, 5, 8, 3, 8, 1, 8, 8, 6, 8, 6)
ROWS = sum(LENGTHS)
DISCOUNT = 0.9


@functools.cache
def history():
    """Rows [T] of bit-flip episodes, some cut short, and (episode, step) of each [T]."""
    environment, rng, rows, places = BitFlip(), np.random.default_rng(0), [], []
    for episode, length in enumerate(LENGTHS):
        before = environment.reset(episode)
        for step in range(length):
            # Few flips, so that goals are sometimes reached.
            action = rng.uniform(-1, 0.2, BITS).astype(np.float32)
            after = environment.step(action)
            truncated = step == length - 1
            rows.append(
                Transition(
                    before, action, np.float32(after.reward), False, truncated, after.observation
                )
            )
            places.append((episode, step))
            before = after.observation
    return jax.tree.map(lambda *leaves: np.stack(leaves), *rows), np.array(places)


@functools.cache
def filled(capacity, inserted, storage="plain", sampling="uniform", **more):
    """(sampler, ring, state) after rows 0 ... inserted - 1."""
    given = {"batch_size": 4000, "hindsight": "future"} | more
    config = ReplayConfig(storage=storage, sampling=sampling, **given)
    sampler = Sampler(config, 1, BitFlip.goal)

    def insert(carry, row):
        ring, state = carry
        after = rings.insert(ring, row)
        state, moves = sampler.insert(state, ring, after, row, root_key(1))
        if moves is not None:
            state = sampler.move(state, moves, capacity, sampler.rounds(moves))
        return (after, state), None

    start = (rings.empty(storage, capacity, 2 * BITS, BITS), sampler.empty(capacity))
    rows = jax.tree.map(lambda x: x[:inserted], history()[0])
    ring, state = jax.jit(lambda rows: jax.lax.scan(insert, start, rows)[0])(rows)
    return sampler, ring, state


def rows_of(batch):
    """Insertion indices [B], told by the actions."""
    by_action = {row.tobytes(): index for index, row in enumerate(history()[0].action)}
    return np.array([by_action[row.tobytes()] for row in batch.action])


def drawn(capacity, inserted, share=0.8, root=0, ends="truncated", **more):
    """(batches, insertion index of the rows of the training batch)."""
    sampler, ring, state = filled(capacity, inserted, **more)
    if ends == "terminated":
        rows = ring.rows
        swapped = rows._replace(terminated=rows.truncated, truncated=rows.terminated)
        ring = ring._replace(rows=swapped)
    hp = traced(HyperParams(hindsight_share=share, discount=DISCOUNT))
    tree = Tree(state.priorities.nodes, 0) if state.priorities else None

    def draw(key):
        return sampler.draw(hp, ring, state, tree, key, clock(1)).batches

    batches = host(jax.jit(draw)(root_key(root)))
    return batches, rows_of(batches["train"])


def whole(capacity, inserted):
    """Insertion indices of the rows of complete episodes of which no row was overwritten."""
    episode = history()[1][:, 0]
    last = inserted == ROWS or episode[inserted] != episode[inserted - 1]
    held = range(max(inserted - capacity, 0), inserted)
    return [
        row
        for row in held
        if (episode[row] < episode[inserted - 1] or last)
        and np.flatnonzero(episode == episode[row])[0] in held
    ]


@pytest.mark.parametrize("sampling", ["uniform", "prioritized"])
@pytest.mark.parametrize(
    ("capacity", "inserted"),
    [(30, 47), *(pytest.param(*sizes, marks=pytest.mark.slow) for sizes in [(100, 40), (40, 69)])],
)
def test_only_rows_of_whole_episodes_are_drawn(capacity, inserted, sampling):
    _, rows = drawn(capacity, inserted, sampling=sampling)
    assert sorted(set(rows.tolist())) == whole(capacity, inserted)
    state = filled(capacity, inserted, sampling=sampling)[2]
    if sampling == "prioritized":
        leaves = np.zeros(capacity, np.float32)
        leaves[np.array(whole(capacity, inserted)) % capacity] = 1.0
        np.testing.assert_array_equal(state.priorities.nodes[1:], sumtree.build(leaves)[1:])


def test_rows_given_up_by_the_compact_ring_take_their_episode_with_them():
    _, rows = drawn(16, ROWS, storage="compact")
    ring = filled(16, ROWS, storage="compact")[1]
    held = range(ROWS - int(ring.size), ROWS)
    assert set(rows.tolist()) <= set(whole(16, ROWS)) & set(held)


def expected(batch, rows, n_step, terminates=False):
    """Reward and discount [B] of relabelled rows, from the list of all rows."""
    transitions, places = history()
    goals = batch.observation[:, BITS:]
    found = []
    for row, goal in zip(rows, goals, strict=True):
        total, factor = 0.0, 1.0
        for index in range(row, min(row + n_step, ROWS)):
            if places[index, 0] != places[row, 0]:
                break
            reached = np.array_equal(transitions.next_observation[index, :BITS], goal)
            total += factor * (0.0 if reached else -1.0)
            factor *= DISCOUNT
            if reached and terminates:
                factor = 0.0
                break
        found.append((total, factor))
    return np.transpose(found)


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("strategy", ["future", "final", "episode"])
def test_goals_were_achieved_in_the_episode_and_rewards_are_exact(strategy, n_step):
    batches, rows = drawn(100, ROWS, 1.0, hindsight=strategy, n_step=n_step)
    batch, (transitions, places) = batches["train"], history()
    np.testing.assert_array_equal(batch.observation[:, BITS:], batch.next_observation[:, BITS:])
    np.testing.assert_array_equal(batch.observation[:, :BITS], transitions.observation[rows, :BITS])
    seen, possible = {}, 0
    for row, goal in zip(rows, batch.observation[:, BITS:], strict=True):
        seen.setdefault(row, set()).add(goal.tobytes())
    for row, goals in seen.items():
        episode, step = places[row]
        first = row - step
        steps = {
            "future": range(step, LENGTHS[episode]),
            "final": [LENGTHS[episode] - 1],
            "episode": range(LENGTHS[episode]),
        }[strategy]
        achieved = {transitions.next_observation[first + f, :BITS].tobytes() for f in steps}
        assert goals <= achieved
        possible += len(achieved)
    assert sum(map(len, seen.values())) > 0.9 * possible
    reward, discount = expected(batch, rows, n_step)
    np.testing.assert_allclose(batch.reward, reward, rtol=1e-6)
    np.testing.assert_allclose(batch.discount, discount, rtol=1e-6)
    assert 0 < np.mean(reward == 0.0) < 1


def test_the_share_of_other_goals_is_the_configured_one():
    transitions = history()[0]
    for share in (0.0, 0.8):
        batches, rows = drawn(100, ROWS, share)
        batch = batches["train"]
        own = (batch.observation == transitions.observation[rows]).all(axis=1)
        np.testing.assert_array_equal(batch.reward[own], transitions.reward[rows][own])
        # A goal achieved later is never by chance the desired one here.
        assert np.mean(~own) == pytest.approx(share, abs=0.02)


def test_reaching_a_chosen_goal_ends_the_episode_only_if_asked_for():
    for terminates in (False, True):
        more = {"relabel_terminates": True} if terminates else {}
        batches, rows = drawn(100, ROWS, 1.0, n_step=2, **more)
        reward, discount = expected(batches["train"], rows, 2, terminates)
        np.testing.assert_allclose(batches["train"].reward, reward, rtol=1e-6)
        np.testing.assert_allclose(batches["train"].discount, discount, rtol=1e-6)
        assert (discount == 0).any() == terminates


def test_a_window_does_not_leave_its_episode_where_reaching_a_goal_decides_about_its_end():
    # A goal of any step: one that was achieved before the row need not be met again.
    more = {"hindsight": "episode", "n_step": 3, "relabel_terminates": True}
    batches, rows = drawn(100, ROWS, 1.0, ends="terminated", **more)
    reward, discount = expected(batches["train"], rows, 3, terminates=True)
    np.testing.assert_allclose(batches["train"].reward, reward, rtol=1e-6)
    np.testing.assert_allclose(batches["train"].discount, discount, rtol=1e-6)


def test_a_ring_that_was_away_draws_the_same():
    capacity, inserted = 40, 67
    more = {"sampling": "prioritized", "validation_share": 0.4}
    sampler, ring, state = filled(capacity, inserted, **more)
    order = np.arange(inserted - capacity, inserted)
    rows = {
        "terminated": history()[0].terminated[order][None],
        "truncated": history()[0].truncated[order][None],
        "episode": np.asarray(state.episodes.episode)[order % capacity][None],
        "step": np.asarray(state.episodes.step)[order % capacity][None],
        "validation": np.asarray(state.lists.kept)[order % capacity][None],
    }
    leaves = np.asarray(sumtree.leaf(Tree(state.priorities.nodes, 0), capacity, order % capacity))
    size = np.array([int(ring.size)])
    away = sampler.refill(capacity, size, rows, inserted - capacity, leaves[None])
    away = jax.tree.map(lambda x: jnp.asarray(x[0]), away)
    np.testing.assert_array_equal(away.priorities.nodes[1:], state.priorities.nodes[1:])
    for kind in ("train", "validation"):
        one, other = getattr(away.lists, kind), getattr(state.lists, kind)
        assert int(one.size) == int(other.size) > 0
        place = -1 - np.arange(int(one.size))
        np.testing.assert_array_equal(
            one.row[(one.head + place) % capacity], other.row[(other.head + place) % capacity]
        )
    hp = traced(HyperParams())
    draws = [
        sampler.draw(hp, ring, known, Tree(known.priorities.nodes, 0), root_key(5), clock(9))
        for known in (away, state)
    ]
    for one, other in zip(*map(jax.tree.leaves, draws), strict=True):
        np.testing.assert_array_equal(one, other)


def test_validation_episodes_are_whole_and_never_trained_on():
    places, share = history()[1], 0.4
    for hindsight in ("none", "future"):
        capacity, inserted = 40, 66
        more = {"hindsight": hindsight, "validation_share": share, "sampling": "uniform"}
        _, ring, state = filled(capacity, inserted, **more)
        held = np.arange(inserted - capacity, inserted)
        kept = np.asarray(state.lists.kept)[held % capacity]
        episode = places[held, 0]
        for number in set(episode.tolist()):
            expected = bool(routing.is_kept(root_key(1), number, share))
            assert (kept[episode == number] == expected).all()
        assert 0 < kept.sum() < capacity
        # Each row is on one list, while it may be drawn at all.
        first = whole(capacity, inserted)[0] if hindsight == "future" else held[0]
        assert int(state.lists.train.size) + int(state.lists.validation.size) == inserted - first
        batches, rows = drawn(capacity, inserted, root=1, **more)
        drawable = whole(capacity, inserted) if hindsight == "future" else held.tolist()
        by_row = dict(zip(held.tolist(), kept.tolist(), strict=True))
        assert set(rows.tolist()) == {row for row in drawable if not by_row[row]}
        found = rows_of(batches["validation"])
        assert set(found.tolist()) == {row for row in drawable if by_row[row]}
        # Fewer rows than a batch has: of no weight yet.
        np.testing.assert_array_equal(batches["validation"].weight, 0.0)
        np.testing.assert_array_equal(batches["train"].weight, 1.0)


def test_priorities_leave_validation_rows_alone_and_weights_begin_with_a_whole_batch():
    more = {"sampling": "prioritized", "validation_share": 0.4, "hindsight": "none"}
    batches, rows = drawn(100, ROWS, root=1, batch_size=8, **more)
    state = filled(100, ROWS, batch_size=8, **more)[2]
    kept = np.asarray(state.lists.kept)
    leaves = np.asarray(sumtree.leaf(Tree(state.priorities.nodes, 0), 100, np.arange(ROWS)))
    np.testing.assert_array_equal(leaves, 1.0 - kept[:ROWS])
    assert not kept[rows].any() and kept[rows_of(batches["validation"])].all()
    np.testing.assert_array_equal(batches["validation"].weight, 1.0)


def test_about_the_configured_share_of_episodes_is_kept_and_never_two_in_a_row():
    kept = jax.vmap(lambda episode: routing.is_kept(root_key(0), episode, 0.05))(jnp.arange(4000))
    assert not kept[0] and np.mean(kept) == pytest.approx(0.05, abs=0.012)
    half = jax.vmap(lambda episode: routing.is_kept(root_key(0), episode, 0.5))(jnp.arange(40))
    np.testing.assert_array_equal(half, np.arange(40) % 2 == 1)
    other = jax.vmap(lambda episode: routing.is_kept(root_key(1), episode, 0.05))(jnp.arange(4000))
    assert (kept != other).any()

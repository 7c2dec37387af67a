"""Prioritised replay: the tree, the draws, the weights, and what updates feed back."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from episode_rows import lanes_of
from helpers import (
    ACTION_SIZE,
    CAPACITY,
    OBSERVATION_SIZE,
    agent_of,
    assert_identical,
    changed,
    clock,
    host,
    make_batch,
    make_rows,
    select,
    tiny,
    traced,
)
from marks import in_all_tests
from rr_scale.config import CriticConfig, HyperParams, ReplayConfig
from rr_scale.core.values import LOSSES, Returns, value_kind
from rr_scale.learn import Learning, learn
from rr_scale.replay import priorities, rings, sumtree
from rr_scale.replay.priorities import Priorities
from rr_scale.replay.sampler import Sampler, SamplerState
from rr_scale.replay.sumtree import Tree
from rr_scale.rng import root_key
from rr_scale.rounds import Rounds
from rr_scale.types import Mean

SIZES = (OBSERVATION_SIZE, ACTION_SIZE)
DRAW = jax.jit(sumtree.draw, static_argnums=(1, 3))
REPLACE = jax.jit(sumtree.replace, static_argnums=1)
FIND = jax.jit(sumtree.find, static_argnums=1)
PER = ReplayConfig(batch_size=100_000, sampling="prioritized")


def tree_of(leaves) -> Tree:
    return Tree(jnp.array(sumtree.build(np.float32(leaves))), 0)


def ring_of(leaves):
    """A full ring whose rewards are row numbers, and a tree over it."""
    count = len(leaves)
    ring = rings.empty("plain", count, 1, 1)
    rows = ring.rows._replace(reward=jnp.arange(count, dtype=jnp.float32))
    return ring._replace(rows=rows, size=jnp.int32(count)), tree_of(leaves)


@functools.cache
def drawn(exponent=1.0, errors=(1, 2, 3, 4), env_step=1000, sampling="prioritized"):
    """A large batch from rows with these TD errors; importance weights anneal to 1 by step 1000."""
    config = ReplayConfig(batch_size=PER.batch_size, sampling=sampling)
    hp = traced(HyperParams(priority_exponent=exponent, priority_epsilon=1e-12))
    ring, tree = ring_of(np.zeros(len(errors)))
    rule, rows = priorities.RULES[sampling], jnp.arange(len(errors))
    known = (hp, tree, jnp.ones(()), len(errors), rows, jnp.float32(errors))
    tree, highest = priorities.feed_back(rule, *known)
    sampler, known = Sampler(config, 1000, None), SamplerState()
    draw = jax.jit(lambda key, now: sampler.draw(hp, ring, known, tree, key, now).batches["train"])
    return host(draw(root_key(3), clock(env_step))), float(highest)


def stored(sampler, ring, state, row):
    """(ring, state) with one row more."""
    after = rings.insert(ring, row)
    state, moves = sampler.insert(state, ring, after, row, root_key(0))
    return after, sampler.move(state, moves, ring.rows.reward.shape[0], 1)


@pytest.mark.parametrize("capacity", [5, *in_all_tests(1, 2, 13, 16)])
def test_every_sum_is_that_of_its_children_whatever_was_replaced(capacity):
    rng, tree = np.random.default_rng(capacity), Tree(sumtree.empty(capacity), 0)
    leaves = np.zeros(capacity, np.float32)
    for _ in range(5):
        row, value = rng.integers(0, capacity, 8), np.float32(rng.exponential(size=8))
        tree = REPLACE(tree, capacity, row, value)
        leaves[row] = 0
        np.maximum.at(leaves, row, value)
        np.testing.assert_array_equal(tree.nodes[1:], sumtree.build(leaves)[1:])
        np.testing.assert_array_equal(sumtree.leaf(tree, capacity, jnp.arange(capacity)), leaves)
        assert float(sumtree.total(tree)) == pytest.approx(leaves.sum(), rel=1e-6)


def test_the_tree_does_not_drift_over_a_million_updates():
    capacity, size, rounds = 1000, 256, 3907

    def update(carry, number):
        tree, expected = carry
        row_key, value_key = jax.random.split(jax.random.fold_in(jax.random.key(0), number))
        row = jax.random.randint(row_key, (size,), 0, capacity)
        # From tiny to huge: what an incremented sum cannot bear.
        value = jnp.exp(12 * jax.random.normal(value_key, (size,)))
        expected = expected.at[row].set(0.0).at[row].max(value)
        return (sumtree.replace(tree, capacity, row, value), expected), None

    start = (Tree(sumtree.empty(capacity), 0), jnp.zeros(capacity))
    tree, leaves = jax.jit(lambda: jax.lax.scan(update, start, jnp.arange(rounds))[0])()
    assert rounds * size >= 1_000_000
    np.testing.assert_array_equal(tree.nodes[1:], sumtree.build(np.asarray(leaves))[1:])


def test_what_has_no_priority_is_never_found():
    leaves = np.array([0, 1e-30, 0, 5, 0, 0, 1e30, 0, 3, 0, 0], np.float32)
    tree, total = tree_of(leaves), leaves.sum()
    mass = np.concatenate([np.linspace(0, 1, 1001) * total, [0, total, 2 * total, 1e-30, 5]])
    found = np.asarray(FIND(tree, len(leaves), np.float32(mass)))
    assert (leaves[found] > 0).all()
    single = tree_of(np.eye(11)[7])
    assert set(np.asarray(DRAW(single, 11, jax.random.key(0), 500))) == {7}


def test_a_lane_among_others_in_one_array_has_its_own_tree():
    one, other = np.float32([1, 2, 3]), np.float32([5, 0, 7])
    nodes = jnp.concatenate([tree_of(one).nodes, tree_of(other).nodes])
    second = Tree(nodes, jnp.int32(8))
    key = jax.random.key(1)
    np.testing.assert_array_equal(DRAW(second, 3, key, 50), DRAW(tree_of(other), 3, key, 50))
    changed = REPLACE(second, 3, np.array([1]), np.float32([4])).nodes
    np.testing.assert_array_equal(changed[:8], tree_of(one).nodes)
    np.testing.assert_array_equal(changed[9:], tree_of([5, 4, 7]).nodes[1:])


@pytest.mark.parametrize("exponent", [0.6, *in_all_tests(0.0, 1.0)])
def test_rows_are_drawn_in_proportion_to_a_power_of_their_error(exponent):
    batch, _ = drawn(exponent)
    counts = np.bincount(batch.reward.astype(int), minlength=4)
    share = np.arange(1, 5) ** exponent
    expected = counts.sum() * share / share.sum()
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-3
    # A wrong exponent would show.
    assert scipy.stats.chisquare(counts, counts.sum() * np.array([1, 2, 3, 5]) / 11).pvalue < 1e-6
    # In the order of the strata, so that a batch covers the whole range.
    assert (np.diff(batch.reward) >= 0).all()


def test_weights_undo_the_preference_at_the_end_of_the_schedule():
    wanted = np.float32([1, 1 / 2, 1 / 3, 1 / 4])
    batch, _ = drawn()
    np.testing.assert_allclose(batch.weight, wanted[batch.reward.astype(int)], rtol=1e-5)
    begun, _ = drawn(env_step=0)
    np.testing.assert_allclose(begun.weight, wanted[begun.reward.astype(int)] ** 0.4, rtol=1e-5)
    later, _ = drawn(env_step=5000)
    np.testing.assert_array_equal(later.weight, batch.weight)
    alike, _ = drawn(0.0)
    np.testing.assert_array_equal(alike.weight, 1.0)


def test_lap_has_a_floor_and_no_weights():
    batch, highest = drawn(1.0, (0.1, 0.5, 1.0, 2.5), sampling="lap")
    counts = np.bincount(batch.reward.astype(int), minlength=4)
    expected = counts.sum() * np.array([1, 1, 1, 2.5]) / 5.5
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-3
    np.testing.assert_array_equal(batch.weight, 1.0)
    assert highest == 2.5


def test_an_error_that_is_not_finite_does_not_spread():
    hp, tree = traced(HyperParams()), tree_of([1, 2, 3])
    errors = jnp.float32([jnp.nan, jnp.inf])
    rule = priorities.RULES["prioritized"]
    after, highest = priorities.feed_back(rule, hp, tree, jnp.float32(7), 3, jnp.arange(2), errors)
    np.testing.assert_array_equal(after.nodes[4:], [7, 7, 3, 0])
    assert float(highest) == 7


@pytest.mark.parametrize("storage", rings.STORAGES)
def test_exactly_the_rows_that_are_held_can_be_drawn(storage):
    sampler = Sampler(ReplayConfig(sampling="prioritized"), 1, None)
    rows = jax.tree.map(lambda x: x[:, 0], lanes_of(120, 1, range(1, 5)))

    def step(carry, row):
        before, state = carry
        after, state = stored(sampler, before, state, row)
        return (after, state), (after.cursor, after.size, state.priorities.nodes)

    start = (rings.empty(storage, 20, 3, 2), sampler.empty(20))
    history = jax.jit(lambda rows: jax.lax.scan(step, start, rows)[1])(rows)
    for cursor, size, nodes in zip(*host(history), strict=True):
        wanted = np.zeros(20, np.float32)
        wanted[(cursor - size + np.arange(size)) % 20] = 1.0
        np.testing.assert_array_equal(nodes[1:], sumtree.build(wanted)[1:])
    assert (host(history[1]).min() < 20) and (host(history[1])[-1] == 20) == (storage == "plain")


@functools.cache
def lane():
    """(agent, sampler, ring of 11 rows, what updates change, hyper-parameters) of one lane."""
    config = tiny("sac", {"replay.sampling": "prioritized"})
    agent, sampler, hp = agent_of(config), Sampler(config.replay, 1000, None), traced(config.hp)
    ring, state = rings.empty("plain", CAPACITY, *SIZES), sampler.empty(CAPACITY)
    for step in range(11):
        ring, state = stored(sampler, ring, state, select(make_rows(11, 1), (step, 0)))
    train = agent.init(root_key(5), hp)
    names = jax.eval_shape(lambda: agent.update(hp, train, {"train": make_batch()}, clock(1)))
    zeros = jnp.zeros(len(names[1].metrics))
    tree = Tree(state.priorities.nodes, jnp.int32(0))
    before = Learning(train, Mean(zeros, zeros), jnp.int32(-1), state.priorities.highest, tree)
    return agent, sampler, ring, before, hp


@jax.jit
def learned(before, now, count):
    agent, sampler, ring, _, hp = lane()
    rounds = Rounds((), count, ((None, 1),), ())
    return learn(agent, sampler, hp, ring, SamplerState(), before, now, rounds)


def test_updates_set_the_priorities_of_what_they_saw_and_new_rows_get_the_highest():
    agent, sampler, ring, before, hp = lane()
    np.testing.assert_array_equal(
        sumtree.leaf(before.tree, CAPACITY, jnp.arange(12)), [1.0] * 11 + [0.0]
    )
    now = clock(11, 7)
    drawn = jax.jit(sampler.draw)(hp, ring, SamplerState(), before.tree, root_key(5), now)
    errors = jax.jit(agent.update)(hp, before.train, drawn.batches, now)[1].td_error
    wanted = np.ones(11)
    seen = np.unique(drawn.row)
    for row in seen:
        wanted[row] = (np.max(errors[drawn.row == row]) + 1e-6) ** 0.6
    assert 1 < len(seen) < 11
    after = learned(before, now, 1)
    found = sumtree.leaf(after.tree, CAPACITY, jnp.arange(11))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    np.testing.assert_array_equal(np.delete(found, seen), 1.0)
    assert float(after.highest) == max(1.0, found.max()) > 1.0
    state = SamplerState(Priorities(after.tree.nodes, after.highest))
    more = stored(sampler, ring, state, select(make_rows(1, 1), (0, 0)))[1]
    assert float(sumtree.leaf(Tree(more.priorities.nodes, 0), CAPACITY, 11)) == after.highest


def test_a_scan_equals_its_updates_in_parts_bit_for_bit():
    before = lane()[3]
    whole = learned(before, clock(11), 4)
    parts = learned(learned(before, clock(11), 1), clock(11, 1, 1), 3)
    assert_identical(whole, parts)
    assert len(changed(before, whole)) > 10


def test_a_ring_that_was_away_has_the_same_tree_though_it_may_be_larger():
    leaves = np.random.default_rng(0).exponential(size=(2, 11)).astype(np.float32)
    one, larger = (priorities.refill(capacity, leaves, 6) for capacity in (11, 40))
    np.testing.assert_array_equal(one, sumtree.build(np.roll(leaves, 6, axis=1)))
    # The rows are at other places, since their number is taken modulo the capacity.
    np.testing.assert_array_equal(larger[:, 64 + 6 : 64 + 17], leaves)
    assert (np.delete(larger[:, 64:], np.arange(6, 17), axis=1) == 0).all()


def test_the_huber_loss_of_lap_is_linear_beyond_one():
    delta = jnp.float32([-3.0, -1.0, 0.5, 1.0, 2.0])
    np.testing.assert_allclose(LOSSES["huber"](delta), [2.5, 0.5, 0.125, 0.5, 1.5])
    slope = jax.vmap(jax.grad(LOSSES["huber"]))(delta)
    np.testing.assert_allclose(slope, [-1.0, -1.0, 0.5, 1.0, 1.0])
    kind = value_kind(CriticConfig(loss="huber"), traced(HyperParams()))
    outputs, target = jnp.float32([[[1.0], [4.0]]]), Returns(jnp.float32([[1.5], [1.0]]), None)
    np.testing.assert_allclose(kind.loss(outputs, target), [[0.125, 2.5]])

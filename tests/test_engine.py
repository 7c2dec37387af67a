"""Lanes together as lanes alone, scans as single updates, and nothing compiled twice."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from helpers import (
    BATCH_SIZE,
    OBSERVATION_SIZE,
    Compilations,
    act,
    assert_close,
    assert_identical,
    changed,
    clock,
    engine_of,
    fill,
    host,
    make_rows,
    new_engine,
    select,
    tiny,
    train,
)
from rr_scale.placement import Placement, placed
from rr_scale.rng import Stream, root_key, stream_key
from rr_scale.rounds import rounds_of

SEEDS = [3, 11, 4]
WARM_UP = 10
ROWS = make_rows(WARM_UP + 10, 3)
# Clipping, so that a norm over the lanes would show.
CONFIG = tiny("sac", {"hp.actor_max_grad_norm": 0.05, "hp.critic_max_grad_norm": 0.5})


def lane_of(rows, lane):
    """Rows [T, S, ...] of one lane as rows [T, 1, ...]."""
    return jax.tree.map(lambda x: x[:, lane : lane + 1], rows)


def warmed(engine, seeds, rows=ROWS):
    return fill(engine, engine.init(seeds), select(rows, slice(WARM_UP)))


@functools.cache
def trained_together():
    """Three lanes after 50 updates, five per step."""
    engine = engine_of(CONFIG, 3)
    return host(train(engine, warmed(engine, SEEDS), select(ROWS, slice(WARM_UP, None)), 5))


@pytest.mark.parametrize("lane", range(3))
def test_a_lane_among_others_learns_what_it_would_learn_alone(lane):
    engine = engine_of(CONFIG, 1)
    rows = lane_of(ROWS, lane)
    alone = warmed(engine, [SEEDS[lane]], rows)
    assert_identical(
        select(host(engine_of(CONFIG, 3).init(SEEDS).train.root), lane),
        select(host(alone.train.root), 0),
    )
    alone = host(train(engine, alone, select(rows, slice(WARM_UP, None)), 5))
    together = trained_together()
    assert_identical(select(alone.replay, 0), select(together.replay, lane))
    assert_close(select(alone.train, 0), select(together.train, lane), 1e-4)
    assert_close(select(alone.metrics, 0), select(together.metrics, lane), 1e-3)


def test_warm_up_actions_are_those_of_the_lane_alone_and_differ_between_seeds():
    together, alone = engine_of(CONFIG, 3), engine_of(CONFIG, 1)
    observation = ROWS.observation[0]
    for env_step in (0, 1, 500):
        actions, _ = act(together, together.init(SEEDS), observation, clock(env_step), "warmup")
        for lane, seed in enumerate(SEEDS):
            single, _ = act(
                alone, alone.init([seed]), observation[lane : lane + 1], clock(env_step), "warmup"
            )
            np.testing.assert_array_equal(single[0], actions[lane])
        assert len(np.unique(actions.ravel())) == actions.size


def drawn(seed, update, size):
    """Ages of the rows that a lane draws for one update."""
    key = stream_key(root_key(seed), Stream.REPLAY, update)
    return np.asarray(jax.random.randint(key, (BATCH_SIZE,), 0, size))


@pytest.mark.parametrize("lanes", [[0], [0, 1, 2]])
def test_every_lane_draws_its_own_rows_whoever_is_beside_it(lanes):
    # Without a future the regression target is the reward, so that its mean
    # tells which rows were drawn.
    hp = dataclasses.replace(CONFIG.hp, discount=0.0)
    engine = engine_of(CONFIG, [hp] * len(lanes))
    rows = jax.tree.map(lambda x: x[:, lanes], ROWS)
    state = warmed(engine, [SEEDS[lane] for lane in lanes], rows)
    for update in (0, 1, 2):
        one = select(rows, slice(WARM_UP + update, WARM_UP + update + 1))
        state = train(engine, state, one, 1, update)
        means, state = engine.read_metrics(state)
        ages = [drawn(SEEDS[lane], update, WARM_UP + update + 1) for lane in lanes]
        assert len({tuple(age) for age in ages}) == len(lanes)
        expected = [ROWS.reward[age, lane].mean() for age, lane in zip(ages, lanes, strict=True)]
        np.testing.assert_allclose(means["train/target_q_mean"], expected, rtol=1e-5, atol=1e-6)


def in_chunks(chunks):
    """Two lanes after one step whose updates were done in these chunks."""
    engine = engine_of(tiny("td3"), 2)
    rows = jax.tree.map(lambda x: x[:, :2], ROWS)
    state = warmed(engine, SEEDS[:2], rows)
    ring, update = host(state.replay), 0
    for size in chunks:
        # The same row again into the ring before it: storing is part of a step.
        state = state._replace(replay=jax.tree.map(jax.numpy.array, ring))
        state = engine.step(state, select(rows, WARM_UP), clock(11, update, update), size)
        update += size
    return host(state)


def test_a_scan_equals_its_updates_one_by_one_bit_for_bit():
    whole = in_chunks([5])
    assert_identical(whole, in_chunks([1, 1, 1, 1, 1]))
    assert_identical(whole, in_chunks([2, 1, 2]))


class Accelerated(Placement):
    """A CPU that is treated like an accelerator."""

    __slots__ = ()
    platform = "gpu"


@pytest.mark.parametrize("delay", [2, 3])
def test_programs_that_know_the_delayed_updates_do_what_those_that_ask_the_clock_do(delay):
    config = tiny("td3", {"agent.actor_delay": delay, "agent.target_delay": delay})
    rows = jax.tree.map(lambda x: x[:, :2], ROWS)
    late = select(rows, slice(WARM_UP, None))

    def trained(engine):
        # From every phase: whole rounds, beginnings and ends of rounds, one update alone.
        state, update = warmed(engine, SEEDS[:2], rows), 0
        for step, size in enumerate([2 * delay, 1, 1, 3 * delay + 1, 1]):
            state = train(engine, state, select(late, slice(step, step + 1)), size, update)
            update += size
        return host(state)

    knowing = new_engine(config, [config.hp] * 2, placement=Accelerated(*placed(2)))
    known, asked = trained(knowing), trained(engine_of(config, 2))
    assert_close(known.train, asked.train, 1e-4)
    assert_close(known.metrics, asked.metrics, 1e-3)
    np.testing.assert_array_equal(known.metrics.terms, asked.metrics.terms)
    assert 0 < known.metrics.terms.min() < known.metrics.terms.max()


@pytest.mark.parametrize("stretches", [((0, 1),), ((0, 1), (1, 1)), ((0, 1), (1, 2)), ()])
@pytest.mark.parametrize("known", [False, True])
def test_rounds_do_as_many_updates_as_were_asked_for_each_in_its_phase(stretches, known):
    phase_of = [phase for phase, length in stretches for _ in range(length)]
    for first, num_updates in itertools.product(range(4), range(9)):
        rounds = rounds_of(stretches, first, num_updates, known)
        phases = [*rounds.before, *rounds.stretches * rounds.count, *rounds.after]
        phases = [phase for phase, length in phases for _ in range(length)]
        assert rounds.total == len(phases) == num_updates
        if known and stretches:
            expected = [phase_of[(first + k) % len(phase_of)] for k in range(num_updates)]
            assert phases == expected
        else:
            assert phases == [None] * num_updates


def test_a_delay_that_would_take_many_programs_is_left_to_the_clock():
    stretches = ((0, 1), (1, 19))
    assert rounds_of(stretches, 0, 20, True).stretches == stretches
    assert rounds_of(stretches, 0, 32, True).stretches == ((None, 1),)


def test_reading_metrics_changes_nothing():
    engine = engine_of(tiny("td3"), 2)
    rows = jax.tree.map(lambda x: x[:, :2], ROWS)
    silent = train(engine, warmed(engine, SEEDS[:2], rows), select(rows, slice(WARM_UP, None)), 1)
    state = warmed(engine, SEEDS[:2], rows)
    for step in range(10):
        one = select(rows, slice(WARM_UP + step, WARM_UP + step + 1))
        state = train(engine, state, one, 1, step)
        _, state = engine.read_metrics(state)
        engine.evaluate(engine.policy(state), np.zeros((2, 4, OBSERVATION_SIZE), np.float32))
        engine.finite(state)
    assert_identical(silent._replace(metrics={}), state._replace(metrics={}))
    assert np.all(host(state.metrics).terms == 0)


def test_metrics_are_means_over_the_updates_that_computed_them():
    engine = engine_of(tiny("td3"), 2)
    rows = jax.tree.map(lambda x: x[:, :2], ROWS)
    warm, step = host(warmed(engine, SEEDS[:2], rows)), select(rows, WARM_UP)
    single, state = [], jax.tree.map(jax.numpy.array, warm._replace(train=None))
    state = state._replace(train=engine.init(SEEDS[:2]).train)
    for update in range(5):
        state = state._replace(replay=jax.tree.map(jax.numpy.array, warm.replay))
        state = engine.step(state, step, clock(11, update, update), 1)
        means, state = engine.read_metrics(state)
        single.append(means)
    whole, _ = engine.read_metrics(in_chunks([5]))
    for name, mean in whole.items():
        computed = [update for update in range(5) if name in single[update]]
        # The actor moves on updates 0, 2 and 4 only; the others say nothing of it.
        assert computed == (
            [0, 2, 4] if name in ("train/actor_loss", "train/entropy") else [*range(5)]
        )
        values = np.array([single[update][name] for update in computed])
        np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-5, atol=1e-7, err_msg=name)


def test_a_poisoned_lane_is_dated_and_leaves_the_others_alone():
    engine = engine_of(CONFIG, 3)
    late = select(ROWS, slice(WARM_UP, None))
    reward = ROWS.reward.copy()
    reward[5, 1] = np.nan
    state = warmed(engine, SEEDS, ROWS._replace(reward=reward))
    assert engine.finite(state).tolist() == [True] * 3
    state = host(train(engine, state, late, 5))
    sizes = [WARM_UP + 1 + update // 5 for update in range(50)]
    hit = [5 in drawn(SEEDS[1], update, size) for update, size in enumerate(sizes)]
    assert hit.index(True) > 0, "the example should not be poisoned from the start"
    assert state.first_bad.tolist() == [-1, hit.index(True), -1]
    assert engine.finite(state).tolist() == [True, False, True]
    others = np.array([0, 2])
    assert_identical(select(state.train, others), select(trained_together().train, others))
    assert_identical(select(state.metrics, others), select(trained_together().metrics, others))


def test_programs_are_compiled_once_per_scan_length_and_mode():
    engine = new_engine(tiny("ddpg"), [tiny("ddpg").hp] * 2)
    rows = jax.tree.map(lambda x: x[:, :2], ROWS)
    episodes = np.zeros((2, 4, OBSERVATION_SIZE), np.float32)

    def work(state, env_step):
        for updates in (0, 2, 3):
            for mode in ("warmup", "explore"):
                action, state = act(engine, state, rows.observation[0], clock(env_step), mode)
            transition = select(rows, env_step % 20)._replace(action=action)
            state = engine.step(state, transition, clock(env_step, env_step, 0), updates)
        engine.evaluate(engine.policy(state), episodes)
        engine.finite(state)
        engine.reader.rows(state, 0, 1)()
        return engine.read_metrics(state)[1]

    counter = Compilations()
    state = work(engine.init([0, 1]), 1)
    assert counter.count > 5, "the counter does not count"
    state = work(state, 2)
    programs = {"_init": 1, "_act": 2, "_step": 3, "_evaluate": 1, "_reset": 0}
    assert {name: getattr(engine, name)._cache_size() for name in programs} == programs
    settled = counter.count
    for env_step in range(3, 8):
        state = work(state, env_step)
    assert counter.count == settled
    counter.stop()
    assert {name: getattr(engine, name)._cache_size() for name in programs} == programs


def test_seeds_do_not_share_their_initial_weights():
    engine = engine_of(CONFIG, 3)
    state = engine.init([7, 7, 8])
    same = changed(select(state.train, 0), select(state.train, 1))
    other = changed(select(state.train, 0), select(state.train, 2))
    assert not same
    assert any("kernel" in path for path in other)


INITIALISE = """
from rr_scale.agents.build import make_agent
from rr_scale.engine import Engine
from rr_scale.presets import preset
config = preset("sr_sac")
engine = Engine(make_agent(config, 17, 6), [config.hp] * 10, config.replay, 10, 17, 6)
state = engine.init(list(range(10)))
print(engine.finite(state).sum())
"""


@pytest.mark.timeout(150)
def test_ten_lanes_of_full_size_initialise_on_two_threads():
    # A batched QR deadlocks here: it never ends, whatever the limit.
    environment = {**os.environ, "NPROC": "2"}
    result = subprocess.run(
        [sys.executable, "-c", INITIALISE],
        cwd=Path(__file__).parents[1],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.stdout.strip() == "10", result.stderr

"""Targets of ensembles: random subsets, learned pessimism, scaled rewards, several samples."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import (
    BATCH_SIZE,
    CAPACITY,
    agent_of,
    assert_close,
    assert_identical,
    clock,
    engine_of,
    fill,
    make_batch,
    make_rows,
    parts_of,
    select,
    tiny,
    traced,
    train,
)
from rr_scale.agents.steps import Given, draw_keys, td_target
from rr_scale.core.values import mean_return
from rr_scale.normalize import init_reward_scale, scale_reward, update_reward_scale
from rr_scale.rng import Stream, root_key, stream_key

ORDER = ("critic", "pessimism", "target", "actor", "temperature")
PESSIMISTIC = {
    "agent.critic.target_ensemble": "pessimistic",
    "agent.actor.objective_ensemble": "pessimistic",
    "agent.update_order": ORDER,
    "hp.pessimism_lr": 0.01,
}


def test_one_subset_of_the_critics_serves_a_whole_update():
    config = tiny(
        "sac",
        {
            "agent.critic.ensemble_size": 10,
            "agent.critic.target_subset": 2,
            "agent.temperature": "none",
            "agent.update_order": ("critic", "target", "actor"),
        },
    )
    parts, hp, root = parts_of(config), traced(config.hp), root_key(1)
    outputs = jnp.float32(np.random.default_rng(0).normal(size=(10, BATCH_SIZE, 1)))
    batch, pairs = make_batch(), set()

    @jax.jit
    def target(update):
        given = Given(hp, batch, clock(0), draw_keys(parts, root, update))
        return td_target(parts, given, None, batch, outputs, jnp.zeros(BATCH_SIZE)).points[:, 0]

    for update in range(6):
        found = np.asarray(target(update))
        order = jax.random.permutation(stream_key(root, Stream.SUBSET, update), 10)
        pair = np.asarray(order[:2])
        value = np.asarray(outputs)[pair, :, 0].min(axis=0)
        np.testing.assert_allclose(found, batch.reward + batch.discount * value, atol=1e-6)
        pairs.add(tuple(sorted(pair.tolist())))
    assert len(pairs) > 1


def updated(config, batches, hp=None, state=None):
    agent = agent_of(config)
    hp = traced(config.hp) if hp is None else hp
    state = agent.init(root_key(0), hp) if state is None else state
    return jax.jit(agent.update)(hp, state, batches, clock(9))


def test_pessimism_learned_in_training_follows_the_batch_it_was_given():
    config = tiny("sac", {**PESSIMISTIC, "agent.pessimism": "gpl"})
    after, feedback = updated(config, {"train": make_batch()})
    error = float(feedback.metrics["train/pessimism_error"].total)
    means = {name: float(mean.total) for name, mean in feedback.metrics.items()}
    expected = means["train/q_mean"] - means["train/target_q_mean"]
    np.testing.assert_allclose(error, expected, rtol=1e-5)
    # Adam's first step is the step size, against the sign of the gradient.
    moved = float(after.duals["pessimism"].params) - config.hp.pessimism
    np.testing.assert_allclose(moved, -0.01 * np.sign(error), rtol=1e-3)
    np.testing.assert_allclose(means["train/pessimism"], config.hp.pessimism)


def test_pessimism_learned_in_validation_reads_that_batch_and_no_other_part_does():
    config = tiny("sac", {**PESSIMISTIC, "agent.pessimism": "vpl"})
    agent, hp = agent_of(config), traced(config.hp)
    state, update = agent.init(root_key(0), hp), jax.jit(agent.update)
    training = make_batch()

    def after(validation):
        batches = {"train": training, "validation": validation}
        return update(hp, state, batches, clock(9))

    one, first = after(make_batch(1))
    high = make_batch(1)._replace(reward=jnp.full(BATCH_SIZE, 100.0))
    two, second = after(high)
    # Targets far above the predictions: more pessimism.
    assert float(second.metrics["train/pessimism_error"].total) < -50
    assert float(two.duals["pessimism"].params) > config.hp.pessimism
    # The actor that follows already sees the new pessimism; the critics do not.
    assert_identical(one.critic, two.critic)
    np.testing.assert_array_equal(first.td_error, second.td_error)
    # Nothing to validate with yet: weights of zero leave the pessimism alone, and its optimiser.
    none, _ = after(high._replace(weight=jnp.zeros(BATCH_SIZE)))
    assert_identical(none.duals["pessimism"], state.duals["pessimism"])


def test_the_bandit_chooses_between_the_mean_and_the_configured_pessimism():
    config = tiny("sac", {"agent.pessimism": "top", "agent.critic.target_ensemble": "pessimistic"})
    parts, agent, hp = parts_of(config), agent_of(config), traced(config.hp)
    state = jax.eval_shape(agent.init, root_key(0), hp)
    bandit = state.normalizers["bandit"]
    outputs = np.float32([[[1.0]], [[5.0]]])
    for arm, expected in ((0, 3.0), (1, 1.0)):
        chosen = state._replace(normalizers={"bandit": bandit._replace(arm=jnp.int32(arm))})
        value = parts.value.next_value(hp, chosen, outputs, None)
        np.testing.assert_allclose(mean_return(value), [expected])


def test_rewards_are_scaled_when_they_are_drawn():
    config = tiny(
        "sac",
        {
            "agent.reward_scale": "return_std",
            "agent.temperature": "none",
            "agent.update_order": ("critic", "target", "actor"),
        },
    )
    agent, hp = agent_of(config), traced(config.hp)
    state = agent.init(root_key(0), hp)
    scale = init_reward_scale()
    for reward in (1.0, -4.0, 2.5):
        scale = update_reward_scale(scale, jnp.float32(reward), hp.discount, False)
    state = state._replace(normalizers={"reward": scale})
    batch = make_batch()._replace(discount=jnp.zeros(BATCH_SIZE))
    after, feedback = updated(config, {"train": batch}, hp, state)
    expected = np.mean(scale_reward("return_std", scale, hp.v_max, batch.reward))
    assert abs(expected - np.mean(batch.reward)) > 0.01
    np.testing.assert_allclose(
        feedback.metrics["train/target_q_mean"].total, expected, rtol=1e-4, atol=1e-6
    )
    assert_identical(after.normalizers, state.normalizers)


def test_several_samples_of_a_policy_without_noise_are_one():
    one, three = (
        updated(tiny("ddpg", {"agent.actor.num_samples": count}), {"train": make_batch()})[0]
        for count in (1, 3)
    )
    assert_close(one.actor.params, three.actor.params, 1e-5)


@pytest.mark.slow
def test_pessimism_rests_until_validation_has_a_batch():
    engine = engine_of(tiny("vpl", {"replay.validation_share": 0.5}), 1)
    rows = make_rows(CAPACITY, 1)
    # Two steps per episode, so that both lists fill.
    ended = np.arange(CAPACITY)[:, None] % 2 == 1
    rows = rows._replace(terminated=ended, truncated=np.zeros_like(ended))
    state = fill(engine, engine.init([0]), select(rows, slice(4)))
    state = train(engine, state, select(rows, slice(4, 5)), 3)
    start = tiny("vpl").hp.pessimism
    assert float(state.train.duals["pessimism"].params[0]) == start
    state = fill(engine, state, select(rows, slice(5, CAPACITY - 1)))
    state = train(engine, state, select(rows, slice(CAPACITY - 1, CAPACITY)), 3, update=3)
    assert float(state.train.duals["pessimism"].params[0]) != start

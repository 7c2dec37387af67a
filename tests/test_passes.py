"""Joint and separate passes, running statistics, dropout and targets in whole agents."""

from __future__ import annotations

import functools

import jax
import numpy as np
import pytest

from helpers import (
    ACTION_SIZE,
    BATCH_SIZE,
    OBSERVATION_SIZE,
    agent_of,
    assert_close,
    assert_identical,
    changed,
    clock,
    make_batch,
    named,
    tiny,
    traced,
)
from rr_scale.agents.ingredients import build_ingredients
from rr_scale.agents.steps import Given, draw_keys
from rr_scale.agents.update import STEPS
from rr_scale.config import ResetRule
from rr_scale.errors import UserError
from rr_scale.rng import root_key
from rr_scale.validation import validate

CRITIC, ACTOR = "agent.critic.network.", "agent.actor.network."
BATCH_NORM = {CRITIC + "normalization": "batch_norm", ACTOR + "normalization": "batch_norm"}
NO_TARGET = {
    "agent.critic.target_network": "none",
    "agent.update_order": ("critic", "actor", "temperature"),
}


@functools.cache
def state_at_start(values):
    """A lane of `sac` with other settings before its first update."""
    config = tiny("sac", dict(values))
    return jax.jit(agent_of(config).init)(root_key(0), traced(config.hp))


def start(values, base=None):
    """(parts, what an update is given, state) of `sac` with other settings.

    The state is that of `base`, where that has the same networks: one compilation less.
    """
    config, now = tiny("sac", values), clock(10, 3)
    parts = build_ingredients(config, OBSERVATION_SIZE, ACTION_SIZE, 100)
    state = state_at_start(tuple((values if base is None else base).items()))
    keys = draw_keys(parts, state.root, now.update)
    return parts, Given(traced(config.hp), make_batch(), now, keys), state


def take(step, values, state=None, base=None):
    """(state before, state after, scalars) of one step of an update."""
    parts, given, first = start(values, base)
    state = first if state is None else state
    after, scalars = jax.jit(functools.partial(STEPS[step], parts))(given, state, {})
    return state, after, scalars


def outputs(base, **settings):
    """Critics' outputs at (s, a) and (s', a'), from one pass or two."""
    parts, given, state = start(base | settings, base)
    batch = given.batch

    @jax.jit
    def both(critic):
        action = -batch.action
        q, next_q, stats = parts.passes.online(critic.params, critic, batch, action, None)
        if parts.passes.target is not None:
            next_q = parts.passes.target(critic, batch, action, None)
        return q, next_q, stats

    return both(state.critic)


def test_a_joint_pass_differs_from_two_where_the_batch_normalises():
    joint = outputs(BATCH_NORM)
    separate = outputs(BATCH_NORM, **{"agent.critic.next_pass": "separate"})
    for one, two in zip(joint[:2], separate[:2], strict=True):
        assert one.shape == two.shape == (2, BATCH_SIZE, 1)
        assert np.abs(one - two).max() > 1e-2
    assert changed(joint[2], separate[2])
    # The slow copies start as copies, and see the same two halves.
    without = outputs(BATCH_NORM, **NO_TARGET)
    np.testing.assert_allclose(without[1], joint[1], atol=1e-5)


def test_a_joint_pass_is_two_passes_where_it_does_not():
    joint, separate = outputs({}, **{"agent.critic.next_pass": "joint"}), outputs({})
    for one, two in zip(joint[:2], separate[:2], strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_without_a_target_network_the_critics_are_their_own():
    values = NO_TARGET | {"agent.critic.next_pass": "joint"}
    config = tiny("sac", values)
    shapes = jax.eval_shape(agent_of(config).init, root_key(0), traced(config.hp))
    assert shapes.critic.target is None
    scalars = take("critic", values, base={})[2]
    # At the start a slow copy says what the critics say.
    assert_close(scalars, take("critic", {})[2], 1e-4)


def test_steps_keep_the_statistics_of_what_they_train_and_no_others():
    state, after, _ = take("critic", BATCH_NORM)
    assert changed(state.critic.stats, after.critic.stats) == set(named(state.critic.stats))
    assert_identical(state.actor, after.actor)
    assert_identical(state.critic.target_stats, after.critic.target_stats)
    _, later, _ = take("actor", BATCH_NORM, after)
    assert_identical(later.critic, after.critic)
    assert changed(later.actor.stats, after.actor.stats) == set(named(after.actor.stats))
    _, last, _ = take("target", BATCH_NORM, later)
    expected = jax.tree.map(
        lambda slow, fast: fast if fast.dtype == np.int32 else slow + 0.005 * (fast - slow),
        later.critic.target_stats,
        later.critic.stats,
    )
    assert_close(last.critic.target_stats, expected, 1e-6)


def test_acting_uses_running_statistics():
    parts, _, state = start(BATCH_NORM)
    policy, (params, stats) = parts.policy, state.actor[0:4:3]
    observations = np.random.default_rng(0).normal(size=(4, OBSERVATION_SIZE)).astype(np.float32)
    together = policy.mode(params, stats, observations)
    alone = policy.mode(params, stats, observations[1])
    np.testing.assert_allclose(together[1], alone, atol=1e-6)
    moved = jax.tree.map(lambda leaf: leaf + 1, stats)
    assert np.abs(policy.mode(params, moved, observations) - together).max() > 1e-3


def test_every_pass_draws_its_own_dropout():
    parts, given, _ = start({CRITIC + "dropout": 0.3, ACTOR + "dropout": 0.3}, base={})
    keys = [jax.random.key_data(key).tolist() for key in given.keys if key is not None]
    assert len({tuple(key) for key in keys}) == len(keys)
    names = ("target_dropout", "critic_dropout", "objective_dropout", "actor_dropout")
    assert all(getattr(given.keys, name) is not None for name in names)
    parts, given, _ = start({})
    assert all(getattr(given.keys, name) is None for name in names)


def test_hard_targets_are_copies():
    values = {"agent.critic.target_network": "hard"}
    state = start(values, base={})[2]
    moved = jax.tree.map(lambda leaf: leaf + 1, state.critic.params)
    state = state._replace(critic=state.critic._replace(params=moved))
    _, after, _ = take("target", values, state, base={})
    assert_identical(after.critic.params, after.critic.target)


def test_resets_renew_statistics():
    rules = (ResetRule(), ResetRule(what="last_layers"), ResetRule(how="shrink_perturb"))
    config = tiny("sac", BATCH_NORM | {"resets": rules})
    agent, hp = agent_of(config), traced(config.hp)
    fresh = start(BATCH_NORM)[2]
    used = jax.tree.map(lambda leaf: leaf + 1, fresh.critic.stats)
    critic = fresh.critic._replace(stats=used, target_stats=used)
    state = fresh._replace(critic=critic)
    reset = jax.jit(lambda: [agent.reset(hp, state, rule, 0).critic for rule in range(3)])
    for after, kept in zip(reset(), (False, True, False), strict=True):
        expected = used if kept else fresh.critic.stats
        assert_identical(after.stats, expected)
        assert_identical(after.target_stats, expected)


WRONG = [
    (NO_TARGET, ("target_network=none", "next_pass")),
    (BATCH_NORM | {"agent.critic.target_network": "none"}, ("update_order", "target_network")),
    ({CRITIC + "dropout": 1.0}, ("agent.critic.network.dropout must be below 1",)),
    ({ACTOR + "trunk": "simba", ACTOR + "hidden": (8, 9)}, ("network.hidden", "network.trunk")),
    ({ACTOR + "trunk": "simba_v2", ACTOR + "kernel": "unit_norm"}, ("network.kernel", "trunk")),
    (
        {"agent.explorer.kind": "optimistic", "agent.explorer.network.dropout": 1.0},
        ("agent.explorer.network.dropout",),
    ),
    ({CRITIC + "normalize_input": True}, ("normalize_input", "normalization")),
    ({CRITIC + "kernel": "spectral_norm"}, ("network.kernel", "network.hidden")),
    (
        {CRITIC + "trunk": "bronet", CRITIC + "normalize_after_activation": True},
        ("normalize_after_activation", "network.trunk"),
    ),
]


@pytest.mark.parametrize(("values", "words"), WRONG)
def test_what_does_not_go_together_is_refused_by_both_names(values, words):
    with pytest.raises(UserError) as caught:
        validate(tiny("sac", values))
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_what_goes_together_is_not_refused():
    validate(tiny("sac", BATCH_NORM | NO_TARGET))
    validate(tiny("sac", NO_TARGET | {"agent.critic.next_pass": "joint"}))

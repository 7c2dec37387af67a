"""Recycling dormant units: which begin anew, what becomes 0, and that nothing else moves."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import (
    agent_of,
    assert_identical,
    changed,
    make_batch,
    named,
    parts_of,
    tiny,
    traced,
)
from rr_scale.agents.recycle import dormant
from rr_scale.config import ResetRule
from rr_scale.errors import UserError
from rr_scale.rng import root_key

RULES = {
    "recycle": ResetRule(how="recycle"),
    "new": ResetRule(),
    "critic's second layer": ResetRule(what="critic", how="recycle", layers=("hidden_1",)),
    "first layers": ResetRule(layers=("hidden_0",)),
}
CONFIG = tiny(
    "sac",
    {
        "resets": tuple(RULES.values()),
        "agent.actor.network.hidden": (16, 16),
        "agent.critic.network.hidden": (16, 16),
    },
)
# (network, layer) -> units that are dead, of both critics; the others are all alive.
DEAD = {
    ("critic", 0): ((3, 7), (5,)),
    ("critic", 1): ((2,), (2, 9)),
    ("actor", 0): ((1,),),
    ("actor", 1): ((0, 4),),
}
NONE = {place: ((),) * len(units) for place, units in DEAD.items()}


def masks(dead):
    """The same as arrays: [members, 16] bool, without an axis of members for the actor."""
    found = {}
    for place, members in dead.items():
        mask = np.zeros((len(members), 16), bool)
        for member, units in enumerate(members):
            mask[member, list(units)] = True
        found[place] = mask[0] if place[0] == "actor" else mask
    return found


def with_dead(train, dead):
    """Networks in which exactly these units are dead on any batch, with moments that are not 0."""
    for (part, layer), mask in masks(dead).items():
        learner = getattr(train, part)
        bias = jnp.where(mask, -1e6, 50.0 * 20**layer)

        def silenced(path, leaf, layer=layer, bias=bias):
            if f"['Dense_{layer}']['bias']" not in jax.tree_util.keystr(path):
                return leaf
            # Lanes in front, if there are any.
            return jnp.broadcast_to(bias, leaf.shape)

        params = jax.tree_util.tree_map_with_path(silenced, learner.params)
        target = learner.target and jax.tree_util.tree_map_with_path(silenced, learner.target)
        moments = jax.tree.map(lambda leaf: jnp.full_like(leaf, 7), learner.opt_state)
        new = learner._replace(params=params, target=target, opt_state=moments)
        train = train._replace(**{part: new})
    return train


@functools.cache
def agent():
    """(state -> state with dead units, compiled reset by name of the rule)."""
    functions, hp = agent_of(CONFIG), traced(CONFIG.hp)
    fresh = jax.jit(functions.init)(root_key(0), hp)
    batch = make_batch(3)
    program = jax.jit(
        lambda state, rule, firing: functions.reset(hp, state, rule, firing, lambda: batch),
        static_argnums=1,
    )

    def reset(state, rule, firing=0):
        return program(state, list(RULES).index(rule), np.int32(firing))

    return fresh, reset


def expected(name, leaf, fresh, mask):
    """What a leaf of a two-layer network is to become, in NumPy; `mask` by layer."""
    for layer, reader in ((0, "['Dense_1']['kernel']"), (1, "head")):
        heads = ("['value']['kernel']", "['mean']['kernel']", "['log_sigma']['kernel']")
        if any(end in name for end in (heads if reader == "head" else (reader,))):
            leaf = np.where(mask[layer][..., :, None], 0, leaf)
    for layer in (0, 1):
        if f"['Dense_{layer}']['kernel']" in name:
            leaf = np.where(mask[layer][..., None, :], fresh, leaf)
        elif f"['Dense_{layer}']['bias']" in name:
            leaf = np.where(mask[layer], fresh, leaf)
    return leaf


@pytest.mark.parametrize("rule", ["recycle", "critic's second layer"])
def test_dead_units_begin_anew_and_nothing_else_moves(rule):
    fresh, reset = agent()
    before = with_dead(fresh, DEAD)
    after, new = reset(before, rule), reset(before, "new")
    unchanged = set(before._fields) - {"actor", "critic"}
    touched = ["critic"] if "critic" in rule else ["actor", "critic"]
    for field in unchanged | ({"actor"} - set(touched)):
        assert_identical(getattr(after, field), getattr(before, field))
    for part in touched:
        mask = {layer: masks(DEAD)[part, layer] for layer in (0, 1)}
        if rule != "recycle":
            mask[0] = np.zeros_like(mask[0])
        old, now, drawn = (named(getattr(tree, part)) for tree in (before, after, new))
        for name, leaf in now.items():
            want = expected(name, old[name], drawn[name], mask)
            np.testing.assert_array_equal(leaf, want, err_msg=part + name)
        moved = changed(getattr(before, part), getattr(after, part))
        assert any("nu" in name for name in moved) and any("kernel" in name for name in moved)
        assert any("target" in name for name in moved) == (part == "critic")


def test_dead_units_can_go_without_the_outputs_noticing():
    fresh, reset = agent()
    before, batch, parts = with_dead(fresh, DEAD), make_batch(3), parts_of(CONFIG)
    after = reset(before, "recycle")

    @jax.jit
    def outputs(state):
        actor, critic = state.actor, state.critic
        policy = parts.policy.apply(actor.params, {}, batch.observation, None, False)[0]
        given = batch.observation, batch.action, None, False
        return policy, [
            parts.critic.apply(params, {}, *given)[0] for params in (critic.params, critic.target)
        ]

    assert_identical(outputs(before), outputs(after))
    hidden = parts.critic.watch(after.critic.params, {}, batch.observation, batch.action).hidden
    assert any(np.asarray(hidden["hidden_0"])[0, :, unit].any() for unit in (3, 7))


def test_a_live_network_stays_as_it_is():
    fresh, reset = agent()
    alive = with_dead(fresh, NONE)
    assert_identical(reset(alive, "recycle"), alive)


def test_weights_are_new_at_every_firing():
    fresh, reset = agent()
    dead = with_dead(fresh, DEAD)
    first, again, second = (reset(dead, "recycle", firing) for firing in (0, 0, 1))
    assert_identical(first, again)
    kernels = [tree.critic.params["trunk"]["Dense_0"]["kernel"][0] for tree in (first, second)]
    assert not np.isclose(*(kernel[:, 3] for kernel in kernels)).any()
    np.testing.assert_array_equal(*(np.delete(kernel, (3, 7), axis=1) for kernel in kernels))


def test_networks_that_are_dead_as_a_whole_live_again():
    fresh, reset = agent()
    everything = {place: (tuple(range(16)),) * len(units) for place, units in DEAD.items()}
    critic = reset(with_dead(fresh, everything), "recycle").critic
    batch = make_batch(3)
    seen = parts_of(CONFIG).critic.watch(critic.params, {}, batch.observation, batch.action)
    for activation in seen.hidden.values():
        assert np.asarray(activation).any(axis=(1, 2)).all()


def test_rules_for_layers_renew_them_and_nothing_else():
    fresh, reset = agent()
    before = with_dead(fresh, DEAD)
    after, new = (reset(before, rule) for rule in ("first layers", "new"))
    assert_identical(after.duals, before.duals)
    for part in ("actor", "critic"):
        old, now, drawn = (named(getattr(tree, part)) for tree in (before, after, new))
        for name in now:
            source = drawn if "['Dense_0']" in name else old
            np.testing.assert_array_equal(now[name], source[name], err_msg=part + name)


def test_scores_are_those_of_the_papers():
    activation = np.random.default_rng(0).normal(size=(2, 8, 16))
    activation[0, :, 3] = 0.0
    activation[1] *= np.linspace(0.0, 1.0, 16)
    score = np.abs(activation).mean(axis=1)
    dead = dormant(ResetRule(how="recycle"), activation)
    np.testing.assert_array_equal(dead, score == 0.0)
    assert dead.sum() == 2
    rule = ResetRule(how="recycle", score="relative", threshold=0.025)
    expected = score / score.mean(axis=1, keepdims=True) <= 0.025
    np.testing.assert_array_equal(dormant(rule, activation), expected)
    np.testing.assert_array_equal(dormant(rule, 1e-6 * activation), expected)
    assert dormant(rule, np.zeros((8, 16))).all()


def test_without_a_batch_a_rule_that_needs_one_says_so():
    functions, hp = agent_of(CONFIG), traced(CONFIG.hp)
    state = jax.eval_shape(functions.init, root_key(0), hp)
    with pytest.raises(UserError, match="draw"):
        jax.eval_shape(lambda state: functions.reset(hp, state, 0, np.int32(0)), state)

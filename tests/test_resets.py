"""What each kind of reset makes new, and what it leaves alone."""

from __future__ import annotations

import functools

import jax
import numpy as np
import pytest

from helpers import (
    agent_of,
    assert_identical,
    changed,
    engine_of,
    fill,
    host,
    make_rows,
    named,
    select,
    tiny,
    traced,
    train,
)
from rr_scale.config import ResetRule
from rr_scale.nets.heads import HEADS
from rr_scale.rng import root_key

RULES = {
    "all": ResetRule(),
    "same weights": ResetRule(same_weights=True),
    "actor": ResetRule(what="actor"),
    "critic": ResetRule(what="critic"),
    "last layers": ResetRule(what="last_layers"),
    "shrink": ResetRule(how="shrink_perturb", keep=0.8),
    "shrink critic": ResetRule(what="critic", how="shrink_perturb", keep=0.3),
    "shrink last layers": ResetRule(what="last_layers", how="shrink_perturb", keep=0.2),
    "recycle": ResetRule(what="critic", how="recycle"),
}
CONFIG = tiny(
    "sac",
    {
        "resets": tuple(RULES.values()),
        "agent.normalize_observations": True,
        "agent.critic.bootstrap_policy": "target",
    },
)
SEEDS = [2, 9]


def copied(tree):
    """Device arrays that nobody else holds, from host ones."""
    return jax.tree.map(jax.numpy.array, tree)


@functools.cache
def trained(lanes=2):
    """(engine, initial state, state after some updates), on the host, roots apart."""
    engine = engine_of(CONFIG, lanes)
    state = engine.init(SEEDS[:lanes])
    fresh = host(state)
    rows = make_rows(12, lanes)
    state = fill(engine, state, select(rows, slice(10)))
    return engine, fresh, host(train(engine, state, select(rows, slice(10, None)), 3))


@functools.cache
def reset(rule, firing=0, lanes=2):
    """Host state after the named rule fired upon the trained state."""
    return reset_from(trained(lanes)[2], rule, firing, lanes)


def reset_from(state, rule, firing=0, lanes=2):
    """The same upon any state on the host."""
    engine = trained(lanes)[0]
    roots = engine.init(SEEDS[:lanes]).train.root
    state = copied(state._replace(train=state.train._replace(root=None)))
    state = state._replace(train=state.train._replace(root=roots))
    return host(engine.reset(state, list(RULES).index(rule), firing))


def before():
    return trained()[2]


@pytest.mark.parametrize("rule", RULES)
def test_replay_moments_metrics_and_roots_are_kept(rule):
    after = reset(rule)
    assert_identical(after._replace(train=None), before()._replace(train=None))
    assert_identical(after.train.normalizers, before().train.normalizers)
    assert_identical(after.train.root, before().train.root)


def test_a_full_reset_is_a_new_beginning():
    fresh, after = trained()[1].train, reset("all").train
    for new, old in ((after.actor, before().train.actor), (after.critic, before().train.critic)):
        assert changed(new.params, old.params) == set(named(new.params))
        assert_identical(new.target, new.params)
    # Optimisers and temperature start where they started.
    assert_identical(after.actor.opt_state, fresh.actor.opt_state)
    assert_identical(after.critic.opt_state, fresh.critic.opt_state)
    assert_identical(after.duals, fresh.duals)
    assert changed(before().train.duals, fresh.duals)


def test_consecutive_resets_give_new_weights_each_time_and_in_every_lane():
    trees = [trained()[1].train] + [reset("all", firing).train for firing in range(3)]
    # Four beginnings, two lanes, two ensemble members: sixteen sets of weights.
    kernels = np.stack([tree.critic.params["value"]["kernel"] for tree in trees])
    assert kernels.shape[:3] == (4, 2, 2)
    assert len(np.unique(kernels.reshape(16, -1), axis=0)) == 16


def test_same_weights_returns_to_the_beginning_bit_for_bit():
    fresh = trained()[1].train
    for firing in (0, 3):
        after = reset("same weights", firing).train
        assert_identical(after._replace(normalizers={}), fresh._replace(normalizers={}))


@pytest.mark.parametrize(("part", "other"), [("actor", "critic"), ("critic", "actor")])
def test_a_partial_reset_leaves_the_rest(part, other):
    after, full = reset(part).train, reset("all").train
    assert_identical(getattr(after, part), getattr(full, part))
    assert_identical(getattr(after, other), getattr(before().train, other))
    assert_identical(after.duals, before().train.duals)


def is_head(path):
    return any(f"['{name}']" in path for name in HEADS)


def test_last_layers_renews_heads_and_their_moments_only():
    after, old, full = reset("last layers").train, before().train, reset("all").train
    for part in ("actor", "critic"):
        new, was, fresh = (named(getattr(tree, part)) for tree in (after, old, full))
        for path in new:
            expected = fresh if is_head(path) else was
            np.testing.assert_array_equal(new[path], expected[path], err_msg=part + path)
        moved = changed(getattr(after, part), getattr(old, part))
        assert moved == {path for path in new if is_head(path)}
        assert any("mu" in path for path in moved) and any("target" in path for path in moved)
    assert_identical(after.duals, old.duals)


@pytest.mark.parametrize(
    ("rule", "keep", "parts"),
    [("shrink", 0.8, ("actor", "critic")), ("shrink critic", 0.3, ("critic",))],
)
def test_shrink_and_perturb_mixes_old_and_new_weights(rule, keep, parts):
    after, old, full = reset(rule).train, before().train, reset("all").train
    for part in ("actor", "critic"):
        new, was, fresh = (getattr(tree, part) for tree in (after, old, full))
        if part not in parts:
            assert_identical(new, was)
            continue
        for field in ("params", "target"):
            leaves = (named(getattr(tree, field)) for tree in (new, was, fresh))
            mixed, left, right = leaves
            for path, leaf in mixed.items():
                expected = keep * left[path].astype(float) + (1 - keep) * right[path].astype(float)
                np.testing.assert_allclose(leaf, expected, rtol=1e-5, atol=1e-7, err_msg=path)
        assert_identical(new.opt_state, fresh.opt_state)


def test_shrinking_the_last_layers_leaves_the_others_bit_for_bit():
    after, old, full = (
        tree.train for tree in (reset("shrink last layers"), before(), reset("all"))
    )
    for part in ("actor", "critic"):
        new, was, fresh = (named(getattr(tree, part)) for tree in (after, old, full))
        for path, leaf in new.items():
            if not is_head(path):
                np.testing.assert_array_equal(leaf, was[path], err_msg=path)
            elif "opt_state" not in path:
                np.testing.assert_allclose(
                    leaf, 0.2 * was[path] + 0.8 * fresh[path], rtol=1e-5, atol=1e-7
                )


def test_lanes_and_critics_are_judged_by_their_own_units():
    state = trained()[2]
    dead = np.zeros((2, 2, 16), bool)
    dead[0, 0, 3] = dead[0, 1, 8] = dead[1, 1, 5] = True
    params = copied(state.train.critic.params)
    params["trunk"]["Dense_0"]["bias"] = np.where(dead, -1e6, 1e3).astype(np.float32)
    critic = state.train.critic._replace(params=params)
    state = state._replace(train=state.train._replace(critic=critic))
    after, full = (reset_from(state, rule).train for rule in ("recycle", "all"))
    old, new, fresh = (tree.critic.params for tree in (state.train, after, full))
    assert_identical(after._replace(critic=state.train.critic), state.train)
    was, kernel, drawn = (tree["trunk"]["Dense_0"]["kernel"] for tree in (old, new, fresh))
    np.testing.assert_array_equal(kernel, np.where(dead[:, :, None], drawn, was))
    value = np.where(dead[..., None], 0.0, old["value"]["kernel"])
    np.testing.assert_array_equal(new["value"]["kernel"], value)


@pytest.mark.parametrize("rule", ["all", "same weights", "last layers"])
def test_a_lane_alone_gets_the_weights_it_gets_among_others(rule):
    together, alone = reset(rule, 1, 2), reset(rule, 1, 1)
    # Heads are new in both; what is kept of training may differ by rounding.
    for part in ("actor", "critic"):
        left, right = (named(getattr(state.train, part)) for state in (together, alone))
        for path in left:
            if rule != "last layers" or is_head(path):
                np.testing.assert_array_equal(left[path][0], right[path][0], err_msg=path)


def test_learning_goes_on_after_a_reset():
    engine, _, _ = trained()
    state = host(reset("all"))
    roots = engine.init(SEEDS).train.root
    on_device = copied(state._replace(train=state.train._replace(root=None)))
    on_device = on_device._replace(train=on_device.train._replace(root=roots))
    rows = make_rows(1, 2, seed=8)
    after = host(train(engine, on_device, rows, 3, update=6))
    assert (after.first_bad == -1).all()
    assert changed(after.train.critic.params, state.train.critic.params)


def test_shrunk_unit_kernels_and_their_targets_stay_on_the_sphere():
    kernels = {"agent.critic.network.kernel": "unit_norm"}
    config = tiny("sac", kernels | {"resets": (ResetRule(how="shrink_perturb"),)})
    agent, hp = agent_of(config), traced(config.hp)
    state = agent.init(root_key(0), hp)
    critic = agent.reset(hp, state, 0, np.int32(1)).critic
    for params in (critic.params, critic.target):
        kernel = np.asarray(params["trunk"]["UnitDense_0"]["unit_kernel"])
        np.testing.assert_allclose(np.linalg.norm(kernel, axis=-2), 1.0, atol=1e-6)
        old = np.asarray(state.critic.params["trunk"]["UnitDense_0"]["unit_kernel"])
        assert np.abs(kernel - old).max() > 0.1

"""One update at a time against `reference.py`, which restates it by hand in float64.

Updates run without `jit`: they share the compiled primitives, so that a
variation costs a fraction of a second.
"""

from __future__ import annotations

import functools
import itertools
import math

import jax
import numpy as np
import pytest

from helpers import (
    ACTION_SIZE,
    BATCH_SIZE,
    LARGE_STEPS,
    agent_of,
    assert_close,
    assert_identical,
    changed,
    clock,
    host,
    make_batch,
    tiny,
    traced,
)
from marks import in_all_tests
from reference import Reference, draw_noise
from rr_scale.agents.update import stretches
from rr_scale.errors import UserError
from rr_scale.rng import root_key
from rr_scale.validation import validate

HP = LARGE_STEPS | {
    "hp.target_entropy_scale": 0.7,
    "hp.target_noise": 0.4,
    "hp.adam_b1": 0.8,
    "hp.adam_b2": 0.95,
}


def run(name, values=(), updates=3):
    """The agent's states before and after each update, and what its updates reported."""
    return _run(name, values, updates)


@functools.cache
def _run(name, values, updates):
    config = tiny(name, {**HP, **dict(values)})
    agent, hp = agent_of(config), traced(config.hp)
    states, feedbacks = [agent.init(root_key(6), hp)], []
    for index in range(updates):
        now = clock(100 + index, index, index)
        state, feedback = agent.update(hp, states[-1], {"train": make_batch(index)}, now)
        states.append(state)
        feedbacks.append(feedback)
    return config, states, feedbacks


def networks(state):
    """What is learned, by the names of `reference.py`."""
    learned = {
        "actor": state.actor.params,
        "actor_target": state.actor.target,
        "critic": state.critic.params,
        "critic_target": state.critic.target,
    }
    if state.duals:
        learned["log_alpha"] = state.duals["temperature"].params
    return host({name: tree for name, tree in learned.items() if tree is not None})


def assert_agrees_with_reference(name, values=()):
    config, states, feedbacks = run(name, values)
    reference = Reference(config.agent, config.hp, states[0])
    for index in range(len(feedbacks)):
        noise = draw_noise(states[0].root, index, (BATCH_SIZE, ACTION_SIZE))
        seen = reference.update(make_batch(index), index, noise)
        actual = networks(states[index + 1])
        expected = {key: getattr(reference, key) for key in actual}
        as_float32 = jax.tree.map(np.float32, expected)
        assert_close(actual, as_float32, 1e-5)
        np.testing.assert_allclose(feedbacks[index].td_error, seen.pop("td_error"), atol=2e-5)
        means = feedbacks[index].metrics
        for metric, mean in means.items():
            assert mean.terms == (metric in seen), metric
            if metric in seen:
                assert float(mean.total) == pytest.approx(seen[metric], abs=1e-4), metric
        assert set(seen) <= set(means)


@pytest.mark.parametrize("name", ["sac", "td3", "ddpg"])
def test_preset_agrees_with_the_restatement(name):
    assert_agrees_with_reference(name)


ORDER = "agent.update_order"
VARIATIONS = {
    "log temperature": ("sac", {"agent.temperature": "log"}),
    "fixed temperature": (
        "sac",
        {"agent.temperature": "fixed", ORDER: ("critic", "target", "actor")},
    ),
    "no temperature": ("sac", {"agent.temperature": "none", ORDER: ("critic", "actor", "target")}),
    "hard clip of log sigma": (
        "sac",
        {"agent.actor.log_sigma_map": "clip", "agent.actor.log_sigma_max": 0.1},
    ),
    "epsilon log-probability": ("sac", {"agent.actor.log_prob": "epsilon"}),
    "one critic": ("sac", {"agent.critic.ensemble_size": 1}),
    "five critics": ("sac", {"agent.critic.ensemble_size": 5}),
    "mean in the target": ("sac", {"agent.critic.target_ensemble": "mean"}),
    "first in the target": ("sac", {"agent.critic.target_ensemble": "first"}),
    "mean in the objective": ("sac", {"agent.actor.objective_ensemble": "mean"}),
    "first in the objective": ("sac", {"agent.actor.objective_ensemble": "first"}),
    "target actor": ("sac", {"agent.critic.bootstrap_policy": "target"}),
    "half the critic loss": ("sac", {"agent.critic.loss_scale": 0.5}),
    "two layers": ("td3", {"agent.actor.network.hidden": (16, 16)}),
    "clipped gradients": ("sac", {"hp.actor_max_grad_norm": 0.1, "hp.critic_max_grad_norm": 0.4}),
    "clip that never binds": ("sac", {"hp.critic_max_grad_norm": 1e6}),
    "weight decay": ("sac", {"hp.critic_weight_decay": 0.1}),
    "decay and clip": ("ddpg", {"hp.critic_weight_decay": 0.1, "hp.critic_max_grad_norm": 0.4}),
    "actor first": ("sac", {ORDER: ("actor", "temperature", "critic", "target")}),
    "target first": ("sac", {ORDER: ("target", "critic", "actor", "temperature")}),
    "target last": ("sac", {ORDER: ("critic", "actor", "temperature", "target")}),
    "target in between": ("sac", {ORDER: ("critic", "actor", "target", "temperature")}),
    "delayed actor only": ("td3", {"agent.target_delay": 1}),
    "delayed targets only": ("td3", {"agent.actor_delay": 1}),
    "delayed SAC": ("sac", {"agent.actor_delay": 2, "agent.target_delay": 3}),
}


# These say most; the others say in one place what these say in another.
NORMALLY = (
    *("log temperature", "hard clip of log sigma", "epsilon log-probability"),
    *("five critics", "mean in the target", "first in the objective", "target actor"),
    *("two layers", "clipped gradients", "weight decay", "target first", "delayed SAC"),
)
CASES = [*NORMALLY, *in_all_tests(*(name for name in VARIATIONS if name not in NORMALLY))]


@pytest.mark.parametrize("variation", CASES)
def test_variation_agrees_with_the_restatement(variation):
    name, values = VARIATIONS[variation]
    assert_agrees_with_reference(name, tuple(values.items()))


OTHERS = [case for case in CASES if "clip that never binds" not in getattr(case, "values", ())]


@pytest.mark.parametrize("variation", OTHERS)
def test_variation_is_another_algorithm(variation):
    name, values = VARIATIONS[variation]
    other = networks(run(name, tuple(values.items()))[1][-1])
    plain = networks(run(name)[1][-1])
    if variation in ("target last", "target in between"):
        # Neither actor nor temperature reads the target: these orders are one.
        assert_identical(plain, other)
    else:
        shared = plain.keys() & other.keys()
        pairs = [(jax.tree.leaves(plain[key]), jax.tree.leaves(other[key])) for key in shared]
        assert any(
            a.shape != b.shape or not np.array_equal(a, b)
            for left, right in pairs
            for a, b in zip(left, right, strict=True)
        ) or len(plain) != len(other)


def test_clip_that_never_binds_changes_nothing():
    clipped = run("sac", (("hp.critic_max_grad_norm", 1e6),))[1][-1]
    assert_identical(networks(clipped), networks(run("sac")[1][-1]))


def test_delayed_actor_and_targets_move_on_even_updates_only():
    _, states, feedbacks = run("td3", (), 5)
    for index in range(5):
        before, after = networks(states[index]), networks(states[index + 1])
        for part in before:
            moves = bool(changed(before[part], after[part]))
            assert moves == (part == "critic" or index % 2 == 0), (part, index)
        assert feedbacks[index].metrics["train/actor_loss"].terms == (index % 2 == 0)


@pytest.mark.parametrize(
    ("delay", "other", "expected"),
    [
        (1, 1, ((0, 1),)),
        (2, 2, ((0, 1), (1, 1))),
        (20, 1, ((0, 1), (1, 19))),
        (2, 4, ((0, 1), (1, 1), (2, 1), (3, 1))),
        (3, 20, ()),
    ],
)
def test_updates_with_the_same_steps_are_neighbours_in_a_stretch(delay, other, expected):
    settings = {"agent.actor_delay": delay, "agent.target_delay": other}
    agent = tiny("td3", settings).agent
    assert stretches(agent) == expected
    due = [[phase % agent.delay(step) == 0 for step in agent.update_order] for phase in range(40)]
    for begin, length in expected:
        assert due[begin : begin + length] == [due[begin]] * length


def test_first_order_differs_from_actor_first_as_it_should():
    values = ((ORDER, ("actor", "temperature", "critic", "target")),)
    first, plain = (networks(run("sac", v)[1][1]) for v in (values, ()))
    # The critic of `actor first` bootstraps from the new actor, its actor
    # ascends the old critic.
    assert changed(first["critic"], plain["critic"]) and changed(first["actor"], plain["actor"])


def test_target_first_lags_one_update_behind():
    values = ((ORDER, ("target", "critic", "actor", "temperature")),)
    before, after = (networks(state) for state in run("sac", values)[1][:2])
    assert_close(before["critic_target"], after["critic_target"], 1e-6)
    assert changed(before["critic"], after["critic"])


def test_actor_step_touches_neither_critics_nor_targets():
    values = ((ORDER, ("actor", "critic", "target")), ("agent.temperature", "none"))
    frozen = (*values, ("hp.critic_lr", 0.0), ("hp.tau", 0.0))
    _, states, _ = run("sac", frozen)
    first, last = networks(states[0]), networks(states[-1])
    assert changed(first["actor"], last["actor"])
    assert not changed(first["critic"], last["critic"])
    assert not changed(first["critic_target"], last["critic_target"])


def test_actor_gradient_ignores_the_scale_of_the_critics_regression():
    # Where the actor's loss reached the critics, a frozen actor would free them.
    frozen = networks(run("sac", (("hp.actor_lr", 0.0), ("hp.temperature_lr", 0.0)))[1][1])
    moving = networks(run("sac")[1][1])
    assert not changed(frozen["critic"], moving["critic"])
    assert not changed(frozen["critic_target"], moving["critic_target"])


def test_fixed_and_absent_temperature_have_no_dual():
    for form in ("fixed", "none"):
        values = (("agent.temperature", form), (ORDER, ("critic", "target", "actor")))
        config, states, feedbacks = run("sac", values, 1)
        assert states[1].duals == {}
        assert ("train/temperature" in feedbacks[0].metrics) == (form == "fixed")
        assert "train/temperature_loss" not in feedbacks[0].metrics


def test_no_temperature_means_no_entropy_bonus():
    order = (ORDER, ("critic", "actor", "target"))
    none = networks(run("sac", (("agent.temperature", "none"), order))[1][-1])
    zero = networks(
        run("sac", (("agent.temperature", "fixed"), order, ("hp.init_temperature", 0.0)))[1][-1]
    )
    assert_close(none, zero, 1e-6)


def test_repeating_an_update_gives_the_same_bits_and_another_index_other_noise():
    config, states, _ = run("sac")
    agent, hp = agent_of(config), traced(config.hp)
    batches = {"train": make_batch(0)}
    again, _ = agent.update(hp, states[0], batches, clock(100, 0, 0))
    other, _ = agent.update(hp, states[0], batches, clock(100, 1, 0))
    elsewhere, _ = agent.update(hp, states[0], batches, clock(999, 0, 7))
    assert_identical(again, states[1])
    assert_identical(elsewhere, states[1])
    assert changed(networks(again)["actor"], networks(other)["actor"])


def test_initial_temperature_is_what_was_asked_for():
    _, states, _ = run("sac")
    assert float(states[0].duals["temperature"].params) == pytest.approx(math.log(0.3), rel=1e-6)


ORDERS = list(itertools.permutations(("critic", "target", "actor", "temperature")))


@pytest.mark.parametrize(
    ("actor_delay", "accepted"), [(1, 12), pytest.param(2, 6, marks=pytest.mark.slow)]
)
def test_an_order_runs_exactly_if_validation_accepts_it(actor_delay, accepted):
    passed = 0
    for order in ORDERS:
        config = tiny("sac", {ORDER: order, "agent.actor_delay": actor_delay})
        agent, hp = agent_of(config), traced(config.hp)

        def update(agent=agent, hp=hp):
            batches = {"train": make_batch()}
            return agent.update(hp, agent.init(root_key(0), hp), batches, clock(9))

        try:
            validate(config)
        except UserError:
            # The temperature step has no entropy to go by.
            with pytest.raises(KeyError):
                jax.eval_shape(update)
        else:
            jax.eval_shape(update)
            passed += 1
    assert passed == accepted

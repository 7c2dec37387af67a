"""What an agent says about itself, against the restatement of `reference.py`."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import (
    ACTION_SIZE,
    BATCH_SIZE,
    agent_of,
    clock,
    host,
    make_batch,
    tiny,
    traced,
)
from reference import Noise, Reference, draw_noise
from rr_scale.core.diagnostics import dormant_fraction, effective_rank
from rr_scale.core.distributions import tanh_gaussian_entropy
from rr_scale.normalize import init_reward_scale, scale_reward, update_reward_scale
from rr_scale.rng import Stream, root_key, stream_key
from rr_scale.train.metrics import METRICS

NOW = clock(40, 7, 7)


def norm(tree):
    return np.sqrt(sum(np.sum(np.square(leaf, dtype=float)) for leaf in jax.tree.leaves(tree)))


def kl(mean, log_sigma, other_mean, other_log_sigma):
    """Of diagonal Gaussians, per sample; from densities by the textbook."""
    variance, other = np.exp(2 * log_sigma), np.exp(2 * other_log_sigma)
    terms = np.log(other / variance) + variance / other + (mean - other_mean) ** 2 / other - 1
    return np.sum(terms, axis=-1) / 2


def silenced(params):
    """With a hidden unit that never responds, in each network."""
    layer = params["trunk"]["Dense_0"]
    dead = {**layer, "bias": layer["bias"].at[..., 0].set(-100.0)}
    return {**params, "trunk": {**params["trunk"], "Dense_0": dead}}


@functools.cache
def trained():
    """A SAC agent, its state before and after two updates of large steps."""
    steps = {"hp.actor_lr": 0.03, "hp.critic_lr": 0.03, "hp.tau": 0.2, "hp.init_temperature": 0.3}
    config = tiny("sac", steps)
    agent, hp = agent_of(config), traced(config.hp)
    before = jax.jit(agent.init)(root_key(3), hp)
    state, update = before, jax.jit(agent.update)
    for index in range(2):
        state, _ = update(hp, state, {"train": make_batch(index)}, clock(39, index, index))
    # Far out in one dimension, so that some of its actions are saturated.
    mean = state.actor.params["mean"]
    mean = {**mean, "bias": mean["bias"] + jnp.float32([2.6, 0.0])}
    actor = state.actor._replace(params=silenced({**state.actor.params, "mean": mean}))
    critic = state.critic._replace(params=silenced(state.critic.params))
    state = state._replace(actor=actor, critic=critic)
    agent = agent._replace(diagnose=jax.jit(agent.diagnose))
    return config, agent, hp, before, state


@functools.cache
def diagnosed():
    _, agent, hp, before, state = trained()
    batches = {"train": make_batch(5), "validation": make_batch(6)}
    found = agent.diagnose(hp, state, before, batches, NOW)
    return {name: float(mean.total / mean.terms) for name, mean in found.items()}


def restated(state):
    """The agent in `state`, by hand, and the noise that diagnosing draws."""
    config = trained()[0]
    reference = Reference(config.agent, config.hp, state)
    reference.critic_target = jax.tree.map(lambda x: np.asarray(x, float), state.critic.target)
    reference.log_alpha = float(state.duals["temperature"].params)
    root = stream_key(state.root, Stream.DIAGNOSE, NOW.env_step)
    return reference, draw_noise(root, NOW.update, (BATCH_SIZE, ACTION_SIZE)), root


def test_every_diagnostic_is_in_the_registry_and_the_other_way_round():
    assert set(diagnosed()) == {name for name in METRICS if name.startswith("diagnostics/")}
    assert all(np.isfinite(value) and value > 0 for value in diagnosed().values())


def test_parameter_norms():
    state = trained()[-1]
    found = diagnosed()
    np.testing.assert_allclose(
        found["diagnostics/actor_parameter_norm"], norm(state.actor.params), rtol=1e-5
    )
    np.testing.assert_allclose(
        found["diagnostics/critic_parameter_norm"], norm(state.critic.params), rtol=1e-5
    )


def test_units_and_features_are_those_of_each_network():
    # One hidden layer, so that its units are the features as well.
    state, found = trained()[-1], diagnosed()
    reference, _, _ = restated(state)
    batch = host(make_batch(5))
    zeros = np.zeros((BATCH_SIZE, ACTION_SIZE))
    members = reference.members(batch.observation, batch.action)
    for name, networks in {
        "actor": [reference.policy(batch.observation, zeros)],
        "critic": members,
    }.items():
        units = [network.features for network in networks]
        ranks = [float(effective_rank(jnp.float32(features))) for features in units]
        assert found[f"diagnostics/{name}_effective_rank"] == np.mean(ranks)
        share = np.mean(dormant_fraction([jnp.float32(np.stack(units))]))
        np.testing.assert_allclose(found[f"diagnostics/{name}_dormant_fraction"], share)


@pytest.mark.parametrize(("step", "optimizer"), [("actor", 0), ("critic", 1)])
def test_gradient_norms_are_those_of_the_losses(step, optimizer):
    reference, noise, _ = restated(trained()[-1])
    batch = jax.tree.map(lambda x: np.asarray(x, float), make_batch(5))
    getattr(reference, f"_{step}_step")(batch, noise, {})
    # Adam's first moment after one step from nothing.
    gradient = reference._optimizers[optimizer]._first
    expected = norm(gradient) / (1 - reference.hp.adam_b1)
    np.testing.assert_allclose(
        diagnosed()[f"diagnostics/{step}_gradient_norm"], expected, rtol=1e-4
    )


def test_slopes_disagreement_and_saturation_are_those_of_the_batch():
    reference, noise, _ = restated(trained()[-1])
    batch, found = host(make_batch(5)), diagnosed()
    action = reference.policy(batch.observation, noise.action).action
    members = reference.members(batch.observation, action)
    lowest = np.argmin([member.value for member in members], axis=0)
    slopes = [member.gradient((lowest == i) * 1.0)[1] for i, member in enumerate(members)]
    np.testing.assert_allclose(
        found["diagnostics/action_gradient_norm"],
        np.mean(np.linalg.norm(sum(slopes), axis=1)),
        rtol=1e-4,
    )
    assert found["diagnostics/saturated_actions"] == np.mean(np.abs(action) > 0.99)
    values = [member.value for member in reference.members(batch.observation, batch.action)]
    np.testing.assert_allclose(
        found["diagnostics/critic_disagreement"], np.mean(np.std(values, axis=0)), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("name", "seed", "key"), [("td_error", 5, 0), ("validation_td_error", 6, 3)]
)
def test_td_errors_are_of_the_batch_that_they_name(name, seed, key):
    reference, _, root = restated(trained()[-1])
    normal = jax.random.normal(
        jax.random.split(stream_key(root, Stream.UPDATE, NOW.update), 4)[key],
        (BATCH_SIZE, ACTION_SIZE),
    )
    batch, seen = host(make_batch(seed)), {}
    reference._critic_step(batch, Noise(np.asarray(normal, float), None, None), seen)
    expected = np.average(seen["td_error"], weights=batch.weight)
    np.testing.assert_allclose(diagnosed()[f"diagnostics/{name}"], expected, rtol=1e-4)


def test_a_validation_batch_that_is_not_to_be_had_has_no_term():
    _, agent, hp, before, state = trained()
    nothing = make_batch(6)._replace(weight=jnp.zeros(BATCH_SIZE))
    batches = {"train": make_batch(5), "validation": nothing}
    found = agent.diagnose(hp, state, before, batches, NOW)
    assert float(found["diagnostics/validation_td_error"].terms) == 0
    # The other numbers do not read it.
    assert (
        float(found["diagnostics/td_error"].total / found["diagnostics/td_error"].terms)
        == (diagnosed()["diagnostics/td_error"])
    )


def test_churn_is_the_distance_between_the_policies_of_two_states():
    *_, before, state = trained()
    observation = host(make_batch(5)).observation
    new, old = (
        restated(each)[0].policy(observation, np.zeros((BATCH_SIZE, ACTION_SIZE)))
        for each in (state, before)
    )
    found = {name.removeprefix("diagnostics/"): value for name, value in diagnosed().items()}
    after, earlier = (new.mean, new.log_sigma), (old.mean, old.log_sigma)
    expected = {
        "churn_kl_forward": np.mean(kl(*earlier, *after)),
        "churn_kl_backward": np.mean(kl(*after, *earlier)),
        "churn_mean": np.mean(np.abs(new.mean - old.mean)),
        "churn_sigma": np.mean(np.abs(np.exp(new.log_sigma) - np.exp(old.log_sigma))),
    }
    assert not np.isclose(expected["churn_kl_forward"], expected["churn_kl_backward"], rtol=0.01)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-3, err_msg=name)


def test_a_policy_that_no_update_touched_does_not_churn():
    _, agent, hp, _, state = trained()
    batches = {"train": make_batch(5), "validation": make_batch(6)}
    # Compiled as in runs, whatever the flags: elsewhere the two passes may be rounded apart.
    optimised = {"xla_backend_optimization_level": 3}
    diagnose = jax.jit(agent.diagnose, compiler_options=optimised)
    found = diagnose(hp, state, state, batches, NOW)
    churn = {name: float(mean.total) for name, mean in found.items() if "churn" in name}
    assert len(churn) == 4
    assert set(churn.values()) == {0.0}


def test_what_an_agent_does_not_have_it_does_not_report():
    config = tiny("ddpg")
    agent, hp = agent_of(config), traced(config.hp)
    state = jax.eval_shape(agent.init, root_key(0), hp)
    found = jax.eval_shape(agent.diagnose, hp, state, state, {"train": make_batch()}, NOW)
    missing = {name for name in METRICS if name.startswith("diagnostics/")} - set(found)
    assert {name.removeprefix("diagnostics/") for name in missing} == {
        "validation_td_error",
        "critic_disagreement",
        "churn_kl_forward",
        "churn_kl_backward",
        "churn_sigma",
    }


def test_an_action_is_appraised_in_the_units_of_the_task():
    config, agent, hp, _, state = trained()
    batch = host(make_batch(5))
    reference, _, _ = restated(state)
    values = [member.value for member in reference.members(batch.observation, batch.action)]
    policy = reference.policy(batch.observation, np.zeros((BATCH_SIZE, ACTION_SIZE)))
    entropy = tanh_gaussian_entropy(policy.mean, policy.log_sigma)
    value, bonus = agent.appraise(hp, state, batch.observation, batch.action)
    np.testing.assert_allclose(value, np.mean(values, axis=0), rtol=1e-4)
    np.testing.assert_allclose(bonus, np.exp(reference.log_alpha) * entropy, rtol=1e-3)
    scaled = agent_of(tiny("sac", {"agent.reward_scale": "return_std"}))
    scale = init_reward_scale()
    for reward in (1.0, -4.0, 2.5):
        scale = update_reward_scale(scale, jnp.float32(reward), hp.discount, False)
    unit = float(scale_reward("return_std", scale, hp.v_max, 1.0))
    assert abs(unit - 1) > 0.1
    known = state._replace(normalizers={"reward": scale})
    for one, other in zip(
        scaled.appraise(hp, known, batch.observation, batch.action), (value, bonus), strict=True
    ):
        np.testing.assert_allclose(one, other / unit, rtol=1e-5)

"""The optimistic explorer: what it plays, what it learns, and what it leaves alone."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from helpers import agent_of, assert_identical, changed, clock, make_batch, parts_of, tiny, traced
from rr_scale.agents.behaviour import explorer_output
from rr_scale.core.duals import bounded_value
from rr_scale.nets.build import Gaussian
from rr_scale.rng import root_key

CONFIG = tiny(
    "sac",
    {
        "agent.explorer.kind": "optimistic",
        "agent.explorer.network.hidden": (16,),
        "agent.update_order": ("critic", "target", "actor", "explorer", "temperature", "optimism"),
        "hp.explorer_std": 0.5,
        "hp.optimism_lr": 0.01,
    },
)
OBSERVATION = np.float32([[0.3, -1.0, 2.0]])


@functools.cache
def programs():
    agent = agent_of(CONFIG)
    return jax.jit(agent.init), jax.jit(agent.update), jax.jit(agent.act, static_argnums=5)


def start(values=None):
    hp = traced(CONFIG.hp)
    hp = hp if values is None else type(hp)(**{**vars(hp), **values})
    return hp, programs()[0](root_key(3), hp)


def update(hp, state, index=0):
    return programs()[1](hp, state, {"train": make_batch(index)}, clock(9, index, index))


def dual(state, name):
    return float(bounded_value(state.duals[name].params))


def test_explorer_moves_the_mean_and_scales_the_width():
    parts = parts_of(CONFIG)
    hp, state = start()
    actor = Gaussian(jnp.array([[0.2, -0.4]]), jnp.array([[-1.0, 0.5]]))
    found = explorer_output(parts.explorer, hp, state.explorer.params, actor, OBSERVATION)
    shift = parts.explorer.shift(state.explorer.params, OBSERVATION, actor.mean)
    np.testing.assert_allclose(found.mean, actor.mean + shift, rtol=1e-6)
    np.testing.assert_allclose(np.exp(found.log_sigma), 0.5 * np.exp(actor.log_sigma), rtol=1e-5)
    # A head of gain 0.01: it starts beside the actor, not upon it.
    assert 0 < np.abs(shift).max() < 0.1


def test_training_plays_the_explorer_and_evaluation_the_actor():
    hp, state = start()
    other = state._replace(
        explorer=state.explorer._replace(
            params=jax.tree.map(lambda x: x + 0.5, state.explorer.params)
        )
    )
    act = programs()[2]
    for mode, same in (("explore", False), ("evaluate", True)):
        one, two = (act(hp, s, (), OBSERVATION, clock(1), mode)[0] for s in (state, other))
        assert np.array_equal(one, two) == same


def test_the_duals_follow_the_divergence():
    # The first explorer's divergence is above 0 and below any large target.
    for target, direction in ((0.0, -1), (1e6, 1)):
        hp, before = start({"target_kl": jnp.float32(target)})
        after, feedback = update(hp, before)
        assert float(feedback.metrics["train/explorer_kl"].total) > 0
        optimism, weight = (
            dual(after, name) - dual(before, name) for name in ("optimism", "kl_weight")
        )
        assert np.sign(optimism) == direction and np.sign(weight) == -direction


def test_duals_start_at_the_configured_numbers():
    _, state = start({"init_optimism": jnp.float32(0.7), "init_kl_weight": jnp.float32(3.0)})
    np.testing.assert_allclose(
        [dual(state, "optimism"), dual(state, "kl_weight")], [0.7, 3.0], rtol=1e-4
    )


def test_a_heavy_weight_brings_the_explorer_nearer_and_moves_nothing_else():
    kls, others = [], []
    for weight in (1e-3, 1e3):
        hp, state = start({"init_kl_weight": jnp.float32(weight)})
        for _ in range(8):
            state, feedback = update(hp, state)
            kls.append(float(feedback.metrics["train/explorer_kl"].total))
        others.append((state.actor, state.critic, state.duals["temperature"]))
    assert kls[0] == kls[8]
    assert kls[15] < 0.9 * kls[8] and kls[15] < 0.9 * kls[7]
    assert_identical(*others)


def test_every_part_of_the_explorer_learns():
    hp, state = start()
    after, _ = update(hp, state)
    assert len(changed(state.explorer.params, after.explorer.params)) == len(
        jax.tree.leaves(state.explorer.params)
    )

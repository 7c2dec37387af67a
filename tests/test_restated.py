"""Whole updates of `bro_fast`, `simba_v2` and `xqc` against `restated.py`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from helpers import (
    ACTION_SIZE,
    BATCH_SIZE,
    LARGE_STEPS,
    OBSERVATION_SIZE,
    agent_of,
    assert_close,
    clock,
    make_batch,
    tiny,
    traced,
)
from restated import Bro, SimbaV2, Xqc, draw_noise, widened
from rr_scale.normalize import RewardScale, init_moments
from rr_scale.rng import root_key

HP = LARGE_STEPS | {"hp.optimism_lr": 0.04, "agent.critic.network.hidden": (16, 16)}
RESTATED = {
    "bro_fast": (
        Bro,
        {"hp.actor_weight_decay": 0.1, "hp.critic_weight_decay": 0.2, "hp.pessimism": 0.3},
    ),
    "simba_v2": (SimbaV2, {"agent.critic.ensemble_size": 2, "agent.critic.num_atoms": 11}),
    "xqc": (Xqc, {"agent.critic.num_atoms": 11, "hp.lr_end": 0.01}),
}


def seen_moments(seed, shape):
    """Of some data, made up."""
    first, second = jax.random.split(jax.random.key(seed))
    mean = jax.random.normal(first, shape)
    spread = jax.random.uniform(second, shape, minval=20.0, maxval=90.0)
    return init_moments(shape)._replace(seen=jnp.int32(10), mean=mean, spread=spread)


def begin(agent, hp):
    """An agent that has seen observations and rewards, where it looks at them."""
    state = agent.init(root_key(6), hp)
    seen = {
        "observation": seen_moments(1, (OBSERVATION_SIZE,)),
        "reward": RewardScale(jnp.float32(0.5), jnp.float32(20.0), seen_moments(2, ())),
    }
    normalizers = {name: seen[name] for name in state.normalizers}
    return state._replace(normalizers=normalizers)


def learned(state):
    """What an update changes, by the names of `restated.py`."""
    trees = {
        "actor": state.actor.params,
        "critic": state.critic.params,
        "critic_target": state.critic.target,
        "log_alpha": state.duals["temperature"].params,
    }
    if state.explorer is not None:
        trees["explorer"] = state.explorer.params
        trees["optimism"] = state.duals["optimism"].params
        trees["kl_weight"] = state.duals["kl_weight"].params
    if state.critic.stats:
        trees["actor_stats"], trees["critic_stats"] = state.actor.stats, state.critic.stats
    return trees


@pytest.mark.parametrize("name", RESTATED)
def test_updates_agree_with_the_restatement(name):
    restatement, values = RESTATED[name]
    config = tiny(name, HP | values)
    agent, hp = agent_of(config), traced(config.hp)
    state = jax.jit(lambda hp: begin(agent, hp))(hp)
    with jax.enable_x64(True):
        wide = widened(state)
        restated = restatement(config, wide)
        expected = restated.begin(wide)
    ours, theirs = jax.jit(agent.update), jax.jit(restated.update, static_argnums=4)
    delay = config.agent.actor_delay
    for index in range(1 + delay):
        batch = make_batch(index)
        noise = draw_noise(state.root, index, (BATCH_SIZE, ACTION_SIZE))
        state, _ = ours(hp, state, {"train": batch}, clock(100 + index, index, index))
        with jax.enable_x64(True):
            expected = theirs(expected, *widened((batch, noise)), index, index % delay == 0)
        actual = learned(state)
        assert_close(actual, {key: expected[key] for key in actual}, 2e-5)

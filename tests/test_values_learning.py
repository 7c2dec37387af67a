"""Critics of every kind come to the value that the Bellman equation has."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import agent_of, make_batch, parts_of, tiny, traced
from rr_scale.rng import root_key
from rr_scale.types import Clock

RULES = {"scalar": "min", "categorical": "smaller_mean", "quantile": "truncated"}
UPDATES, GAMMA = 400, 0.5


@pytest.mark.parametrize("value", RULES)
def test_constant_rewards_are_worth_their_discounted_sum(value):
    config = tiny(
        "sac",
        {
            "agent.critic.value": value,
            "agent.critic.num_quantiles": 5,
            "agent.critic.num_atoms": 21,
            "agent.critic.target_ensemble": RULES[value],
            "agent.critic.dropped_quantiles": 0,
            "agent.actor.objective_ensemble": "first",
            "agent.temperature": "none",
            "agent.update_order": ("critic", "target", "actor"),
            "hp.critic_lr": 0.01,
            "hp.tau": 0.1,
            "hp.v_min": -4.0,
            "hp.v_max": 4.0,
        },
    )
    agent, parts, hp = agent_of(config), parts_of(config), traced(config.hp)
    size = 64
    batch = make_batch(size=size)._replace(
        reward=jnp.ones(size), discount=jnp.full(size, GAMMA), weight=jnp.ones(size)
    )

    @jax.jit
    def learned(hp):
        def body(index, state):
            now = Clock(jnp.int32(100), index, index)
            return agent.update(hp, state, {"train": batch}, now)[0]

        state = jax.lax.fori_loop(0, UPDATES, body, agent.init(root_key(0), hp))
        critic = state.critic
        inputs = (batch.observation, batch.action)
        output, _ = parts.critic.apply(critic.params, critic.stats, *inputs, None, False)
        return parts.value.means(hp, output)

    found = np.asarray(learned(hp))
    assert found.shape == (2, size)
    worth = 1.0 / (1.0 - GAMMA)
    np.testing.assert_allclose(found.mean(axis=1), worth, atol=0.2)
    np.testing.assert_allclose(found, worth, atol=0.5)

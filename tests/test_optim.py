"""Optimisers against NumPy: schedules, decay beside the gradient, projections, targets."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from helpers import assert_identical, clock, tiny, traced
from rr_scale.agents.optimizers import dual_optimizer, network_optimizer
from rr_scale.optim import polyak, schedule

RNG = np.random.default_rng(0)
PARAMS = {
    "trunk": {"unit_kernel": RNG.normal(size=(2, 3, 4)), "bias": RNG.normal(size=(2, 4))},
    "norm": {"scale": RNG.normal(size=(2, 4)), "bias": RNG.normal(size=(2, 4))},
    "last_norm": {"scale": RNG.normal(size=(2, 4))},
    "value": {"kernel": RNG.normal(size=(2, 4, 1))},
}
PARAMS = {k: {n: jnp.float32(v) for n, v in layer.items()} for k, layer in PARAMS.items()}
GRADIENT = {k: {n: jnp.sin(5 * v) for n, v in layer.items()} for k, layer in PARAMS.items()}


def step(values, now=0):
    """Parameters after one step of the critics' optimiser."""
    config = tiny("sac", {"hp.critic_lr": 0.1, "start_training": 8, "max_steps": 108} | values)
    optimizer = network_optimizer(config, config.max_steps, "critic", config.agent.critic)
    hp = traced(config.hp)
    state = optimizer.init(hp, PARAMS)
    return optimizer.step(hp, clock(0, now), GRADIENT, state, PARAMS)[0]


def moved(after, layer, name):
    return np.asarray(after[layer][name] - PARAMS[layer][name])


def test_kernels_on_the_sphere_have_unit_columns_after_a_step_and_others_do_not():
    after = step({"agent.critic.network.kernel": "unit_norm"})
    kernel = np.asarray(after["trunk"]["unit_kernel"], np.float64)
    np.testing.assert_allclose((kernel**2).sum(axis=1), 1, atol=1e-5)
    # Adam's first step is the sign of the gradient, and then the projection.
    free = PARAMS["trunk"]["unit_kernel"] - 0.1 * np.sign(GRADIENT["trunk"]["unit_kernel"])
    expected = free / np.linalg.norm(free, axis=1, keepdims=True)
    np.testing.assert_allclose(kernel, expected, atol=1e-4)
    np.testing.assert_allclose(
        moved(after, "value", "kernel"), -0.1 * np.sign(GRADIENT["value"]["kernel"]), atol=1e-5
    )


def test_scale_and_bias_of_a_normalisation_share_one_norm_after_a_step():
    after = step({"agent.critic.network.unit_scales": True})
    free = step({})
    for norm in ("norm", "last_norm"):
        square = sum(np.asarray(x) ** 2 for x in free[norm].values()).sum(axis=-1, keepdims=True)
        for name, value in free[norm].items():
            np.testing.assert_allclose(after[norm][name], value * np.sqrt(4 / square), rtol=1e-5)
    for layer in ("trunk", "value"):
        assert_identical(after[layer], free[layer])


@pytest.mark.parametrize("decayed", ["all", "kernels", "free"])
def test_decoupled_decay_bypasses_the_moments_and_the_mask(decayed):
    values = {"hp.critic_weight_decay": 0.5, "agent.critic.optimizer.name": "adamw"}
    after = step(values | {"agent.critic.optimizer.decayed": decayed})
    for layer, name in (("trunk", "unit_kernel"), ("trunk", "bias"), ("value", "kernel")):
        decays = {"all": True, "kernels": name != "bias", "free": name != "unit_kernel"}[decayed]
        sign, param = np.sign(GRADIENT[layer][name]), np.asarray(PARAMS[layer][name])
        expected = -0.1 * (sign + 0.5 * decays * param)
        np.testing.assert_allclose(moved(after, layer, name), expected, atol=1e-5)


def test_step_sizes_follow_the_clock_and_not_the_optimiser():
    values = {"agent.lr_schedule": "linear", "hp.lr_end": 0.5}
    # 100 updates until the horizon; the optimiser itself takes its first step.
    for now, factor in ((0, 1.0), (50, 0.75), (100, 0.5), (900, 0.5)):
        found = np.abs(moved(step(values, now), "value", "kernel"))
        np.testing.assert_allclose(found, 0.1 * factor, rtol=1e-4)


def test_schedules_warm_up_and_end_where_they_should():
    factors = {
        kind: [float(schedule(kind, jnp.float32(p), 0.2, 0.1)) for p in (0.1, 0.2, 0.6, 1.0)]
        for kind in ("constant", "linear", "cosine")
    }
    assert factors["constant"] == pytest.approx([0.5, 1, 1, 1])
    assert factors["linear"] == pytest.approx([0.5, 1, 0.55, 0.1])
    quarter = float(schedule("cosine", jnp.float32(0.4), 0.2, 0.1))
    assert factors["cosine"] == pytest.approx([0.5, 1, 0.55, 0.1], abs=1e-6)
    assert quarter == pytest.approx(0.1 + 0.9 * (1 + np.cos(np.pi / 4)) / 2)


def test_each_network_may_have_decays_of_its_own():
    decays = {"hp.dual_b1": 0.5, "hp.temperature_b1": 0.6, "hp.adam_b1": 0.8, "hp.adam_b2": 0.9}
    config = tiny("sac", decays)
    hp, one = traced(config.hp), jnp.float32(1)
    for name, decay in (("dual", 0.5), ("temperature", 0.6)):
        dual = dual_optimizer(config, 10, lambda hp: hp.temperature_lr, name)
        state = dual.step(hp, clock(0), 2 * one, dual.init(hp, one), one)
        assert float(state[1][0].mu) == pytest.approx((1 - decay) * 2)
        assert float(state[1][0].nu) == pytest.approx(0.1 * 4)
    network = network_optimizer(config, 10, "actor", config.agent.actor)
    state = network.step(hp, clock(0), GRADIENT, network.init(hp, PARAMS), PARAMS)
    gradient = np.asarray(GRADIENT["value"]["kernel"])
    np.testing.assert_allclose(state[1][0].mu["value"]["kernel"], 0.2 * gradient, rtol=1e-5)


def test_targets_follow_and_counts_are_copied():
    slow = {"mean": jnp.float32([1.0]), "batches": jnp.int32(3)}
    fast = {"mean": jnp.float32([2.0]), "batches": jnp.int32(9)}
    after = polyak(slow, fast, 0.25)
    assert float(after["mean"][0]) == 1.25 and int(after["batches"]) == 9
    assert after["batches"].dtype == jnp.int32

"""Hyper-parameters are traced: lanes may differ in them inside one program."""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np
import pytest

from helpers import (
    act,
    assert_close,
    assert_identical,
    changed,
    clock,
    engine_of,
    fill,
    host,
    make_rows,
    new_engine,
    select,
    tiny,
    train,
)
from rr_scale.config import HyperParams

SEED, WARM_UP = 6, 10
# Every lane sees the same data.
ONE = make_rows(WARM_UP + 10, 1)
CONFIG = tiny("sac")


def rows_for(lanes):
    return jax.tree.map(lambda x: np.repeat(x, lanes, axis=1), ONE)


def learn(engine, seeds, chunk=5):
    """Host state after 50 updates."""
    rows = rows_for(len(seeds))
    state = fill(engine, engine.init(seeds), select(rows, slice(WARM_UP)))
    return host(train(engine, state, select(rows, slice(WARM_UP, None)), chunk))


@functools.cache
def alone(hp):
    """What one lane with these hyper-parameters learns."""
    return select(learn(engine_of(CONFIG, [hp]), [SEED]).train, 0)


def check_lanes_against_single_ones(hps):
    engine = new_engine(CONFIG, hps)
    together = learn(engine, [SEED] * len(hps)).train
    for lane, hp in enumerate(hps):
        assert_close(select(together, lane), alone(hp), 1e-4)
    # One program without updates and one with: no value has its own.
    assert engine._step._cache_size() == 2
    assert engine._init._cache_size() == 1
    return together


def test_two_learning_rates_with_one_seed():
    slow, fast = (dataclasses.replace(CONFIG.hp, critic_lr=rate) for rate in (1e-4, 1e-2))
    together = check_lanes_against_single_ones([slow, fast])
    first, second = select(together, 0), select(together, 1)
    np.testing.assert_array_equal(first.root, second.root)
    assert changed(first.critic.params, second.critic.params)


def test_ten_discounts_and_a_twin_with_one_seed():
    discounts = [*np.linspace(0.0, 0.99, 10).tolist(), 0.0]
    together = check_lanes_against_single_ones(
        [dataclasses.replace(CONFIG.hp, discount=discount) for discount in discounts]
    )
    kernels = together.critic.params["value"]["kernel"].reshape(11, -1)
    assert len(np.unique(kernels, axis=0)) == 10
    assert_identical(select(together, 0), select(together, 10))


def test_an_infinite_clip_is_no_clip_beside_lanes_that_clip():
    config = tiny("sac", {"hp.critic_max_grad_norm": 0.1})
    together = learn(engine_of(config, [config.hp, CONFIG.hp]), [SEED, SEED]).train
    clipped, free = select(together, 0), select(together, 1)
    assert changed(clipped.critic.params, free.critic.params)
    # A clip is one more part of the optimiser's state, so only weights compare.
    assert_close(free.critic.params, alone(CONFIG.hp).critic.params, 1e-4)


BASES = {
    "sac": (
        "sac",
        {
            "hp.actor_max_grad_norm": 0.1,
            "hp.critic_max_grad_norm": 0.1,
            "hp.actor_weight_decay": 0.01,
            "hp.lr_warmup": 0.001,
            "agent.lr_schedule": "linear",
            **{f"hp.{part}_b1": 0.9 for part in ("actor", "critic", "temperature")},
            **{f"hp.{part}_b2": 0.999 for part in ("actor", "critic", "temperature")},
        },
    ),
    "td3 with ou noise": ("td3", {"agent.exploration": "ou", "hp.critic_weight_decay": 0.01}),
    "pessimism and optimism": (
        "sac",
        {
            "agent.critic.value": "categorical",
            "agent.critic.num_atoms": 11,
            "agent.critic.target_ensemble": "pessimistic",
            "agent.actor.objective_ensemble": "pessimistic",
            "agent.pessimism": "gpl",
            "hp.dual_b1": 0.9,
            "hp.dual_b2": 0.999,
            "agent.explorer.kind": "optimistic",
            "agent.temperature": "none",
            "agent.update_order": (
                "critic",
                "pessimism",
                "target",
                "actor",
                "explorer",
                "optimism",
            ),
        },
    ),
}
# Base -> hyper-parameters that mean something there, and the value tried instead.
EFFECTIVE = {
    "sac": {
        "actor_lr": 1e-3,
        "critic_lr": 1e-3,
        "temperature_lr": 1e-3,
        "discount": 0.5,
        "tau": 0.01,
        "init_temperature": 2.0,
        "target_entropy_scale": 1.0,
        **{f"{part}_b1": 0.5 for part in ("actor", "critic", "temperature")},
        **{f"{part}_b2": 0.9 for part in ("actor", "critic", "temperature")},
        "lr_warmup": 0.004,
        "lr_end": 0.5,
        "actor_weight_decay": 0.02,
        "adam_eps": 1e-3,
        "actor_max_grad_norm": 0.2,
        "critic_max_grad_norm": 0.2,
    },
    "td3 with ou noise": {
        "adam_b1": 0.5,
        "adam_b2": 0.9,
        "noise_start": 0.2,
        "noise_end": 0.2,
        "ou_theta": 0.3,
        "ou_dt": 0.02,
        "target_noise": 0.4,
        "target_noise_clip": 0.1,
        "critic_weight_decay": 0.02,
    },
    "pessimism and optimism": {
        "v_min": -5.0,
        "v_max": 5.0,
        "pessimism": 0.5,
        "pessimism_lr": 0.01,
        # Beyond what is learned, so that they are reached.
        "pessimism_min": 2.0,
        "pessimism_max": -2.0,
        "init_optimism": 2.0,
        "init_kl_weight": 1.0,
        "optimism_lr": 1e-3,
        "dual_b1": 0.5,
        "dual_b2": 0.9,
        "target_kl": 1e4,
        "explorer_std": 1.5,
    },
}
# What replay alone reads has tests of its own.
OF_REPLAY = (
    "priority_exponent",
    "priority_epsilon",
    "importance_start",
    "importance_end",
    "lap_floor",
    "hindsight_share",
)


@pytest.mark.parametrize("base", BASES)
def test_every_hyper_parameter_has_an_effect_of_its_own(base):
    config, names = tiny(*BASES[base]), EFFECTIVE[base]
    hps = [config.hp]
    hps += [dataclasses.replace(config.hp, **{name: value}) for name, value in names.items()]
    engine, rows = engine_of(config, hps), rows_for(len(hps))
    state = fill(engine, engine.init([SEED] * len(hps)), select(rows, slice(WARM_UP)))
    for step in range(WARM_UP, WARM_UP + 4):
        # Half way to the horizon, where both ends of the noise schedule count.
        now = clock(500 + step, 2 * (step - WARM_UP))
        action, state = act(engine, state, rows.observation[step], now, "explore")
        state = engine.step(state, select(rows, step)._replace(action=action), now, 2)
    lanes = [host((select(state.train, lane), action[lane])) for lane in range(len(hps))]
    for name, lane in zip(names, lanes[1:], strict=True):
        assert changed(lanes[0], lane), name


def test_the_table_above_names_every_hyper_parameter():
    listed = [name for names in EFFECTIVE.values() for name in names] + [*OF_REPLAY]
    assert sorted(listed) == sorted(field.name for field in dataclasses.fields(HyperParams))

"""What every agent promises, for every preset and a few combinations nobody published."""

from __future__ import annotations

import functools

import jax
import numpy as np
import pytest

from helpers import (
    ACTION_SIZE,
    BATCH_SIZE,
    OBSERVATION_SIZE,
    act,
    agent_of,
    assert_identical,
    changed,
    clock,
    engine_of,
    host,
    make_batch,
    make_rows,
    named,
    select,
    tiny,
    traced,
    train,
)
from rr_scale.config import ResetRule
from rr_scale.presets import PRESETS
from rr_scale.presets.regularised import STUDY
from rr_scale.rng import root_key
from rr_scale.train.metrics import METRICS

STEPS = BATCH_SIZE
# Networks start as the presets say, and every preset is reset.
COMMON = {
    "agent.actor.network.initializer": "orthogonal",
    "agent.critic.network.initializer": "orthogonal",
    "resets": (ResetRule(),),
}
UNPUBLISHED = {
    "everything in SAC": (
        "sac",
        {
            "agent.temperature": "log",
            "agent.exploration": "ou",
            "agent.normalize_observations": True,
            "agent.critic.ensemble_size": 5,
            "agent.critic.target_ensemble": "mean",
            "agent.critic.bootstrap_policy": "target_noise",
            "agent.actor.log_sigma_map": "clip",
            "agent.actor.log_prob": "epsilon",
            "agent.actor.network.activation": "tanh",
            "agent.critic.network.activation": "elu",
            "agent.critic.network.initializer": "xavier_uniform",
            "agent.update_order": ("actor", "temperature", "critic", "target"),
            "agent.actor_delay": 3,
            "agent.target_delay": 2,
            "replay.n_step": 3,
            "replay.sampling": "prioritized",
            "replay.bootstrap_on_truncation": False,
            "hp.actor_max_grad_norm": 1.0,
            "hp.critic_max_grad_norm": 1.0,
            "hp.critic_weight_decay": 0.01,
        },
    ),
    "quantiles, explorer, bandit": (
        "sac",
        {
            "agent.critic.value": "quantile",
            "agent.critic.num_quantiles": 5,
            "agent.critic.ensemble_size": 3,
            "agent.critic.target_subset": 2,
            "agent.critic.target_ensemble": "pessimistic",
            "agent.actor.objective_ensemble": "truncated",
            "agent.actor.num_samples": 2,
            "agent.pessimism": "top",
            "agent.explorer.kind": "optimistic",
            "agent.exploration": "ou",
            "agent.noise_repeat": 4,
            "agent.reward_scale": "return_bound",
            "agent.update_order": (
                "explorer",
                "optimism",
                "critic",
                "target",
                "actor",
                "temperature",
            ),
        },
    ),
    "atoms, learned pessimism": (
        "sac",
        {
            "agent.critic.value": "categorical",
            "agent.critic.num_atoms": 11,
            "agent.critic.target_ensemble": "pessimistic",
            "agent.actor.objective_ensemble": "mixture",
            "agent.pessimism": "gpl",
            "agent.reward_scale": "return_std",
            "agent.update_order": ("critic", "pessimism", "actor", "temperature", "target"),
            "agent.target_delay": 2,
            "replay.n_step": 2,
        },
    ),
    "goals in hindsight, priorities, validation": (
        "sac",
        {
            "agent.critic.loss": "huber",
            "replay.hindsight": "future",
            "replay.sampling": "lap",
            "replay.validation_share": 0.1,
            "replay.n_step": 2,
            "replay.storage": "compact",
        },
    ),
    "no target network, bound kernels": (
        "sac",
        {
            "agent.update_order": ("critic", "actor", "temperature"),
            "agent.critic.target_network": "none",
            "agent.critic.network.hidden": (8, 8),
            "agent.critic.network.normalization": "batch_renorm",
            "agent.critic.network.renorm_warmup": 1,
            "agent.critic.network.normalize_after_activation": True,
            "agent.critic.network.normalize_input": True,
            "agent.critic.network.activation": "crelu",
            "agent.critic.network.dropout": 0.1,
            "agent.critic.network.kernel": "spectral_norm",
            "agent.critic.network.unit_head": True,
            "agent.actor.network.kernel": "weight_norm",
            "agent.actor.network.normalization": "rms_norm",
            "agent.actor.network.activation": "swish",
            "agent.critic.optimizer.name": "adamw",
            "agent.critic.optimizer.decayed": "free",
            "hp.critic_weight_decay": 0.01,
            "hp.dual_b1": 0.5,
        },
    ),
    "residual trunks, copied targets": (
        "sac",
        {
            "agent.critic.network.trunk": "bronet",
            "agent.critic.network.normalization": "batch_norm",
            "agent.critic.network.kernel": "unit_norm",
            "agent.critic.network.bias": False,
            "agent.critic.target_network": "hard",
            "agent.critic.next_pass": "separate",
            "agent.critic.bootstrap_policy": "target",
            "agent.actor.network.trunk": "simba_v2",
            "agent.actor.network.activation": "gelu",
            "agent.actor.optimizer.name": "adamw",
            "agent.actor.optimizer.decayed": "kernels",
            "agent.lr_schedule": "cosine",
            "hp.actor_weight_decay": 0.01,
            "resets": (ResetRule(what="critic", how="recycle", score="relative", threshold=0.5),),
        },
    ),
}
# Every entry starts at the same number.
_STARTS_CONSTANT = tuple(f"['{name}']" for name in ("bias", "scale", "scaler"))
# The cells of the study have a test of their own, which lets them share programs.
ROWS = [*(name for name in PRESETS if name not in STUDY), *UNPUBLISHED]
# Rows with programs of their own, half a minute each: compiled in `make test-all` only. Normal
# tests compile most of their ingredients together, in `UNPUBLISHED`, and trace all of them.
LARGE = (
    *("redq", "tqc", "bro_fast", "bro", "dac", "vpl", "simba_v2", "xqc", "flash_sac"),
    *("droq", "crossq", "crossq_wn", "simba", "quantiles, explorer, bandit"),
)


def marks(name, lanes):
    twice = lanes == 1 and name in UNPUBLISHED
    return pytest.mark.slow if name in LARGE or twice else ()


CASES = pytest.mark.parametrize(
    ("name", "lanes"),
    [pytest.param(name, lanes, marks=marks(name, lanes)) for name in ROWS for lanes in (1, 3)],
)


@functools.cache
def configuration(name):
    preset, values = UNPUBLISHED.get(name, (name, {}))
    return tiny(preset, COMMON | values)


@functools.cache
def history(name, lanes):
    """(engine, state after init, after the warm-up, after 3 updates more), on the host."""
    engine = engine_of(configuration(name), lanes)
    rows = make_rows(STEPS + 1, lanes)
    state = engine.init(list(range(lanes)))
    fresh = host(state)
    state = train(engine, state, select(rows, slice(STEPS)), 0)
    warm = host(state)
    state = train(engine, state, select(rows, slice(STEPS, None)), 3)
    return engine, fresh, warm, host(state)


def signature(state):
    """Structure, shapes, dtypes and weak types: what decides about recompilation."""
    leaves, structure = jax.tree.flatten(state)
    return structure, [(x.shape, x.dtype, getattr(x, "weak_type", False)) for x in leaves]


def assert_finite(state):
    for path, leaf in named(state).items():
        assert np.isfinite(leaf).all(), path


@CASES
def test_initial_and_updated_states_are_finite(name, lanes):
    _, fresh, _, updated = history(name, lanes)
    assert_finite(fresh)
    assert_finite(updated)
    np.testing.assert_array_equal(updated.first_bad, np.full(lanes, -1))


@CASES
def test_targets_start_as_copies_and_lanes_differ(name, lanes):
    fresh = history(name, lanes)[1].train
    for learner in (fresh.critic, fresh.actor):
        if learner.target is not None:
            assert_identical(learner.target, learner.params)
            assert_identical(learner.target_stats, learner.stats)
    for path, leaf in named((fresh.actor.params, fresh.critic.params)).items():
        different = len(np.unique(leaf.reshape(lanes, -1), axis=0))
        assert different == (1 if path.endswith(_STARTS_CONSTANT) else lanes), path
    for path, leaf in named(fresh.critic.params).items():
        members = leaf.reshape(-1, *leaf.shape[2:])
        different = len(np.unique(members.reshape(len(members), -1), axis=0))
        assert path.endswith(_STARTS_CONSTANT) or different == len(members), path


@CASES
def test_three_updates_change_every_leaf_that_learns(name, lanes):
    _, fresh, warm, updated = history(name, lanes)
    constant = {path for path in named(warm.train) if path == ".root" or "normalizers" in path}
    if configuration(name).agent.pessimism == "vpl":
        # It waits for a batch of validation rows.
        constant |= {path for path in named(warm.train) if "['pessimism']" in path}
    # Acting and storing alone teach nothing but the normalisers.
    observed = changed(fresh.train, warm.train)
    assert observed <= {path for path in constant if "normalizers" in path}
    for entry in fresh.train.normalizers:
        assert any(f"['{entry}']" in path for path in observed), entry
    learned = changed(warm.train, updated.train)
    assert learned - constant == set(named(warm.train)) - constant
    assert ".root" not in learned


@CASES
def test_actions_are_in_the_box_in_every_mode(name, lanes):
    engine = history(name, lanes)[0]
    state = engine.init(list(range(lanes)))
    observation = np.random.default_rng(0).normal(size=(lanes, 3)).astype(np.float32)
    actions = []
    for mode in ("warmup", "explore"):
        action, state = act(engine, state, 30 * observation, clock(1), mode)
        actions.append(action)
    episodes = np.stack([observation, -observation], axis=1)
    evaluated = engine.evaluate(engine.policy(state), episodes)
    assert evaluated.shape == (lanes, 2, ACTION_SIZE)
    for action in (*actions, evaluated):
        assert action.dtype == np.float32
        assert action.shape[0] == lanes and action.shape[-1] == ACTION_SIZE
        assert np.isfinite(action).all() and np.abs(action).max() <= 1.0


@CASES
def test_no_program_changes_shapes_dtypes_or_structure(name, lanes):
    engine = history(name, lanes)[0]
    rows = select(make_rows(1, lanes), 0)
    state = engine.init(list(range(lanes)))
    before = signature(state)
    _, state = act(engine, state, rows.observation, clock(0), "explore")
    assert signature(state) == before
    for updates in (0, 3):
        old = jax.tree.leaves(state.replay.rows)
        state = engine.step(state, rows, clock(1), updates)
        deleted = [leaf.is_deleted() for leaf in old]
        assert all(deleted), "the ring was copied instead of written in place"
        assert signature(state) == before
    state = engine.reset(state, 0, 0)
    assert signature(state) == before
    shapes = engine.shapes(list(range(lanes)))
    assert jax.tree.structure(shapes) == before[0]


@CASES
def test_metrics_are_registered_and_were_computed(name, lanes):
    engine, _, _, updated = history(name, lanes)
    means, _ = engine.read_metrics(updated)
    assert set(means) <= set(METRICS)
    assert {"train/critic_loss", "train/actor_loss"} <= set(means)
    for metric, values in means.items():
        assert values.shape == (lanes,)
        assert np.isfinite(values).all(), metric


@CASES
def test_the_same_seeds_give_the_same_bits(name, lanes):
    engine, fresh, _, updated = history(name, lanes)
    state = engine.init(list(range(lanes)))
    assert_identical(fresh, state)
    rows = make_rows(STEPS + 1, lanes)
    state = train(engine, state, select(rows, slice(STEPS)), 0)
    state = train(engine, state, select(rows, slice(STEPS, None)), 3)
    assert_identical(updated, state)


# `sr_sac` differs in its resets, `sac_sparse` in its buffer, `sac_standard` in nothing.
LEARNING_ALIKE = ("sac", "sr_sac", "sac_sparse", "sac_standard")


@pytest.mark.parametrize("name", ROWS)
def test_tracing_keeps_the_structure_of_the_state(name):
    config = configuration(name)
    agent, hp = agent_of(config), traced(config.hp)
    state = jax.eval_shape(agent.init, root_key(0), hp)
    batches = {"train": make_batch(), "validation": make_batch()}
    row = select(make_rows(1, 1), (0, 0))
    for call in (
        lambda state: agent.update(hp, state, batches, clock(9))[0],
        lambda state: agent.observe(hp, state, row, np.bool_(False)),
        lambda state: agent.reset(hp, state, 0, np.int32(0), lambda: batches["train"]),
    ):
        after = jax.eval_shape(call, state)
        assert jax.tree.structure(after) == jax.tree.structure(state)
        assert signature(after) == signature(state)
    memory = jax.eval_shape(agent.initial_memory)
    observation = np.zeros(OBSERVATION_SIZE, np.float32)

    def act(state, memory):
        return agent.act(hp, state, memory, observation, clock(9), "explore")

    action, later = jax.eval_shape(act, state, memory)
    assert action.shape == (ACTION_SIZE,) and signature(later) == signature(memory)


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name, 3)) for name in ROWS])
def test_presets_differ_in_what_they_learn(name):
    one, other = history(name, 3)[3].train, history("sac", 3)[3].train
    alike = jax.tree.structure(one) == jax.tree.structure(other) and not changed(one, other)
    assert alike == (name in LEARNING_ALIKE)

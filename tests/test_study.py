"""The regularisation study: every cell is a configuration of its own, and trains."""

from __future__ import annotations

import functools
import random
import re

import jax
import numpy as np
import pytest

from helpers import (
    agent_of,
    changed,
    clock,
    engine_of,
    host,
    make_batch,
    make_rows,
    select,
    tiny,
    traced,
    train,
)
from rr_scale import configure
from rr_scale.presets import PRESETS, preset
from rr_scale.presets.regularised import CRITIC, NETWORK, PLASTICITY, STUDY
from rr_scale.rng import root_key
from rr_scale.validation import validate

# Spectral normalisation leaves the first layer alone.
TINY = {"agent.critic.network.hidden": (8, 8), "agent.actor.network.hidden": (8,)}
RULES = [*(PRESETS[f"reg_min_none_{level}"]().resets for level in PLASTICITY)]
FEW = sorted(random.Random(0).sample(sorted(STUDY), 6))
NAMES = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FEW else pytest.mark.slow) for name in STUDY]
)
CELLS = pytest.mark.parametrize(
    ("critic", "network"), [(critic, network) for critic in CRITIC for network in NETWORK]
)


def test_there_are_at_least_64_agents_and_no_two_alike():
    assert len(STUDY) == len(CRITIC) * len(NETWORK) * len(PLASTICITY) >= 64
    configurations = set()
    for name, levels in STUDY.items():
        assert name == "_".join(("reg", *levels))
        validate(preset(name))
        configurations.add(tuple(sorted(map(str, configure.flatten(PRESETS[name]()).items()))))
    assert len(configurations) == len(STUDY)


@NAMES
def test_updates_and_resets_keep_the_structure_of_the_state(name):
    config = tiny(name, TINY)
    agent, hp = agent_of(config), traced(config.hp)
    state = jax.eval_shape(agent.init, root_key(0), hp)
    batches = {"train": make_batch()}
    calls = [lambda state: agent.update(hp, state, batches, clock(9))[0]]
    draw = functools.partial(make_batch, 1)
    calls += [lambda state: agent.reset(hp, state, 0, np.int32(0), draw)] * len(config.resets)
    for call in calls:
        after = jax.eval_shape(call, state)
        assert jax.tree.structure(after) == jax.tree.structure(state)
        for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
            assert (old.shape, old.dtype) == (new.shape, new.dtype)


@functools.cache
def program(critic, network):
    """The engine of all cells with these levels: they differ in the reset rules that fire."""
    rules = tuple(rule for resets in RULES for rule in resets)
    return engine_of(tiny(f"reg_{critic}_{network}_none", TINY | {"resets": rules}))


def with_a_dead_unit(state):
    """Something to recycle: the first hidden unit of both critics, whatever they see."""

    def silenced(path, leaf):
        first = re.search(r"Dense_0'\]\['bias'\]", jax.tree_util.keystr(path))
        return leaf.at[..., 0].set(-1e6) if first else leaf

    critic = state.train.critic
    params = jax.tree_util.tree_map_with_path(silenced, critic.params)
    return state._replace(train=state.train._replace(critic=critic._replace(params=params)))


@pytest.mark.slow
@CELLS
def test_every_cell_trains_through_its_resets(critic, network):
    engine, rows = program(critic, network), make_rows(12, 1)
    fired = [index for index, resets in enumerate(r for r in RULES if r)]
    for rule in (None, *fired):
        state = train(engine, engine.init([3]), select(rows, slice(10)), 0)
        state = train(engine, state, select(rows, slice(10, 11)), 2)
        state = with_a_dead_unit(state)
        before = host(state)
        if rule is not None:
            state = engine.reset(state, rule, 0)
        reset = host(state)
        assert bool(changed(before.train, reset.train)) == (rule is not None)
        after = host(train(engine, state, select(rows, slice(11, None)), 2, update=2))
        assert after.first_bad[0] == -1
        for part in ("actor", "critic"):
            old, new = (getattr(tree.train, part).params for tree in (reset, after))
            assert len(changed(old, new)) == len(jax.tree.leaves(old))
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(new))

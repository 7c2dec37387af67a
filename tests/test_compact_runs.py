"""Agents, checkpoints and whole runs do not notice how replay is stored."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from episode_rows import lanes_of
from helpers import assert_identical, clock, engine_of, fill, select, tiny, train
from marks import in_all_tests
from rr_scale import run
from rr_scale.config import ReplayConfig
from rr_scale.envs.probes import PROBES
from rr_scale.envs.spec import EnvSpec
from rr_scale.errors import UserError
from rr_scale.flags import read_arguments
from rr_scale.replay import rings
from rr_scale.replay.sampling import sample
from rr_scale.train import budget, snapshot
from small_runs import Walk, dying, exact_files, replay_rows, share_engines
from small_runs import tiny as tiny_run

WINDOWS = ReplayConfig(batch_size=64, n_step=3)
DRAW = jax.jit(jax.vmap(lambda ring, key: sample(ring, key, jnp.float32(0.9), WINDOWS)))


def config_of(storage, **values):
    return tiny("sac", {"replay.storage": storage, "replay.n_step": 3, **values})


def trained(storage, rows, lanes):
    engine = engine_of(config_of(storage), lanes, capacity=20)
    state = fill(engine, engine.init(list(range(lanes))), select(rows, slice(15)))
    return engine, train(engine, state, select(rows, slice(15, None)), 2)


def test_agents_learn_the_same_from_either_ring():
    rows = lanes_of(40, 3, range(8, 14))
    (_, plain), (_, compact) = (trained(storage, rows, 3) for storage in rings.STORAGES)
    assert_identical(plain._replace(replay=None), compact._replace(replay=None))
    np.testing.assert_array_equal(plain.replay.size, compact.replay.size)


def restored(engine, state, into, seeds, total, capacity):
    first = max(total - capacity, 0)
    rows = {
        name: values.copy() for name, values in engine.reader.rows(state, first, total)().items()
    }
    saved = snapshot.to_saved(engine, state)
    return snapshot.from_saved(into, seeds, saved, rows, first, total)


@pytest.mark.parametrize("lengths", [range(8, 14), range(1, 4)], ids=["long", "short"])
@pytest.mark.parametrize("after", rings.STORAGES)
@pytest.mark.parametrize("before", rings.STORAGES)
def test_a_ring_that_was_away_goes_on_as_if_it_had_not_been(before, after, lengths):
    rows, more = lanes_of(47, 2, lengths), lanes_of(60, 2, lengths, jump=0.1)
    engine, other = (engine_of(config_of(s), 2, capacity=20) for s in (before, after))
    state = fill(engine, engine.init([0, 1]), rows)
    stayed = fill(other, other.init([0, 1]), rows)
    size = np.minimum(state.replay.size, stayed.replay.size)
    assert (size == 20).all() or lengths == range(1, 4)
    if before == "compact":
        # Rows that were given up do not come back.
        stayed = stayed._replace(replay=stayed.replay._replace(size=jnp.array(size)))
    away = restored(engine, state, other, [0, 1], 47, 20)
    for step in range(60):
        keys = jax.random.split(jax.random.key(step), 2)
        np.testing.assert_array_equal(away.replay.size, stayed.replay.size)
        assert_identical(DRAW(away.replay, keys), DRAW(stayed.replay, keys))
        row, now = select(more, step), clock(48 + step)
        away, stayed = (other.step(one, row, now, 0) for one in (away, stayed))


class LongWalk(Walk):
    name = "probe-long-walk"
    horizon = 9


class ShortWalk(Walk):
    name = "probe-short-walk"
    horizon = 2


def configured(folder: Path, storage, probe, **settings):
    values = {"env_name": probe.name, "replay.capacity": 70, "replay.n_step": 3}
    return tiny_run("sac", folder, **(values | {"replay.storage": storage} | settings))


@pytest.fixture
def probes(monkeypatch):
    share_engines(monkeypatch)
    for probe in (LongWalk, ShortWalk):
        monkeypatch.setitem(PROBES, probe.name, probe)


@pytest.mark.parametrize("first", ["plain", *in_all_tests("compact")])
def test_a_run_may_change_its_storage_when_it_is_resumed(first, probes, tmp_path):
    whole, crashed = (configured(tmp_path / name, first, LongWalk) for name in ("whole", "crashed"))
    assert run(whole).exit_status == 0
    with dying("_step", 130):
        run(crashed)
    second = next(storage for storage in rings.STORAGES if storage != first)
    replay = dataclasses.replace(crashed.replay, storage=second)
    assert run(dataclasses.replace(crashed, resume="must", replay=replay)).exit_status == 0
    assert exact_files(tmp_path / "crashed") == exact_files(tmp_path / "whole")


@pytest.mark.parametrize("interval", [140, *in_all_tests(30)])
def test_a_run_that_gave_up_rows_resumes_exactly(interval, probes, tmp_path):
    whole, crashed = (
        configured(tmp_path / name, "compact", ShortWalk, checkpoint_freq=interval)
        for name in ("whole", "crashed")
    )
    assert run(whole).exit_status == 0
    with dying("_step", 150):
        run(crashed)
    # At the long interval, rows were gone before they could be written.
    gone = np.isnan(replay_rows(tmp_path / "crashed")["action"])
    assert gone.any() == (interval == 140)
    assert run(dataclasses.replace(crashed, resume="must")).exit_status == 0
    assert exact_files(tmp_path / "crashed") == exact_files(tmp_path / "whole")


def test_a_buffer_that_only_fits_compact_says_so(monkeypatch, tmp_path):
    config = tiny_run("sac", tmp_path, **{"replay.capacity": 100, "max_steps": 100})
    spec = EnvSpec("any", 400, 4)
    needs = {storage: rings.nbytes(storage, 100, 400, 4) for storage in rings.STORAGES}
    monkeypatch.setattr(budget, "_free_bytes", lambda: needs["plain"])
    with pytest.raises(UserError, match="or --replay_storage=compact"):
        budget.check(config, spec, 1)
    compact = dataclasses.replace(config.replay, storage="compact")
    budget.check(dataclasses.replace(config, replay=compact), spec, 1)
    monkeypatch.setattr(budget, "_free_bytes", lambda: 1000)
    with pytest.raises(UserError, match="at once$"):
        budget.check(dataclasses.replace(config, replay=compact), spec, 1)


def test_the_flag_chooses_the_storage():
    assert read_arguments(["run", "--replay_storage=compact"]).config.replay.storage == "compact"


@pytest.mark.parametrize("updates", [0, 2])
def test_rows_are_written_in_place(updates):
    capacity, lanes = 5000, 3
    engine = engine_of(config_of("compact"), lanes, capacity)
    rows = lanes_of(2, lanes, (1,))
    state = engine.step(engine.init([0, 1, 2]), select(rows, 0), clock(1), updates)
    old = state.replay.observations
    place = old.unsafe_buffer_pointer()
    state = engine.step(state, select(rows, 1), clock(2), updates)
    assert old.is_deleted()
    assert state.replay.observations.unsafe_buffer_pointer() == place


def test_accelerators_have_memory_each_and_host_devices_share_it(monkeypatch, tmp_path):
    config = tiny_run("sac", tmp_path, **{"replay.capacity": 100, "max_steps": 100})
    spec = EnvSpec("any", 400, 4)
    monkeypatch.setattr(budget, "_free_bytes", lambda: 3 * rings.nbytes("plain", 100, 400, 4))

    def on(platform):
        return lambda *_: SimpleNamespace(platform=platform, padded=4, per_device=2)

    monkeypatch.setattr(budget, "placed", on("gpu"))
    budget.check(config, spec, 4)
    monkeypatch.setattr(budget, "placed", on("cpu"))
    with pytest.raises(UserError, match="for 4 lanes"):
        budget.check(config, spec, 4)

"""What a whole run writes, and what must not change it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from rr_scale import run
from rr_scale.analysis.load import read_results
from rr_scale.config import ResetRule, RunConfig, Variant
from rr_scale.engine import Engine
from rr_scale.rng import root_key
from rr_scale.train import assembly
from rr_scale.train.metrics import METRICS
from rr_scale.train.policies import load_policy
from small_runs import (
    all_files,
    exact_files,
    last_checkpoint,
    metric_rows,
    replay_rows,
    results,
    share_engines,
    tiny,
)

RESETS = (
    ResetRule(unit="updates", interval=100),
    ResetRule(unit="env_steps", interval=70, what="last_layers"),
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    share_engines(monkeypatch)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A run that others are compared with."""
    with pytest.MonkeyPatch.context() as patch:
        share_engines(patch)
        config = tuned(tmp_path_factory.mktemp("reference"))
        assert run(config).exit_status == 0
    return config


def tuned(folder: Path, **settings: Any) -> RunConfig:
    ours = {
        "updates_per_step": 2.5,
        "max_steps": 170,
        "resets": RESETS,
        "agent.normalize_observations": True,
    }
    return tiny("sac", folder, **(ours | settings))


def folder_of(config: RunConfig) -> Path:
    return Path(config.save_dir)


def test_evaluations_come_at_zero_at_every_interval_and_at_the_end(reference: RunConfig) -> None:
    rows = read_results(folder_of(reference) / "results.csv")
    names = ("avg_return", "avg_length", "return_std", "avg_success")
    expected = [
        (step, seed, name)
        for step in (0, 40, 80, 120, 160, 170)
        for seed in (0, 1)
        for name in names
    ]
    assert [(row.env_step, row.seed, row.metric) for row in rows] == expected
    assert {(row.exp_name, row.env_name) for row in rows} == {("sac", "probe-target")}
    assert all(row.frames == row.env_step for row in rows)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_text_file_of_a_seed_loads_with_numpy(reference: RunConfig, seed: int) -> None:
    table = np.loadtxt(folder_of(reference) / f"{seed}.txt")
    rows = [row for row in results(folder_of(reference)) if row.seed == seed]
    np.testing.assert_array_equal(table, [(row.env_step, row.value) for row in rows])


@pytest.mark.parametrize(
    ("ratio", "start"), [pytest.param(0.5, 20, marks=pytest.mark.slow), (2.5, 20), (2.5, 31)]
)
def test_a_fractional_replay_ratio_is_met_exactly(ratio: float, start: int, tmp_path: Path) -> None:
    config = tuned(tmp_path, updates_per_step=ratio, start_training=start, resets=())
    run(config)
    expected = {step: int(max(step - start, 0) * ratio) for step in (0, 40, 80, 120, 160, 170)}
    assert {row.env_step: row.updates for row in results(tmp_path)} == expected
    # What the device did, by the count that Adam keeps.
    state = last_checkpoint(config).state.train.critic.opt_state
    assert [leaf.tolist() for leaf in jax.tree.leaves(state) if leaf.ndim == 1] == [
        [expected[170]] * 2
    ]


def test_resets_are_recorded_at_their_steps(reference: RunConfig) -> None:
    fired = [
        (row.env_step, int(row.value)) for row in metric_rows(folder_of(reference), "reset/fired")
    ]
    # 100 updates are 40 env steps at 2.5 updates per step, warm-up included.
    assert fired == [(40, 0), (70, 1), (80, 0), (120, 0), (140, 1), (160, 0)]


def test_a_reset_changes_training(reference: RunConfig, tmp_path: Path) -> None:
    run(tuned(tmp_path, resets=()))
    with_resets, without = (replay_rows(path) for path in (folder_of(reference), tmp_path))
    np.testing.assert_array_equal(with_resets["action"][:, :40], without["action"][:, :40])
    assert not np.array_equal(with_resets["action"][:, 40], without["action"][:, 40])


@pytest.mark.parametrize(
    "settings",
    [
        {"eval_interval": 23},
        {"eval_interval": 1000},
        {"log_interval": 7},
        {"eval_envs": 1},
        {"env_workers": 2},
        {"checkpoint_freq": 9},
        {"checkpoint_freq": 0},
        {"log_interval": 1000, "env_workers": 1, "eval_envs": 3, "eval_interval": 17},
    ],
    ids=lambda settings: ",".join(f"{name}={value}" for name, value in settings.items()),
)
def test_what_only_watches_training_does_not_change_it(
    settings: dict[str, Any], reference: RunConfig, tmp_path: Path
) -> None:
    run(tuned(tmp_path, **settings))
    expected, found = (
        {(row.env_step, row.seed): row for row in results(path)}
        for path in (folder_of(reference), tmp_path)
    )
    common = expected.keys() & found.keys()
    assert {(0, 0), (170, 1)} <= common
    assert {key: expected[key] for key in common} == {key: found[key] for key in common}
    for seed in (0, 1):
        last = Path("policies") / f"{seed}-last.npz"
        assert (tmp_path / last).read_bytes() == (folder_of(reference) / last).read_bytes()
    assert [(row.env_step, row.value) for row in metric_rows(tmp_path, "reset/fired")] == [
        (row.env_step, row.value) for row in metric_rows(folder_of(reference), "reset/fired")
    ]


def test_every_seed_has_episodes_and_actions_of_its_own(reference: RunConfig) -> None:
    rows = replay_rows(folder_of(reference))
    for field in ("observation", "action"):
        steps = [rows[field][lane, step].tobytes() for lane in range(2) for step in range(170)]
        assert len(set(steps)) == len(steps)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_seed_trained_with_others_is_that_seed_alone(
    seed: int, reference: RunConfig, tmp_path: Path
) -> None:
    run(tuned(tmp_path, seed=seed, num_seeds=1))
    together, alone = replay_rows(folder_of(reference)), replay_rows(tmp_path)
    # The observation of a one-step episode is its seed's; warm-up draws integers.
    np.testing.assert_array_equal(alone["observation"][0], together["observation"][seed])
    np.testing.assert_array_equal(alone["action"][0, :20], together["action"][seed, :20])
    np.testing.assert_allclose(alone["action"][0, :40], together["action"][seed, :40], atol=1e-4)
    (value,) = (row.value for row in results(tmp_path) if row.env_step == 40)
    (other,) = (
        row.value for row in results(folder_of(reference)) if (row.env_step, row.seed) == (40, seed)
    )
    assert value == pytest.approx(other, rel=1e-3)


def test_a_finished_run_started_again_changes_no_file(
    reference: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    before = all_files(folder_of(reference))
    again = run(reference)
    assert all_files(folder_of(reference)) == before
    assert again.exit_status == 0
    assert again.table in capsys.readouterr().out
    assert "steps since reset" in again.table
    assert before["learning_curve.png"].startswith(b"\x89PNG")


def test_the_table_holds_the_last_return_of_each_seed(reference: RunConfig) -> None:
    lines = [line.split() for line in run(reference).table.splitlines()]
    for row in results(folder_of(reference)):
        if row.env_step == 170:
            # The last firing before the last evaluation is at 160.
            (line,) = (line for line in lines if line[0] == str(row.seed))
            assert (line[1], line[-1]) == (f"{row.value:.1f}", "10")


def test_every_metric_written_is_in_the_registry(reference: RunConfig) -> None:
    written = {row.metric for row in read_results(folder_of(reference) / "metrics.csv")}
    assert written <= set(METRICS)
    assert {"train/critic_loss", "train/temperature", "train/episode_return"} <= written
    assert {name for name in METRICS if name.startswith("time/")} <= written
    logged = {row.env_step for row in metric_rows(folder_of(reference), "train/critic_loss")}
    assert logged == {30, 60, 90, 120, 150, 170}


def test_a_saved_policy_acts_as_the_one_that_was_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    evaluate = Engine.evaluate

    def recording(self: Engine, state: Any, observation: np.ndarray) -> np.ndarray:
        action = evaluate(self, state, observation)
        seen.append((observation.copy(), action))
        return action

    monkeypatch.setattr(Engine, "evaluate", recording)
    run(tuned(tmp_path))
    observations, actions = seen[-1]
    for lane in range(2):
        arrays, metadata = load_policy(tmp_path / f"policies/{lane}-last.npz")
        assert (metadata["env_step"], metadata["seed"]) == (170, lane)
        moments = {name: arrays[f"normalizer/observation/{name}"] for name in ("mean", "spread")}
        deviation = np.sqrt(moments["spread"] / arrays["normalizer/observation/seen"] + 1e-8)
        x = (observations[lane] - moments["mean"]) / deviation
        for layer in ("trunk/Dense_0", "mean"):
            x = x @ arrays[f"params/{layer}/kernel"] + arrays[f"params/{layer}/bias"]
            x = np.maximum(x, 0) if layer != "mean" else np.tanh(x)
        np.testing.assert_allclose(x, actions[lane], atol=1e-5)
    assert np.abs(actions[0] - actions[1]).max() > 1e-3


def test_variants_are_one_program_and_a_folder_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines: list[Engine] = []
    make = assembly.Engine
    monkeypatch.setattr(
        assembly, "Engine", lambda *rest: engines.append(make(*rest)) or engines[-1]
    )
    variants = (
        Variant("frozen", (("actor_lr", 0.0), ("critic_lr", 0.0))),
        Variant("learning", (("actor_lr", 1e-2),)),
    )
    config = tuned(tmp_path, variants=variants, resets=(), updates_per_step=1)
    assert run(config).exit_status == 0
    (engine,) = engines
    # Without an update and with one.
    assert engine._step._cache_size() == 2
    initial = assembly.make_agent(config, 2, 2, 170).init
    for name in ("frozen", "learning"):
        files = exact_files(tmp_path / name)
        assert {"results.csv", "metrics.csv", "0.txt", "1.txt"} <= set(files)
        assert {row.exp_name for row in results(tmp_path / name)} == {f"sac_{name}"}
        assert (tmp_path / name / "learning_curve.png").is_file()
        for seed in (0, 1):
            arrays, _ = load_policy(tmp_path / name / f"policies/{seed}-last.npz")
            first = initial(root_key(seed), config.hp).actor.params["mean"]["kernel"]
            moved = np.abs(arrays["params/mean/kernel"] - first).max()
            assert (moved < 1e-6) == (name == "frozen")
    assert not (tmp_path / "results.csv").exists()


def test_a_larger_budget_does_not_move_the_schedule(tmp_path: Path) -> None:
    def noisy(name: str, **settings: Any) -> RunConfig:
        ours = {"eval_interval": 30, "noise_horizon": 0, "replay.capacity": 90}
        return tiny("ddpg", tmp_path / name, **(ours | settings))

    run(noisy("extended", max_steps=90))
    run(noisy("extended", max_steps=170))
    run(noisy("planned", max_steps=170, noise_horizon=90))
    extended, planned = tmp_path / "extended", tmp_path / "planned"
    # All that was trained and written is that of a run planned in this way.
    assert exact_files(extended) == exact_files(planned)
    actions = [replay_rows(folder)["action"] for folder in (extended, planned)]
    np.testing.assert_array_equal(*actions)


def test_a_budget_that_ended_between_evaluations_adds_only_their_rows(tmp_path: Path) -> None:
    config = tuned(tmp_path / "planned", updates_per_step=1, **{"replay.capacity": 90})
    run(config)
    for max_steps in (100, 170):
        extended = dataclasses.replace(config, save_dir=str(tmp_path / "extended"))
        run(dataclasses.replace(extended, max_steps=max_steps))
    extended, planned = (results(tmp_path / name) for name in ("extended", "planned"))
    assert [row for row in extended if row.env_step != 100] == planned
    assert [row.env_step for row in extended if row.env_step == 100] == [100, 100]


def test_a_smaller_budget_shows_a_finished_run_as_it_is(
    reference: RunConfig, tmp_path: Path
) -> None:
    shutil.copytree(folder_of(reference), tmp_path / "copy")
    before = all_files(tmp_path / "copy")
    smaller = dataclasses.replace(reference, save_dir=str(tmp_path / "copy"), max_steps=100)
    assert run(smaller).table == run(reference).table
    assert all_files(tmp_path / "copy") == before

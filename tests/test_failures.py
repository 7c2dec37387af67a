"""Lanes that turn non-finite: who notices, who goes on, and what is kept.

`probe-nan` gives NaN rewards in every episode whose seed is even.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from rr_scale import cli, run
from rr_scale.analysis.load import Row, read_results
from rr_scale.config import RunConfig
from rr_scale.envs.probes import NotANumber
from rr_scale.errors import LaneFailure
from rr_scale.seeds import Role, episode_seed
from rr_scale.train import loop
from small_runs import (
    arguments,
    checkpoint_steps,
    dying,
    exact_files,
    keep_environment,
    last_checkpoint,
    results,
    share_engines,
    tiny,
)

EVALUATIONS = (0, 80, 160)


def find_seed(poisoned: Sequence[bool]) -> int:
    """A first seed whose lanes are poisoned so in the first training episode.

    The second episode of the sound lanes and all evaluations are sound.
    """

    def fits(seed: int, wanted: bool) -> bool:
        episodes = [(Role.TRAIN, 0, 0)]
        episodes += [] if wanted else [(Role.TRAIN, 0, 1)]
        episodes += [(Role.EVALUATE, step, 0) for step in EVALUATIONS]
        odd = [episode_seed(seed, *episode) % 2 == 1 for episode in episodes]
        return odd == [not wanted] + [True] * (len(odd) - 1)

    return next(
        first
        for first in itertools.count()
        if all(fits(first + lane, wanted) for lane, wanted in enumerate(poisoned))
    )


FIRST = find_seed([False, True, False])
FAILING, SURVIVORS = FIRST + 1, (FIRST, FIRST + 2)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    share_engines(monkeypatch)


def configured(folder: Path, name: str = "sac", **settings: Any) -> RunConfig:
    ours = {
        "env_name": "probe-nan",
        "seed": FIRST,
        "num_seeds": 3,
        "eval_interval": 80,
        "eval_episodes": 1,
        "checkpoint_freq": 20,
    }
    return tiny(name, folder, **(ours | settings))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same lanes where no reward is NaN."""
    folder = tmp_path_factory.mktemp("sound")
    with pytest.MonkeyPatch.context() as patch:
        share_engines(patch)
        patch.setattr(NotANumber, "reward", lambda self, action: 1.0)
        assert run(configured(folder)).exit_status == 0
    return folder


@pytest.fixture(scope="module")
def dropping(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A complete run that dropped its failing lane."""
    config = configured(tmp_path_factory.mktemp("dropping"))
    with pytest.MonkeyPatch.context() as patch:
        share_engines(patch)
        assert run(config).exit_status == 1
    return config


def test_a_finished_run_is_reported_with_the_status_that_it_ended_with(
    dropping: RunConfig, sound: Path
) -> None:
    assert run(dropping).exit_status == 1
    assert run(configured(sound)).exit_status == 0


def rows_of(folder: Path, seeds: Sequence[int]) -> list[Row]:
    rows = [row for name in ("results", "metrics") for row in read_results(folder / f"{name}.csv")]
    return [row for row in rows if row.seed in seeds]


def assert_survivors_equal(folder: Path, sound: Path) -> None:
    assert rows_of(folder, SURVIVORS) == rows_of(sound, SURVIVORS)
    names = [f"{seed}.txt" for seed in SURVIVORS]
    names += [f"policies/{seed}-{kind}.npz" for seed in SURVIVORS for kind in ("best", "last")]
    for name in names:
        assert (folder / name).read_bytes() == (sound / name).read_bytes(), name


def assert_finite(state: Any) -> None:
    leaves = jax.tree.leaves([state.train.actor.params, state.train.critic.params])
    assert leaves
    assert all(np.isfinite(leaf).all() for leaf in leaves)


def table_cells(table: str, seed: int) -> list[str]:
    (cells,) = (line.split() for line in table.splitlines() if line.split()[0] == str(seed))
    return cells


def test_survivors_of_a_drop_train_as_if_nothing_had_happened(
    dropping: RunConfig, sound: Path
) -> None:
    folder = Path(dropping.save_dir)
    assert_survivors_equal(folder, sound)
    assert {row.env_step for row in results(folder) if row.seed == FAILING} == {0}
    lost = {row.env_step for row in rows_of(folder, [FAILING])}
    assert max(lost) < 80


def test_the_table_marks_the_failed_lane(dropping: RunConfig) -> None:
    table = run(dropping).table
    assert "failed" in table_cells(table, FAILING)
    for seed in SURVIVORS:
        assert table_cells(table, seed)[1] == "100.0"
    assert "mean and std without 1 failed" in table


def test_the_last_sound_checkpoint_is_kept(dropping: RunConfig, tmp_path: Path) -> None:
    folder = Path(dropping.save_dir)
    kept = checkpoint_steps(folder)
    assert kept[1:] == [140, 160]
    assert 60 <= kept[0] < 80
    for part in ("replay", f"step-{kept[0]:012d}"):
        shutil.copytree(folder / "checkpoints" / part, tmp_path / "checkpoints" / part)
    restored = last_checkpoint(replace(dropping, save_dir=str(tmp_path)), fallback=True)
    assert restored.step == kept[0]
    assert_finite(restored.state)


def test_a_dropped_lane_stays_dropped_when_resumed(dropping: RunConfig, tmp_path: Path) -> None:
    config = configured(tmp_path)
    with dying("_step", 130):
        run(config)
    # Another policy from now on does not bring it back.
    assert run(replace(config, resume="must", nan_policy="continue")).exit_status == 1
    assert exact_files(tmp_path) == exact_files(Path(dropping.save_dir))


def test_when_a_lane_is_dropped_does_not_depend_on_checkpoints(tmp_path: Path) -> None:
    # With a delayed actor, the critics are NaN a while before the actions are.
    config = configured(tmp_path / "whole", "td3", eval_interval=2, max_steps=80)
    assert run(config).exit_status == 1
    config = replace(config, save_dir=str(tmp_path / "stopped"))
    step = loop.Trainer._step

    def signalled(self: loop.Trainer) -> None:
        step(self)
        if 60 <= self.env_step < 68:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Trainer, "_step", signalled)
        assert [run(config).exit_status for _ in range(8)] == [143] * 8
    assert run(config).exit_status == 1
    assert exact_files(tmp_path / "stopped") == exact_files(tmp_path / "whole")


def test_stop_keeps_the_last_sound_checkpoint_and_says_where(tmp_path: Path) -> None:
    config = configured(tmp_path, nan_policy="stop")
    with pytest.raises(LaneFailure) as first:
        run(config)
    latest = checkpoint_steps(tmp_path)[-1]
    message = str(first.value)
    assert 60 <= latest < 80
    assert re.search(rf"seed {FAILING} at update \d+ ", message)
    assert f"checkpoint {latest} is kept" in message
    restored = last_checkpoint(config)
    assert restored.step == latest
    assert_finite(restored.state)
    with pytest.raises(LaneFailure) as again:
        run(config)
    assert str(again.value) == message
    assert checkpoint_steps(tmp_path)[-1] == latest


def test_a_stopped_run_may_go_on_by_another_policy(
    dropping: RunConfig, sound: Path, tmp_path: Path
) -> None:
    config = configured(tmp_path, nan_policy="stop")
    with pytest.raises(LaneFailure):
        run(config)
    assert run(replace(config, nan_policy="drop")).exit_status == 1
    assert_survivors_equal(tmp_path, sound)
    assert exact_files(tmp_path) == exact_files(Path(dropping.save_dir))


def test_continue_goes_on_with_all_lanes(sound: Path, tmp_path: Path) -> None:
    result = run(configured(tmp_path, nan_policy="continue"))
    assert result.exit_status == 1
    assert_survivors_equal(tmp_path, sound)
    steps = [row.env_step for row in results(tmp_path) if row.seed == FAILING]
    assert steps == list(EVALUATIONS)
    assert "failed" in table_cells(result.table, FAILING)


def test_a_run_whose_lanes_all_failed_ends(tmp_path: Path) -> None:
    config = configured(tmp_path, seed=find_seed([True] * 3))
    with pytest.raises(LaneFailure, match="no seed is left"):
        run(config)
    assert_finite(last_checkpoint(config).state)


def test_a_failed_lane_is_status_1_and_one_line_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_environment(monkeypatch)
    assert cli.main(arguments(configured(tmp_path, nan_policy="stop"))) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(errors) == 1
    assert f"seed {FAILING}" in errors[0]
    assert cli.main(arguments(configured(tmp_path, nan_policy="drop"))) == 1
    assert "failed" in capsys.readouterr().out

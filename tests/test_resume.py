"""Stopped and continued, a run leaves what it would have left anyway, byte for byte."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from marks import in_all_tests
from rr_scale import run
from rr_scale.config import ResetRule, RunConfig, Variant
from rr_scale.errors import CheckpointError, UserError
from rr_scale.train import loop, outputs
from rr_scale.train.lock import RunLock
from small_runs import (
    Interrupted,
    all_files,
    checkpoint_steps,
    dying,
    exact_files,
    last_checkpoint,
    make_walks,
    share_engines,
    tiny,
)
from stand_ins import Walk

RECYCLE = ResetRule(unit="env_steps", at=(75, 125), how="recycle", score="relative", threshold=0.5)
# Checkpoints at 50, 100, 150 and the end; the ring wraps after 70 rows.
SETTINGS: dict[str, Any] = {
    "env_name": Walk.name,
    "agent.normalize_observations": True,
    "replay.n_step": 3,
    "replay.capacity": 70,
    "resets": (ResetRule(interval=100), ResetRule(unit="env_steps", interval=60, what="actor")),
}
ALGORITHMS: dict[str, dict[str, Any]] = {
    # Of most layers some units are recycled, and some are not.
    "sac": {"updates_per_step": 1.5, "resets": (*SETTINGS["resets"], RECYCLE)},
    "td3": {},
    "ddpg": {"agent.exploration": "ou"},
}


@pytest.fixture(autouse=True)
def _prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(monkeypatch)


def prepare(patch: pytest.MonkeyPatch) -> None:
    share_engines(patch)
    make_walks(patch)


def configured(folder: Path, name: str = "sac", **settings: Any) -> RunConfig:
    return tiny(name, folder, **(SETTINGS | ALGORITHMS[name] | settings))


@pytest.fixture(scope="module", params=["sac", "ddpg", *in_all_tests("td3")])
def uninterrupted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> RunConfig:
    return _complete(request.param, tmp_path_factory)


@pytest.fixture(scope="module")
def sac(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    return _complete("sac", tmp_path_factory)


def _complete(name: str, factory: pytest.TempPathFactory) -> RunConfig:
    with pytest.MonkeyPatch.context() as patch:
        prepare(patch)
        config = configured(factory.mktemp(name), name)
        assert run(config).exit_status == 0
    return config


@pytest.fixture
def stopped(tmp_path: Path) -> RunConfig:
    """A SAC run that died after step 130: checkpoints at 50 and 100."""
    config = configured(tmp_path / "run")
    with dying("_step", 130):
        run(config)
    assert checkpoint_steps(tmp_path / "run") == [50, 100]
    return config


def continue_to_the_end(config: RunConfig, expected: RunConfig, **changes: Any) -> None:
    """Finishes a run, which must then be what the other one is."""
    again = dataclasses.replace(config, **({"resume": "must"} | changes))
    assert run(again).exit_status == 0
    assert exact_files(Path(config.save_dir)) == exact_files(Path(expected.save_dir))


@contextmanager
def dying_between_files(env_step: int) -> Iterator[None]:
    """The run inside dies in the evaluation at `env_step`, when one policy is written."""

    def save(path: Path, arrays: Any, metadata: Any) -> None:
        if metadata["env_step"] == env_step and path.name == "1-last.npz":
            raise Interrupted
        original(path, arrays, metadata)

    original = outputs.save_policy
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outputs, "save_policy", save)
        with pytest.raises(Interrupted):
            yield


MOMENTS = {
    "after the updates of a step": lambda: dying("_step", 121),
    "on a checkpoint": lambda: dying("_checkpoint", 100),
    "before a checkpoint is written": lambda: dying("_checkpoint", 150, before=True),
    "after a reset": lambda: dying("_reset", 60),
    "in an evaluation": lambda: dying_between_files(120),
    "in the last evaluation": lambda: dying_between_files(160),
    "after everything": lambda: dying("_checkpoint", 160),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_crash_changes_nothing(moment: str, uninterrupted: RunConfig, tmp_path: Path) -> None:
    config = configured(tmp_path, uninterrupted.preset)
    with MOMENTS[moment]():
        run(config)
    continue_to_the_end(config, uninterrupted)


def test_many_stops_change_nothing(uninterrupted: RunConfig, tmp_path: Path) -> None:
    config = configured(tmp_path, uninterrupted.preset)
    step = loop.Trainer._step

    def signalled(self: loop.Trainer) -> None:
        step(self)
        if self.env_step in (3, 20, 21, 59, 97, 98, 131):
            os.kill(os.getpid(), signal.SIGTERM if self.env_step % 2 else signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Trainer, "_step", signalled)
        statuses = [run(config).exit_status for _ in range(7)]
    assert statuses == [143, 130, 143, 143, 143, 130, 143]
    assert checkpoint_steps(tmp_path) == [100, 131]
    continue_to_the_end(config, uninterrupted)
    states = [last_checkpoint(one).state for one in (config, uninterrupted)]
    for left, right in zip(*map(jax.tree.leaves, states), strict=True):
        np.testing.assert_array_equal(left, right)
    record = json.loads((tmp_path / "run.json").read_text())
    assert (len(record["sessions"]), record["exact"]) == (8, True)


def test_variants_resume_in_all_their_folders(tmp_path: Path) -> None:
    variants = (Variant("slow", (("actor_lr", 1e-4),)), Variant("fast", (("actor_lr", 1e-2),)))
    whole, crashed = (
        configured(tmp_path / name, num_seeds=1, variants=variants) for name in ("whole", "crashed")
    )
    assert run(whole).exit_status == 0
    with dying("_step", 130):
        run(crashed)
    assert run(crashed).exit_status == 0
    files = [
        {name: exact_files(tmp_path / folder / name) for name in ("slow", "fast")}
        for folder in ("whole", "crashed")
    ]
    assert files[0] == files[1]
    assert files[0]["slow"] != files[0]["fast"]


def test_half_a_row_is_cut_off(sac: RunConfig, stopped: RunConfig) -> None:
    for name in ("results.csv", "metrics.csv", "1.txt"):
        with (Path(stopped.save_dir) / name).open("a") as file:
            file.write("half a ro")
    continue_to_the_end(stopped, sac)


def test_before_the_first_checkpoint_a_run_starts_over_and_says_so(
    sac: RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(tmp_path)
    with dying("_step", 45):
        run(config)
    with pytest.raises(UserError, match="no checkpoint to resume"):
        run(dataclasses.replace(config, resume="must"))
    continue_to_the_end(config, sac, resume="auto")
    assert "no checkpoint yet: starting over from step 0" in capsys.readouterr().err


def test_must_without_a_run_writes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(UserError, match="holds no run to resume"):
        run(configured(folder, resume="must"))
    assert not folder.exists()


def test_never_discards_what_is_there(sac: RunConfig, stopped: RunConfig) -> None:
    continue_to_the_end(stopped, sac, resume="never")
    record = json.loads((Path(stopped.save_dir) / "run.json").read_text())
    assert len(record["sessions"]) == 1


def test_another_experiment_is_refused_by_the_name_of_the_setting(stopped: RunConfig) -> None:
    before = all_files(Path(stopped.save_dir))
    other = dataclasses.replace(stopped, hp=dataclasses.replace(stopped.hp, discount=0.5))
    for resume in ("auto", "must", "never"):
        with pytest.raises(UserError, match=r"hp.discount: 0.99 there, 0.5 here"):
            run(dataclasses.replace(other, resume=resume))
    assert all_files(Path(stopped.save_dir)) == before


def test_free_settings_may_change(sac: RunConfig, stopped: RunConfig) -> None:
    changes = {"eval_envs": 1, "env_workers": 2, "checkpoint_freq": 13, "nan_policy": "continue"}
    continue_to_the_end(stopped, sac, **changes)
    record = json.loads((Path(stopped.save_dir) / "run.json").read_text())
    assert [one["free"]["env_workers"] for one in record["sessions"]] == [0, 2]


def test_another_machine_is_a_warning_and_not_exact(
    stopped: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(stopped.save_dir) / "run.json"
    record = json.loads(path.read_text())
    record["sessions"][-1]["versions"]["jaxlib"] = "0.0.1"
    path.write_text(json.dumps(record))
    before = all_files(path.parent)
    with pytest.raises(UserError, match=r"cannot be resumed exactly: .*jaxlib: 0.0.1 then"):
        run(dataclasses.replace(stopped, require_exact=True))
    assert all_files(path.parent).items() >= before.items()
    with dying("_step", 140):
        run(stopped)
    assert "warning: not bit-exact from here on: jaxlib: 0.0.1 then" in capsys.readouterr().err
    assert json.loads(path.read_text())["exact"] is False
    # It stays so, although this session equals the one before.
    assert run(stopped).exit_status == 0
    assert json.loads(path.read_text())["exact"] is False


DAMAGES = {
    "state": lambda path: _alter(next(path.glob("state/d/*"))),
    "host.json": lambda path: _alter(path / "host.json"),
    "manifest.json": lambda path: _alter(path / "manifest.json"),
    "missing": lambda path: (path / "host.npz").unlink(),
    "gone": lambda path: shutil.rmtree(path),
}


def _alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_an_error_until_fallback_is_asked_for(
    damage: str, sac: RunConfig, stopped: RunConfig
) -> None:
    folder = Path(stopped.save_dir)
    DAMAGES[damage](folder / "checkpoints" / "step-000000000100")
    before = all_files(folder)
    with pytest.raises(CheckpointError, match="checkpoints/step-000000000100"):
        run(stopped)
    assert all_files(folder).items() >= before.items()
    continue_to_the_end(stopped, sac, fallback=True)


def test_the_last_checkpoint_of_a_finished_run_is_not_believed_if_it_is_damaged(
    sac: RunConfig, tmp_path: Path
) -> None:
    folder = shutil.copytree(sac.save_dir, tmp_path / "run")
    finished = dataclasses.replace(sac, save_dir=str(folder))
    newest = max((folder / "checkpoints").glob("step-*"))
    DAMAGES["host.json"](newest)
    with pytest.raises(CheckpointError, match=f"checkpoints/{newest.name}/host.json"):
        run(finished)
    continue_to_the_end(finished, sac, fallback=True)


def test_deleted_checkpoints_are_an_error_and_not_a_new_run(stopped: RunConfig) -> None:
    folder = Path(stopped.save_dir)
    shutil.rmtree(folder / "checkpoints")
    results = (folder / "results.csv").read_bytes()
    for fallback in (False, True):
        with pytest.raises(CheckpointError, match="step-000000000100"):
            run(dataclasses.replace(stopped, fallback=fallback))
    assert (folder / "results.csv").read_bytes() == results


@pytest.mark.parametrize("name", ["results.csv", "metrics.csv", "0.txt"])
def test_a_shortened_result_file_is_an_error_that_names_it(name: str, stopped: RunConfig) -> None:
    path = Path(stopped.save_dir) / name
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(CheckpointError, match=f"{name}.*20 bytes"):
        run(stopped)
    path.unlink()
    with pytest.raises(CheckpointError, match=f"{name}.*missing"):
        run(stopped)


def test_a_second_writer_is_refused(sac: RunConfig, stopped: RunConfig) -> None:
    with RunLock(Path(stopped.save_dir)):
        before = all_files(Path(stopped.save_dir))
        with pytest.raises(UserError, match=f"in use by process {os.getpid()}"):
            run(stopped)
        assert all_files(Path(stopped.save_dir)) == before
    continue_to_the_end(stopped, sac)

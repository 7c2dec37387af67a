"""What runs beside training, and acting one step ahead: same numbers, same files."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import pytest

from marks import in_all_tests
from rr_scale import run
from rr_scale.config import RunConfig
from rr_scale.engine import Engine
from rr_scale.errors import UserError
from rr_scale.train import loop
from rr_scale.train.background import Background
from rr_scale.train.checkpoint import CheckpointStore
from rr_scale.train.evaluate import Evaluator
from small_runs import (
    checkpoint_steps,
    dying,
    exact_files,
    last_checkpoint,
    share_engines,
    tiny,
)


@pytest.fixture(autouse=True)
def _shared(monkeypatch: pytest.MonkeyPatch) -> None:
    share_engines(monkeypatch)


class Steps:
    """Lets other threads wait until the loop has come to an env step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self._reached = threading.Condition()
        self._env_step = 0
        step = loop.Trainer._step

        def counted(trainer: loop.Trainer) -> None:
            step(trainer)
            with self._reached:
                self._env_step = trainer.env_step
                self._reached.notify_all()

        monkeypatch.setattr(loop.Trainer, "_step", counted)

    def wait_for(self, env_step: int) -> None:
        with self._reached:
            assert self._reached.wait_for(lambda: self._env_step >= env_step, timeout=60)


def slow_evaluations(monkeypatch: pytest.MonkeyPatch, steps: Steps, delay: int) -> None:
    """Evaluations begin only when the loop is `delay` env steps further, or at the end."""
    evaluate = Evaluator.run

    def slow(self: Evaluator, act: Any, env_step: int, *rest: Any) -> Any:
        steps.wait_for(min(env_step + delay, 160))
        return evaluate(self, act, env_step, *rest)

    monkeypatch.setattr(Evaluator, "run", slow)


@pytest.mark.parametrize(
    ("interval", "death"), [pytest.param(40, 115, marks=pytest.mark.slow), (50, 135)]
)
def test_training_and_checkpoints_do_not_wait_for_an_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interval: int, death: int
) -> None:
    # Checkpoints at 50, 100 and 150: between evaluations, and with them. Metrics come meanwhile.
    every = {"eval_interval": interval, "log_interval": 4}
    usual = tiny("sac", tmp_path / "usual", background_eval=False, **every)
    assert run(usual).exit_status == 0
    slow_evaluations(monkeypatch, Steps(monkeypatch), 30)
    whole = tiny("sac", tmp_path / "whole", **every)
    assert run(whole).exit_status == 0
    assert exact_files(tmp_path / "whole") == exact_files(tmp_path / "usual")
    crashed = tiny("sac", tmp_path / "crashed", **every)
    with dying("_step", death):
        run(crashed)
    assert checkpoint_steps(tmp_path / "crashed") == [50, 100]
    assert run(dataclasses.replace(crashed, resume="must")).exit_status == 0
    assert exact_files(tmp_path / "crashed") == exact_files(tmp_path / "usual")


def test_a_checkpoint_counts_only_when_the_evaluation_of_its_step_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_evaluations(monkeypatch, Steps(monkeypatch), 30)
    config = tiny("sac", tmp_path, eval_interval=50)
    with dying("_step", 95):
        run(config)
    assert checkpoint_steps(tmp_path) == [50]
    restored = last_checkpoint(config)
    (lengths,) = restored.host["lengths"].values()
    written = (tmp_path / "results.csv").read_bytes()[: lengths["results.csv"]]
    assert written.endswith(b"\n")
    assert written.splitlines()[-1].split(b",")[4] == b"50"
    assert all(best is not None for best in restored.host["best"])


def test_training_goes_on_while_a_checkpoint_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = tiny("sac", tmp_path / "usual")
    assert run(usual).exit_status == 0
    steps = Steps(monkeypatch)
    save = CheckpointStore.save

    def slow(self: CheckpointStore, env_step: int, *rest: Any, **named: Any) -> None:
        steps.wait_for(min(env_step + 20, 160))
        save(self, env_step, *rest, **named)

    monkeypatch.setattr(CheckpointStore, "save", slow)
    beside = tiny("sac", tmp_path / "beside")
    with dying("_step", 135):
        run(beside)
    # What was begun at step 100 is whole, although training went on meanwhile.
    assert checkpoint_steps(tmp_path / "beside") == [50, 100]
    assert run(dataclasses.replace(beside, resume="must")).exit_status == 0
    assert exact_files(tmp_path / "beside") == exact_files(tmp_path / "usual")


def test_a_checkpoint_that_fails_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(*_: Any, **__: Any) -> None:
        raise UserError("no room")

    monkeypatch.setattr(CheckpointStore, "save", save)
    with pytest.raises(UserError, match="no room"):
        run(tiny("sac", tmp_path))


def test_jobs_run_in_order_and_their_results_come_in_the_callers_thread() -> None:
    background, seen = Background(), []
    for number in range(3):
        background.start(lambda number=number: (number, threading.get_ident()), seen.append)
    assert [number for number, _ in seen] == [0, 1]
    background.finish()
    assert [number for number, _ in seen] == [0, 1, 2]
    assert threading.get_ident() not in {thread for _, thread in seen}
    background.start(lambda: 1 / 0, seen.append)
    with pytest.raises(ZeroDivisionError):
        background.finish()
    background.close()


def overlapping(folder: Path, **settings: Any) -> RunConfig:
    return tiny("ddpg", folder, **{"overlap": True, "agent.exploration": "ou"} | settings)


def test_with_overlap_each_action_is_chosen_before_the_updates_of_the_step_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, int]] = []
    act, step = Engine.act, Engine.step

    def acting(self: Engine, state: Any, observation: Any, begins: Any, clock: Any, mode: str):
        calls.append(("act", int(clock.env_step)))
        return act(self, state, observation, begins, clock, mode)

    def stepping(self: Engine, state: Any, transition: Any, clock: Any, due: int) -> Any:
        calls.append(("step", int(clock.env_step)))
        return step(self, state, transition, clock, due)

    monkeypatch.setattr(Engine, "act", acting)
    monkeypatch.setattr(Engine, "step", stepping)
    for overlap, order in ((False, ["act", "step"]), (True, ["step", "act"])):
        calls.clear()
        config = overlapping(tmp_path / str(overlap), overlap=overlap, max_steps=30)
        assert run(config).exit_status == 0
        # The action of env step t has t steps before it, its transition is the (t + 1)-th.
        about = [(name, at) for name, at in calls if (name, at) in {("act", 21), ("step", 21)}]
        assert [name for name, _ in about] == order[::-1]


@pytest.mark.parametrize("death", [100, *in_all_tests(60, 131)])
def test_an_overlapping_run_resumes_exactly(tmp_path: Path, death: int) -> None:
    undisturbed = overlapping(tmp_path / "undisturbed")
    assert run(undisturbed).exit_status == 0
    config = overlapping(tmp_path / "killed")
    with dying("_step", death):
        run(config)
    assert run(dataclasses.replace(config, resume="must")).exit_status == 0
    assert exact_files(tmp_path / "killed") == exact_files(tmp_path / "undisturbed")
    usual = overlapping(tmp_path / "usual", overlap=False)
    assert run(usual).exit_status == 0
    assert exact_files(tmp_path / "usual") != exact_files(tmp_path / "killed")

"""Diagnosing a whole run: it changes nothing, compiles once, and is resumed exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import Compilations
from rr_scale import run
from rr_scale.config import ResetRule, RunConfig
from rr_scale.engine import Engine
from rr_scale.train import assembly, loop
from small_runs import dying, exact_files, make_walks, metric_rows, results, share_engines, tiny
from stand_ins import Walk

BIAS = ("q_bias", "q_bias_std", "mc_return")
SETTINGS: dict[str, Any] = {
    "env_name": Walk.name,
    "max_steps": 110,
    # So that of episodes of 7 steps, all cut, one step can be compared.
    "hp.discount": 0.5,
    "agent.normalize_observations": True,
    "resets": (ResetRule(unit="env_steps", interval=70),),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same run without diagnostics and with them, on one engine, and what was compiled."""
    folder = tmp_path_factory.mktemp("runs")
    engines: list[Engine] = []
    seen: dict[int, int] = {}
    with pytest.MonkeyPatch.context() as patch:
        share_engines(patch)
        make_walks(patch)
        make, step = assembly.Engine, loop.Trainer._step
        patch.setattr(assembly, "Engine", lambda *rest: engines.append(make(*rest)) or engines[-1])
        assert run(configured(folder / "off")).exit_status == 0
        programs = [sizes(engines[-1])]
        counter = Compilations()

        def watched(self: loop.Trainer) -> None:
            step(self)
            seen[self.env_step] = counter.count

        patch.setattr(loop.Trainer, "_step", watched)
        assert run(configured(folder / "on", diagnose_interval=35)).exit_status == 0
        counter.stop()
        programs.append(sizes(engines[-1]))
    return {"folder": folder, "programs": programs, "seen": seen}


def configured(folder: Path, **settings: Any) -> RunConfig:
    return tiny("sac", folder, **(SETTINGS | settings))


def sizes(engine: Engine) -> dict[str, int]:
    names = ("_diagnose", "_critics", "_appraise")
    return {name: getattr(engine.watch, name)._cache_size() for name in names}


def without_diagnostics(files: dict[str, bytes]) -> dict[str, bytes]:
    words = [b"diagnostics/", *(f",{name},".encode() for name in BIAS)]
    return {
        name: b"".join(
            line
            for line in content.splitlines(keepends=True)
            if not (name.endswith(".csv") and any(word in line for word in words))
        )
        for name, content in files.items()
    }


def test_diagnosing_changes_nothing_else(runs: dict[str, Any]) -> None:
    off, on = (exact_files(runs["folder"] / name) for name in ("off", "on"))
    assert any(name.startswith("policies/") for name in off)
    assert without_diagnostics(off) == off
    assert on != off
    assert without_diagnostics(on) == off


def test_each_program_is_compiled_once_and_none_without_being_asked_for(
    runs: dict[str, Any],
) -> None:
    off, on = runs["programs"]
    assert set(off.values()) == {0}
    assert set(on.values()) == {1}
    # Diagnosed at 35, 70 and 105; resets begin at 70, checkpoints at 50.
    assert runs["seen"][72] == runs["seen"][110]


def test_rows_come_when_they_are_due(runs: dict[str, Any]) -> None:
    rows = metric_rows(runs["folder"] / "on", "diagnostics/td_error")
    assert [(row.env_step, row.seed) for row in rows] == [
        (step, seed) for step in (35, 70, 105) for seed in (0, 1)
    ]
    assert len({row.value for row in rows}) == len(rows)
    for name in BIAS:
        rows = results(runs["folder"] / "on", name)
        assert [row.env_step for row in rows] == [0, 0, 40, 40, 80, 80, 110, 110]
    # After its updates and before its reset: the parameters have moved.
    churn = metric_rows(runs["folder"] / "on", "diagnostics/churn_mean")
    assert all(0 < row.value < 0.1 for row in churn)


def test_a_first_evaluation_is_biased_by_what_the_critics_cannot_know(
    runs: dict[str, Any],
) -> None:
    bias, value = (
        results(runs["folder"] / "on", name)[0].value for name in ("q_bias", "mc_return")
    )
    # Q near 0 before any update.
    assert bias == pytest.approx(-value, abs=1.5)
    assert np.isfinite([bias, value]).all()


def test_a_run_that_is_diagnosed_resumes_exactly(
    runs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share_engines(monkeypatch)
    make_walks(monkeypatch)
    config = configured(tmp_path, diagnose_interval=35)
    with dying("_step", 106):
        run(config)
    assert run(config).exit_status == 0
    assert exact_files(tmp_path) == exact_files(runs["folder"] / "on")

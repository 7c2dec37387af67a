"""How often a whole run compiles: each program once, and none after the first rows."""

from __future__ import annotations

import operator
import os
import signal
from pathlib import Path

import pytest

from helpers import Compilations
from rr_scale import run
from rr_scale.config import ResetRule
from rr_scale.engine import Engine
from rr_scale.train import assembly, loop
from small_runs import tiny

RULES = (
    ResetRule(unit="env_steps", interval=35),
    ResetRule(unit="env_steps", interval=60, how="recycle"),
)
# Fractional: steps without an update, with two and with three.
SETTINGS = {"updates_per_step": 2.5, "resets": RULES, "log_interval": 40, "max_steps": 200}
FRESH = {
    "_init": 1,
    "_act": 2,
    "_step": 3,
    "_reset": 2,
    "_evaluate": 1,
    "_finite": 1,
    "reader._rows": 1,
}
STOP = 130


def test_a_run_and_its_resume_compile_each_program_once_and_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines: list[Engine] = []
    make, step = assembly.Engine, loop.Trainer._step
    counter = Compilations()
    seen: dict[int, int] = {}

    def keep(*arguments: object) -> Engine:
        engines.append(make(*arguments))
        return engines[-1]

    def watched(self: loop.Trainer) -> None:
        step(self)
        seen[self.env_step] = counter.count
        if self.env_step == STOP and len(engines) == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(assembly, "Engine", keep)
    monkeypatch.setattr(loop.Trainer, "_step", watched)
    config = tiny("td3", tmp_path, **SETTINGS)

    assert run(config).exit_status == 128 + signal.SIGTERM
    assert sizes(engines[0]) == FRESH
    # The resets and the first checkpoint come later than the first log row;
    # between 101 and the stop nothing is new.
    assert seen[STOP] == seen[101], "something compiles again and again"

    assert run(config).exit_status == 0
    counter.stop()
    # No more than a fresh process; the second reset rule fires for it at step 180.
    assert sizes(engines[1]) == FRESH | {"_init": 0, "_act": 1, "_step": 2}
    assert seen[200] == seen[181], "something compiles again and again"


def sizes(engine: Engine) -> dict[str, int]:
    """Programs compiled, per entry of the engine."""
    return {name: operator.attrgetter(name)(engine)._cache_size() for name in FRESH}

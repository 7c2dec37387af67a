"""The two ways in, from Python and from the command line, and that they are one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import Walk, arguments, exact_files, keep_environment, results, share_engines, tiny

import rr_scale
from rr_scale import cli, run
from rr_scale.config import RunConfig
from rr_scale.envs.probes import PROBES
from rr_scale.presets import preset

ROOT = Path(__file__).parents[1]
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL)

# Sends itself a signal as the last of so many steps of a simulator begins.
DYING = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from rr_scale.envs.probes import PROBES
from probe_walk import Walk
"""


def command(arguments: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        **options,
    )


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    share_engines(monkeypatch)


def example(index: int) -> dict[str, Any]:
    """Runs a code block of the document; what it defined."""
    names: dict[str, Any] = {}
    exec(compile(EXAMPLES[index], f"docs/python.md block {index}", "exec"), names)
    return names


def test_what_the_package_exports() -> None:
    assert sorted(rr_scale.__all__) == ["RunConfig", "make_agent", "preset", "run"]
    assert rr_scale.RunConfig() == rr_scale.preset("sr_sac")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rr_scale.nothing
    assert len(EXAMPLES) == 2


def test_the_documented_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = example(0)["result"]
    assert (result.exit_status, result.save_dir) == (0, Path("runs/learning-rates"))
    printed = capsys.readouterr().out
    curves = {}
    for name in ("slow", "fast"):
        rows = results(result.save_dir / name)
        curves[name] = [row.value for row in rows]
        assert [(row.env_step, row.seed) for row in rows] == [
            (step, seed) for step in (0, 40, 80, 120) for seed in (0, 1)
        ]
        assert f"{name} 1 {{0: {rows[1].value!r}" in printed
    # Nothing is learned before step 50, and then differently.
    assert curves["slow"][:4] == curves["fast"][:4]
    assert curves["slow"][-1] != curves["fast"][-1]


def test_the_documented_loop_learns(capsys: pytest.CaptureFixture[str]) -> None:
    names = example(1)
    assert names["updates"] == 800
    assert names["error"] < 0.25
    assert "after 800 updates" in capsys.readouterr().out

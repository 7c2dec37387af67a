"""The two ways in, from Python and from the command line, and that they are one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rr_scale
from rr_scale import cli, run
from small_runs import arguments, exact_files, keep_environment, results, share_engines, tiny

ROOT = Path(__file__).parents[1]
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL)

# The command line, in a process that gets a signal in the middle of a step.
SIGNALLED = """
import os, signal, sys
from rr_scale.cli import main
from rr_scale.envs.probes import Target

step, steps = Target.step, 0

def signalled(self, action):
    global steps
    steps += 1
    if steps == 150:
        os.kill(os.getpid(), signal.SIGTERM)
    return step(self, action)

Target.step = signalled
sys.exit(main(sys.argv))
"""


def python(*words: str) -> subprocess.CompletedProcess[str]:
    """Runs the interpreter in the repository."""
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=240
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


def test_the_command_line_does_what_python_does_and_a_signal_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its processes are to run on what this one has; by itself it divides the CPU.
    keep_environment(monkeypatch)
    settings = {"env_name": "probe-target", "agent.normalize_observations": True}
    assert run(tiny("sac", tmp_path / "python", **settings)).exit_status == 0
    words = arguments(tiny("sac", tmp_path / "command", **settings))
    stopped = python("-c", SIGNALLED, *words[1:])
    assert stopped.returncode == 143, stopped.stderr
    (at,) = re.findall(r"stopped at env step (\d+); the same command continues", stopped.stderr)
    assert 0 < int(at) < 160
    assert "return" not in stopped.stdout
    finished = python(*words)
    assert finished.returncode == 0, finished.stderr
    assert f"resuming {tmp_path / 'command'} at env step {at}" in finished.stderr
    assert "sac on probe-target, env step 160" in finished.stdout
    assert exact_files(tmp_path / "command") == exact_files(tmp_path / "python")
    record = json.loads((tmp_path / "command" / "run.json").read_text())
    assert (len(record["sessions"]), record["exact"]) == (2, True)


def test_a_mistake_in_a_process_of_its_own_is_one_line_and_writes_nothing(tmp_path: Path) -> None:
    failed = python("train_single.py", f"--save_dir={tmp_path / 'run'}", "--env_name=probe-actoin")
    assert failed.returncode == 2
    assert failed.stdout == ""
    assert failed.stderr == (
        "error: unknown environment 'probe-actoin'; did you mean 'probe-action'?\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_first_run_from_the_command_line(tmp_path: Path) -> None:
    config = tiny("sac", tmp_path, env_name="probe-action", num_seeds=1, max_steps=60)
    done = python("train_single.py", *arguments(config)[1:])
    assert done.returncode == 0, done.stderr
    assert [row.env_step for row in results(tmp_path)] == [0, 40, 60]
    assert str(tmp_path / "learning_curve.png") in done.stdout
    assert {path.name for path in tmp_path.iterdir()} >= {
        *("results.csv", "metrics.csv", "0.txt", "run.json", "learning_curve.png"),
        *("policies", "checkpoints"),
    }
    assert not (tmp_path / "lock").exists()


def refusal(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """The one line with which the command line refuses."""
    keep_environment(monkeypatch)
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert (err.startswith("error: "), err.count("\n")) == (True, 1)
    return err


@pytest.mark.parametrize("place", ["file", "file/run", "/proc/run"])
def test_a_folder_that_cannot_be_written_is_one_line(
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("precious")
    words = arguments(tiny("sac", tmp_path / place))
    assert str(tmp_path / place) in refusal(words, monkeypatch, capsys)
    assert (tmp_path / "file").read_text() == "precious"


def test_a_buffer_that_does_not_fit_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = arguments(tiny("sac", tmp_path / "run", num_seeds=4))
    words += ["--replay_buffer_size=1e12", "--max_steps=2e12"]
    words = [word for word in words if "capacity" not in word and "max_steps=160" not in word]
    line = refusal(words, monkeypatch, capsys)
    # Two observations, an action and a reward as float32, and two bytes of flags.
    needed = 4 * 10**12 * (4 * (2 * 2 + 2 + 1) + 2) / 2**30
    assert f"replay_buffer_size=1000000000000 needs {needed:.1f} GiB for 4 lanes" in line
    assert not (tmp_path / "run").exists()


def test_a_buffer_is_no_larger_than_the_budget(tmp_path: Path) -> None:
    config = tiny("sac", tmp_path, **{"replay.capacity": 10**12})
    assert run(config).exit_status == 0

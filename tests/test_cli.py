"""The command line: precedence, help, and one clear line for every mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rr_scale import cli, configure, flags, platform, runfile
from rr_scale.config import ResetRule, RunConfig
from rr_scale.errors import LaneFailure, UserError
from rr_scale.presets import PRESETS, preset

PROGRAM = "train_parallel.py"


def parse(line: str) -> RunConfig:
    return cli.parse([PROGRAM, *line.split()])


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class FakeLoop:
    """Stands for `rr_scale.session` and records what it and `platform` were given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.configs: list[RunConfig] = []
        self.layouts: list[tuple[int | None, int | None, int]] = []
        self.outcome: Any = 0
        module = types.ModuleType("rr_scale.session")
        module.run = self.run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "rr_scale.session", module)
        monkeypatch.setattr(platform, "prepare", lambda *layout: self.layouts.append(layout))

    def run(self, config: RunConfig) -> Any:
        assert len(self.layouts) == 1 + len(self.configs), "the process is set up before"
        self.configs.append(config)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return types.SimpleNamespace(exit_status=self.outcome)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> FakeLoop:
    return FakeLoop(monkeypatch)


def test_the_advertised_command() -> None:
    config = parse("--env_name cheetah-run --num_seeds 10 --updates_per_step 32 --max_steps 500000")
    expected = RunConfig(
        env_name="cheetah-run", num_seeds=10, updates_per_step=32.0, max_steps=500_000
    )
    assert config == configure.resolve(expected)


def test_no_flags_are_the_defaults() -> None:
    assert parse("") == configure.resolve(RunConfig())


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_taken_as_it_is(name: str) -> None:
    assert parse(f"--preset {name}") == configure.resolve(preset(name))


def test_precedence_is_preset_then_flags_then_set() -> None:
    assert parse("--preset sac").updates_per_step == 1.0
    assert parse("--updates_per_step 2 --preset sac").updates_per_step == 2.0
    line = "--set updates_per_step=3 --updates_per_step 2 --preset sac"
    assert parse(line).updates_per_step == 3.0
    assert parse("--set seed=1 --set seed=2 --seed 9").seed == 2


@pytest.mark.parametrize(
    ("line", "path", "expected"),
    [
        ("--batch_size=64", "replay.batch_size", 64),
        ("--replay_buffer_size 5e5", "replay.capacity", 500_000),
        ("--notqdm", "tqdm", False),
        ("--tqdm=false", "tqdm", False),
        ("--fallback", "fallback", True),
        ("--require_exact", "require_exact", True),
        ("--track", "track", True),
        ("--start_from_scratch", "resume", "never"),
        ("--nostart_from_scratch", "resume", "auto"),
        ("--resume=must", "resume", "must"),
        ("--nan_policy stop", "nan_policy", "stop"),
        ("--exp_name=mine", "exp_name", "mine"),
        ("--updates_per_step 0.1", "updates_per_step", 0.1),
        ("--noresets", "resets", ()),
        ("--resets=false", "resets", ()),
        ("--reset_interval 5", "resets.0.interval", 5),
        ("--reset_unit env_steps", "resets.0.unit", "env_steps"),
        ("--preset sac --resets", "resets.0.interval", ResetRule().interval),
        ("--preset sac --reset_interval 7", "resets.0.interval", 7),
        ("--preset sac --reset_unit env_steps", "resets.0.unit", "env_steps"),
        ("--set agent.critic.ensemble_size=4", "agent.critic.ensemble_size", 4),
        ("--set=agent.actor.network.hidden=64,64", "agent.actor.network.hidden", (64, 64)),
    ],
)
def test_flags_reach_their_setting(line: str, path: str, expected: Any) -> None:
    assert configure.flatten(parse(line))[path] == expected


@pytest.mark.parametrize("name", [*flags._PATHS, *flags._RESET_PATHS])
def test_every_short_name_sets_its_path(name: str) -> None:
    path = {**flags._PATHS, **flags._RESET_PATHS}[name]
    now = configure.flatten(RunConfig())[path]
    words = {"resume": "must", "nan_policy": "stop", "reset_unit": "env_steps"}
    words |= {"replay_storage": "compact", "matmul_precision": "bfloat16"}
    if isinstance(now, bool):
        line, wanted = (f"--no{name}" if now else f"--{name}"), not now
    elif isinstance(now, str):
        line, wanted = f"--{name}={words.get(name, 'other')}", words.get(name, "other")
    else:
        line, wanted = f"--{name} {now + 1}", now + 1
    if path == "replay.batch_size":
        line += " --start_training 300"
    assert configure.flatten(parse(line))[path] == wanted


MISTAKES = [
    ("--preset sr_sak", ["unknown preset 'sr_sak'", "'sr_sac'"]),
    ("--num_seed 3", ["unknown flag --num_seed", "'--num_seeds'"]),
    ("--num-seeds=3", ["unknown flag --num-seeds", "'--num_seeds'"]),
    ("--notqmd", ["unknown flag --notqmd"]),
    ("--discount 0.9", ["unknown flag --discount", "--set hp.discount="]),
    ("--set hp.discont=0.9", ["unknown setting 'hp.discont'", "'hp.discount'"]),
    ("--set hp.discount", ["--set needs path=value", "hp.discount"]),
    ("--set preset=td3", ["use --preset"]),
    ("--env_name cheetah-rum", ["cheetah-rum", "cheetah-run"]),
    ("cheetah-run", ["unexpected argument 'cheetah-run'"]),
    ("--tqdm false", ["unexpected argument 'false'"]),
    ("stray --bogus 1", ["bogus"]),
    ("--seed", ["seed"]),
    ("--seed 1.5", ["seed", "an integer", "1.5"]),
    ("--seed 0,1,2", ["seed", "an integer", "0,1,2"]),
    ("--seed=-1", ["seed must be at least 0, got -1"]),
    ("--seed -1", ["seed must be at least 0, got -1"]),
    ("--num_seeds 0", ["num_seeds must be at least 1, got 0"]),
    ("--updates_per_step=-2", ["updates_per_step must be at least 0"]),
    ("--updates_per_step nan", ["updates_per_step", "nan"]),
    ("--updates_per_step inf", ["updates_per_step", "inf"]),
    ("--start_training 100", ["start_training", "replay.batch_size (256)", "100"]),
    ("--replay_buffer_size 100", ["replay.capacity", "replay.batch_size (256)", "100"]),
    ("--set hp.discount=1.5", ["hp.discount must be at most 1, got 1.5"]),
    ("--set hp.tau=nan", ["hp.tau", "nan"]),
    ("--tqdm=maybe", ["tqdm", "maybe"]),
    ("--resume=yes", ["resume must be one of auto, must, never, got 'yes'"]),
    ("--resume=must", ["holds no run to resume"]),
    ("--resume=must --start_from_scratch", ["--start_from_scratch contradicts"]),
    ("--noresets --reset_interval 5", ["--reset_interval contradicts --noresets"]),
    ("--reset_interval 0", ["resets.0.interval must be at least 1"]),
    ("--threads 0", ["--threads must be at least 1, got 0"]),
    ("--threads two", ["--threads", "an integer", "two"]),
    ("--flagfile=missing", ["missing"]),
]


@pytest.mark.parametrize(("line", "words"), MISTAKES)
def test_a_mistake_is_one_line_status_2_and_nothing_written(
    line: str, words: list[str], capsys: pytest.CaptureFixture[str], loop: FakeLoop
) -> None:
    assert cli.main([PROGRAM, *line.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    assert list(Path().iterdir()) == []
    assert loop.configs == []
    assert loop.layouts == []


def test_help_lists_every_flag_and_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([PROGRAM, "--help", "--seed", "x"]) == 0
    out, err = capsys.readouterr()
    listed = {line.strip() for line in out.splitlines()}
    for name in flags._names():
        assert f"--{name}" in listed or f"--[no]{name}" in listed
    assert set(configure.flatten(RunConfig())) <= listed
    assert err == ""


def test_list_presets_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([PROGRAM, "--list_presets"]) == 0
    listed = capsys.readouterr().out.split()
    assert set(PRESETS) <= set(listed)


def test_print_config_is_json_that_reads_back(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["--preset", "ddpg", "--env_name", "probe-action", "--print_config"]
    assert cli.main([PROGRAM, *line]) == 0
    stored = json.loads(capsys.readouterr().out)
    expected = replace(preset("ddpg"), env_name="probe-action")
    assert configure.from_dict(stored) == configure.resolve(expected)
    assert list(Path().iterdir()) == []


def test_the_exit_status_is_the_runs_own(loop: FakeLoop) -> None:
    loop.outcome = 7
    assert cli.main([PROGRAM, "--env_name=probe-action", "--seed=4"]) == 7
    assert loop.configs[0] == parse("--env_name=probe-action --seed=4")
    assert cli.main([PROGRAM, "--env_name=probe-action", "--num_seeds=3", "--devices=2"]) == 7
    assert loop.layouts == [(None, None, 1), (None, 2, 3)]


@pytest.mark.parametrize(
    ("error", "status"), [(UserError("locked by\nx"), 2), (LaneFailure("lane 3: NaN"), 1)]
)
def test_errors_of_a_run_are_one_line(
    error: Exception, status: int, loop: FakeLoop, capsys: pytest.CaptureFixture[str]
) -> None:
    loop.outcome = error
    assert cli.main([PROGRAM, "--env_name=probe-action"]) == status
    assert capsys.readouterr().err == f"error: {' '.join(str(error).split())}\n"


def test_a_defect_keeps_its_traceback(loop: FakeLoop) -> None:
    loop.outcome = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        cli.main([PROGRAM, "--env_name=probe-action"])


def record_run(line: str, **session: Any) -> None:
    config = parse(line)
    run = runfile.open_run(config, config.save_dir)
    runfile.begin_session(run, session, exact=True)


def test_a_resumed_run_gets_the_recorded_layout(loop: FakeLoop) -> None:
    line = "--env_name=probe-action --save_dir=here"
    record_run(line, threads=3, host_devices=2)
    assert cli.main([PROGRAM, *line.split()]) == 0
    assert cli.main([PROGRAM, *line.split(), "--threads=5"]) == 0
    assert cli.main([PROGRAM, *line.split(), "--start_from_scratch"]) == 0
    assert loop.layouts == [(3, 2, 1), (5, 2, 1), (None, None, 1)]


def test_another_experiment_in_save_dir_is_refused(
    loop: FakeLoop, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "--env_name=probe-action --save_dir=here"
    record_run(line, threads=1, host_devices=1)
    assert cli.main([PROGRAM, *line.split(), "--seed=3"]) == 2
    assert "here holds another experiment (seed: 0 there, 3 here)" in capsys.readouterr().err
    assert loop.configs == []


@pytest.mark.parametrize("line", ["--num_seeds 2", "--set num_seeds=2"])
def test_single_takes_one_seed(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train_single.py", *line.split()], single=True) == 2
    assert "num_seeds=2" in capsys.readouterr().err


def test_single_is_the_same_run(loop: FakeLoop) -> None:
    argv = ["train_single.py", "--num_seeds=1", "--env_name=probe-action"]
    assert cli.main(argv, single=True) == 0
    assert loop.configs[0] == parse("--env_name=probe-action")


@pytest.mark.parametrize("command", [["train_parallel.py", "--help"], ["scripts/sweep.py", "-h"]])
def test_help_ends_quietly_when_its_reader_has_gone(command: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, *command], stdout=writer, stderr=subprocess.PIPE, text=True, cwd=root
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")

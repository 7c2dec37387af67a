"""What tests of whole runs share: tiny configurations, interruptions, and reading back."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from rr_scale import configure, platform
from rr_scale.agents.build import make_agent
from rr_scale.analysis.load import Row, read_results
from rr_scale.config import RunConfig
from rr_scale.engine import Engine
from rr_scale.envs import suites
from rr_scale.envs.probes import PROBES
from rr_scale.presets import preset
from rr_scale.train import assembly, loop, snapshot
from rr_scale.train.checkpoint import CheckpointStore, Restored
from stand_ins import Walk, make_walk

_TINY: dict[str, Any] = {
    "env_name": "probe-target",
    "num_seeds": 2,
    "updates_per_step": 1.0,
    "max_steps": 160,
    "start_training": 20,
    "eval_interval": 40,
    "eval_episodes": 2,
    "log_interval": 30,
    "checkpoint_freq": 50,
    # The same for any budget, so that runs of several lengths share programs.
    "noise_horizon": 1000,
    "replay.batch_size": 16,
    "replay.capacity": 1000,
    "agent.actor.network.hidden": "16",
    "agent.critic.network.hidden": "16",
    # Without QR, programs compile in half the time.
    "agent.actor.network.initializer": "fan_in_uniform",
    "agent.critic.network.initializer": "fan_in_uniform",
}
_NOT_THE_AGENT: dict[str, Any] = {
    "env_name": "",
    "exp_name": "",
    "preset": "",
    "seed": 0,
    "num_seeds": 1,
    "noise_horizon": 0,
    "updates_per_step": 1.0,
    "start_training": 1,
    "eval_interval": 1,
    "eval_episodes": 1,
    "log_interval": 1,
}


class Interrupted(Exception):
    """Stands for a crash."""


def tiny(name: str, save_dir: Path | str, **settings: Any) -> RunConfig:
    """The preset `name` with tiny networks on a probe, 160 steps.

    Args:
      name: of the preset.
      save_dir: folder of the run.
      **settings: by path, `"hp.discount": 0.9`; lists of rules as they are.
    """
    config = preset(name, save_dir=str(save_dir))
    for path, value in (_TINY | settings).items():
        if isinstance(value, tuple):
            config = dataclasses.replace(config, **{path: value})
        else:
            config = configure.set_path(config, path, str(value))
    return config


def share_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets trainers of equal agents share an engine, which holds no state: compiled once."""

    def shared_agent(config: RunConfig, *sizes: int) -> Any:
        # The storage of replay is free too, but the engine, which shares the agent, is built on it.
        names = configure.free_fields(config).keys() & vars(config).keys()
        free = {name: getattr(RunConfig(), name) for name in names}
        return _agent(dataclasses.replace(config, **free, **_NOT_THE_AGENT), *sizes)

    monkeypatch.setattr(assembly, "make_agent", shared_agent)
    monkeypatch.setattr(assembly, "Engine", lambda agent, hps, *rest: _engine(agent, *hps, rest))


def make_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets runs be on `Walk`, and on nothing else."""
    monkeypatch.setitem(PROBES, Walk.name, Walk)
    # Worker processes have the probes that there are, but import this function.
    monkeypatch.setattr(suites, "make", make_walk)


@functools.cache
def _agent(config: RunConfig, *sizes: int) -> Any:
    return make_agent(config, *sizes)


@functools.cache
def _engine(agent: Any, *hps_and_rest: Any) -> Engine:
    *hps, rest = hps_and_rest
    return Engine(agent, hps, *rest)


@contextmanager
def dying(method: str, env_step: int, *, before: bool = False) -> Iterator[None]:
    """The run inside dies in the step that completes `env_step`.

    Args:
      method: of `Trainer`; the run dies when it returns.
      env_step: when.
      before: it dies when the method is called, instead.
    """
    original = getattr(loop.Trainer, method)

    def dies(self: Any, *arguments: Any) -> Any:
        if before and self.env_step == env_step:
            raise Interrupted
        result = original(self, *arguments)
        if self.env_step == env_step:
            raise Interrupted
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Trainer, method, dies)
        with pytest.raises(Interrupted):
            yield


def exact_files(folder: Path) -> dict[str, bytes]:
    """All that resuming must reproduce: results, policies, metrics but the wall clock's."""
    paths = [*folder.glob("*.txt"), *folder.glob("policies/*"), folder / "results.csv"]
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    lines = (folder / "metrics.csv").read_bytes().splitlines(keepends=True)
    files["metrics.csv"] = b"".join(line for line in lines if b",time/" not in line)
    return files


def all_files(folder: Path) -> dict[str, bytes]:
    """Everything below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def results(folder: Path, metric: str = "avg_return") -> list[Row]:
    """The rows of one metric in `results.csv`."""
    return [row for row in read_results(folder / "results.csv") if row.metric == metric]


def metric_rows(folder: Path, metric: str) -> list[Row]:
    """The rows of one metric in `metrics.csv`."""
    return [row for row in read_results(folder / "metrics.csv") if row.metric == metric]


def replay_rows(folder: Path) -> dict[str, np.ndarray]:
    """Every transition in the chunks on disk, fields [S, n, ...] in order."""
    chunks = [np.load(path) for path in sorted((folder / "checkpoints/replay").glob("*.npz"))]
    return {name: np.concatenate([chunk[name] for chunk in chunks], axis=1) for name in chunks[0]}


def checkpoint_steps(folder: Path) -> list[int]:
    """The checkpoints that are there."""
    return sorted(int(path.name[5:]) for path in (folder / "checkpoints").glob("step-*"))


def last_checkpoint(config: RunConfig, fallback: bool = False) -> Restored:
    """The newest checkpoint of a run, or of those that are left."""
    config = configure.resolve(config)
    lanes = configure.lanes(config)
    spec = suites.make(config.env_name, config.action_repeat).spec
    machinery = assembly.assemble(config, lanes, spec, config.schedule_horizon)
    machinery.pool.close()
    shapes = snapshot.saved_shapes(machinery.engine, [lane.seed for lane in lanes])
    return CheckpointStore(Path(config.save_dir) / "checkpoints").restore(shapes, fallback)


def lane_of(tree: Any, lane: int) -> Any:
    """One lane of a pytree with a leading lane axis."""
    return jax.tree.map(lambda leaf: leaf[lane], tree)


def arguments(config: RunConfig) -> list[str]:
    """The command line that asks for a configuration, without `resets` and `variants`."""
    usual = configure.flatten(preset(config.preset))
    changed = {path: value for path, value in configure.flatten(config).items() if path != "preset"}
    words = {
        path: ",".join(map(str, value)) if isinstance(value, tuple) else value
        for path, value in changed.items()
        if value != usual[path]
    }
    settings = [f"--set={path}={value}" for path, value in words.items()]
    return ["train_parallel.py", f"--preset={config.preset}", *settings]


def keep_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undoes after the test what the command line does to the process."""
    layout = platform.current_layout()
    monkeypatch.setenv("NPROC", str(layout.threads))
    # jax is running already: no other layout can be had.
    count = f"--xla_force_host_platform_device_count={layout.devices}"
    monkeypatch.setenv("XLA_FLAGS", f"{os.environ.get('XLA_FLAGS', '')} {count}".strip())
    monkeypatch.setenv("MUJOCO_GL", os.environ.get("MUJOCO_GL", ""))

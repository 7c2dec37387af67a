"""Result files for tests of the analysis: runs as the package writes them, and tables."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rr_scale import configure
from rr_scale.presets import preset
from rr_scale.train.logging import ResultFiles

ROOT = Path(__file__).resolve().parent.parent
LONG_HEADER = "exp_name,env_name,seed,metric,env_step,value\n"


def write_run(
    folder: Path,
    exp_name: str,
    returns: Mapping[int, Sequence[float]],
    *,
    env_name: str = "cheetah-run",
    every: int = 10,
    action_repeat: int = 1,
    replay_ratio: float = 2.0,
    wall_s_per_step: float | None = None,
    record: bool = True,
    **fields: object,
) -> Path:
    """A finished run: seed -> returns every `every` env steps; shorter lists stop early.

    Further fields go to the configuration in `run.json`.
    """
    seeds = sorted(returns)
    files = ResultFiles(folder, seeds, exp_name, env_name, action_repeat)
    last = max(len(values) for values in returns.values())
    for index in range(last):
        step = every * (index + 1)
        rows = [
            {"avg_return": returns[seed][index], "avg_length": 1.0, "return_std": 0.0}
            if index < len(returns[seed])
            else None
            for seed in seeds
        ]
        files.evaluation(step, int(step * replay_ratio), rows)
        if wall_s_per_step is not None:
            shared = {"time/wall_s": step * wall_s_per_step}
            files.metrics(step, int(step * replay_ratio), [None] * len(seeds), shared)
    if record:
        config = preset(
            "sr_sac",
            exp_name=exp_name,
            env_name=env_name,
            seed=seeds[0],
            num_seeds=len(seeds),
            updates_per_step=replay_ratio,
            action_repeat=action_repeat,
            max_steps=every * last,
            **fields,
        )
        content = {
            "format": 1,
            "config": configure.to_dict(config),
            "sessions": [{"versions": {"mujoco": "3.11.0"}, "free": configure.free_fields(config)}],
        }
        (folder / "run.json").write_text(json.dumps(content))
    return folder


def long_table(
    path: Path, curves: Mapping[tuple[str, str, int], Sequence[float]], every: int = 10
) -> Path:
    """A published table: (experiment, task, seed) -> returns every `every` env steps."""
    lines = [
        f"{exp},{env},{seed},avg_return,{every * (index + 1)},{value!r}\n"
        for (exp, env, seed), values in curves.items()
        for index, value in enumerate(map(float, values))
    ]
    path.write_text(LONG_HEADER + "".join(lines))
    return path


def random_scores(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Scores between 0 and 1 with ties."""
    return np.random.default_rng(seed).integers(0, 50, shape) / 50


def run_script(name: str, *arguments: object) -> int:
    """The exit status of `scripts/<name>.py`, run in this process."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main([str(argument) for argument in arguments])

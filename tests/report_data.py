"""Runs on disk that tests of the report make up: no jax, no simulator."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

HEADER = ("exp_name", "env_name", "seed", "metric", "env_step", "frames", "updates", "value")
STEPS = tuple(range(0, 5000, 1000))


def write_run(
    folder: Path,
    exp_name: str = "sac",
    env_name: str = "cheetah-run",
    seeds: Sequence[int] = (0, 1, 2),
    ratio: float = 2.0,
    stops: dict[int, int] | None = None,
    settings: dict[str, Any] | None = None,
) -> dict[int, list[float]]:
    """A run folder: results.csv, metrics.csv and run.json.

    Args:
      stops: seed -> its last env step.

    Returns:
      Returns per seed.
    """
    folder.mkdir(parents=True)
    draw = np.random.default_rng([len(exp_name), len(env_name), int(ratio)])
    curves = {seed: np.cumsum(draw.uniform(0, 300, len(STEPS))).tolist() for seed in seeds}
    stops = stops or {}
    curves = {
        seed: [y for x, y in zip(STEPS, curve, strict=True) if x <= stops.get(seed, STEPS[-1])]
        for seed, curve in curves.items()
    }
    results, metrics = [HEADER], [HEADER]
    for index, step in enumerate(STEPS):
        counts = (step, 2 * step, int(ratio * step))
        for seed, curve in curves.items():
            if index < len(curve):
                results.append((exp_name, env_name, seed, "avg_return", *counts, curve[index]))
                metrics.append((exp_name, env_name, seed, "train/q_mean", *counts, index / 7))
        metrics.append((exp_name, env_name, "", "time/wall_s", *counts, step / 10))
    for name, rows in (("results.csv", results), ("metrics.csv", metrics)):
        with (folder / name).open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    record = {
        "config": {
            "exp_name": exp_name,
            "env_name": env_name,
            "preset": "sac",
            "seed": min(seeds),
            "num_seeds": len(seeds),
            "updates_per_step": ratio,
            "max_steps": STEPS[-1],
            "start_training": 0,
            "hp": {"discount": 0.99},
            **(settings or {}),
        },
        "sessions": [{"device_kind": "cpu", "git_commit": "0123456789abcdef", "versions": {}}],
    }
    (folder / "run.json").write_text(json.dumps(record))
    return curves


def write_sweep(root: Path, names: Sequence[str] = ("rr2", "rr16")) -> dict:
    """Experiments on two tasks; returns by (experiment, task, seed)."""
    found = {}
    for number, name in enumerate(names):
        for task in ("cheetah-run", "walker-walk"):
            ratio = (2.0, 16.0)[number % 2]
            settings = {"preset": ("sac", "td3")[number % 2]}
            curves = write_run(
                root / f"{number}-{task}", name, task, ratio=ratio, settings=settings
            )
            found |= {(name, task, seed): curve for seed, curve in curves.items()}
    return found

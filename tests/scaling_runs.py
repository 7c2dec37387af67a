"""Runs over replay ratios and batch sizes whose laws are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from result_files import write_run
from rr_scale.analysis.scaling_laws import DataLaw, PowerLaw

BATCH_TRUTH = PowerLaw(-0.5, {"cheetah-run": 256.0, "walker-run": 512.0})


def write_scaling_runs(
    folder: Path,
    ratios: Sequence[int] = (1, 2, 4, 8),
    batches: Sequence[int] = (64, 128, 256, 512),
    seeds: int = 3,
) -> DataLaw:
    """Runs whose time to a threshold is a data law, slowed by a batch size that is not the best."""
    rng = np.random.default_rng(0)
    truth = DataLaw(1.1, 0.6, 1.0, 20_000.0)
    steps = np.arange(1, 201) * 1000
    for task in BATCH_TRUTH.at_one:
        for ratio in ratios:
            for batch in batches:
                off = np.log2(batch / BATCH_TRUTH(ratio, task))
                time = truth(ratio) * (1 + 0.1 * off**2)
                # Linear to 1,000 at twice the time to 500, with noise that the mean smooths.
                returns = {
                    seed: np.clip(500 * steps / time + rng.normal(0, 15, len(steps)), 0, 1000)
                    for seed in range(seeds)
                }
                name = f"rr{ratio}-b{batch}"
                place = write_run(
                    folder / task / name,
                    name,
                    returns,
                    env_name=task,
                    every=1000,
                    replay_ratio=float(ratio),
                )
                record = json.loads((place / "run.json").read_text())
                record["config"]["replay"]["batch_size"] = batch
                record["config"]["resets"] = []
                (place / "run.json").write_text(json.dumps(record))
    return truth

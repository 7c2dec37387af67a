"""Whole runs with prioritised replay are resumed exactly."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rr_scale import run
from rr_scale.config import ReplayConfig, ResetRule
from rr_scale.envs.probes import PROBES
from rr_scale.replay import sampler
from small_runs import dying, exact_files, last_checkpoint, metric_rows, share_engines, tiny
from stand_ins import Walk


class ShortWalk(Walk):
    name = "probe-short-walk"
    horizon = 2


COMMON = {
    "replay.sampling": "prioritized",
    "replay.storage": "compact",
    "replay.capacity": 70,
    "replay.n_step": 3,
    "updates_per_step": 1.5,
    # Both read batches from the ring; the crash comes right after the second reset.
    "resets": (ResetRule(unit="env_steps", at=(75, 125), how="recycle", threshold=0.1),),
    "diagnose_interval": 45,
}
GOALS = {
    "env_name": "probe-bit-flip",
    "replay.hindsight": "future",
    "replay.validation_share": 0.3,
}


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"env_name": ShortWalk.name}, id="walk", marks=pytest.mark.slow),
        pytest.param(GOALS, id="goals"),
    ],
)
def test_a_run_with_priorities_resumes_exactly(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    share_engines(monkeypatch)
    monkeypatch.setitem(PROBES, ShortWalk.name, ShortWalk)
    whole, crashed = (
        tiny("td3", tmp_path / name, **(COMMON | settings)) for name in ("whole", "crashed")
    )
    assert run(whole).exit_status == 0
    with dying("_step", 130):
        run(crashed)
    assert run(dataclasses.replace(crashed, resume="must")).exit_status == 0
    assert exact_files(tmp_path / "crashed") == exact_files(tmp_path / "whole")
    assert len(metric_rows(tmp_path / "whole", "reset/fired")) == 2
    one, other = last_checkpoint(whole), last_checkpoint(crashed)
    leaves = one.host_arrays["leaves"]
    np.testing.assert_array_equal(leaves, other.host_arrays["leaves"])
    # Not all rows may be drawn: the compact ring gave some up, or they are not trained on.
    drawn = (leaves > 0).sum(axis=1)
    assert leaves.shape == (2, 70) and drawn.min() > 10 and drawn.max() < 70


def test_the_memory_of_the_tree_counts():
    config = ReplayConfig(sampling="prioritized")
    assert sampler.nbytes(config, 1000) == 4 * (2 * 1024 + 1)
    assert sampler.nbytes(ReplayConfig(), 1000) == 0
    assert sampler.nbytes(ReplayConfig(hindsight="final"), 1000) == 4 * (3 * 1000 + 2)

"""Bits are flipped as wanted with hindsight, and not without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rr_scale import run
from small_runs import results, share_engines, tiny

SETTINGS = {
    "env_name": "probe-bit-flip",
    "num_seeds": 1,
    "updates_per_step": 2,
    "max_steps": 2000,
    "start_training": 300,
    "eval_interval": 1000,
    "eval_episodes": 40,
    "log_interval": 1000,
    "checkpoint_freq": 0,
    "replay.batch_size": 128,
    "replay.capacity": 10_000,
    "agent.actor.network.hidden": "128,128",
    "agent.critic.network.hidden": "128,128",
    "agent.actor.network.initializer": "orthogonal",
    "agent.critic.network.initializer": "orthogonal",
    "hp.discount": 0.9,
    "hp.tau": 0.02,
    "hp.actor_lr": 1e-3,
    "hp.critic_lr": 1e-3,
    "hp.temperature_lr": 1e-3,
    "hp.init_temperature": 0.1,
}


@pytest.mark.slow
@pytest.mark.parametrize("hindsight", ["none", "future"])
def test_bit_flip_is_solved_with_hindsight_and_not_without(
    hindsight: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    share_engines(monkeypatch)
    config = tiny("sac", tmp_path, **(SETTINGS | {"replay.hindsight": hindsight}))
    assert run(config).exit_status == 0
    success = results(tmp_path, "avg_success")[-1].value
    assert success >= 0.5 if hindsight == "future" else success <= 0.1

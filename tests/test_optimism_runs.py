"""A whole run with everything that remembers is resumed exactly."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from rr_scale import run
from small_runs import dying, exact_files, last_checkpoint, make_walks, share_engines, tiny
from stand_ins import Walk

SETTINGS = {
    "env_name": Walk.name,
    "updates_per_step": 1.5,
    "agent.explorer.kind": "optimistic",
    "agent.explorer.network.hidden": "8",
    "agent.update_order": "critic,target,actor,explorer,temperature,optimism",
    "agent.critic.value": "quantile",
    "agent.critic.num_quantiles": 4,
    "agent.critic.ensemble_size": 3,
    "agent.critic.target_subset": 2,
    "agent.critic.target_ensemble": "pessimistic",
    "agent.pessimism": "top",
    "agent.noise_repeat": 8,
    "agent.exploration": "ou",
    "agent.reward_scale": "return_bound",
}


def test_explorer_bandit_repeated_noise_and_reward_scale_are_resumed_exactly(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    share_engines(monkeypatch)
    make_walks(monkeypatch)
    whole, crashed = (tiny("sac", tmp_path / name, **SETTINGS) for name in ("whole", "crashed"))
    assert run(whole).exit_status == 0
    with dying("_step", 130):
        run(crashed)
    assert run(dataclasses.replace(crashed, resume="must")).exit_status == 0
    assert exact_files(tmp_path / "crashed") == exact_files(tmp_path / "whole")
    state = last_checkpoint(whole).state.train
    assert int(state.normalizers["bandit"].episodes.min()) > 2
    assert float(state.normalizers["reward"].largest.min()) > 0

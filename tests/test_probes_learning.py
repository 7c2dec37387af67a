"""Whole runs on environments whose exact action values are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from marks import in_all_tests
from rr_scale import run
from rr_scale.config import RunConfig
from rr_scale.envs.probes import analytic_q
from rr_scale.nets.build import build_critic, build_policy
from small_runs import lane_of, last_checkpoint, share_engines, tiny

DISCOUNT = 0.7
TOLERANCE = 0.05
PRESETS = ("sac", "td3", "ddpg")
SETTINGS = {
    "updates_per_step": 40,
    "max_steps": 260,
    "start_training": 200,
    "eval_interval": 1000,
    "log_interval": 1000,
    "checkpoint_freq": 0,
    "replay.batch_size": 32,
    "agent.actor.network.hidden": "32",
    "agent.critic.network.hidden": "32",
    "agent.actor.network.initializer": "orthogonal",
    "agent.critic.network.initializer": "orthogonal",
    "hp.discount": DISCOUNT,
    "hp.tau": 0.05,
    "hp.actor_lr": 4e-3,
    "hp.critic_lr": 4e-3,
}
# Without entropy in the value, so that Q is what the probe says.
NO_ENTROPY = {
    "agent.temperature": "fixed",
    "agent.update_order": "critic,target,actor",
    "hp.init_temperature": 0.0,
}
OBSERVATIONS: dict[str, list[list[float]]] = {
    "probe-constant": [[0.0]],
    "probe-observation": [[1.0], [-1.0]],
    "probe-action": [[0.0]],
    "probe-target": [[-0.4, 0.3], [0.2, 0.0]],
    "probe-delay": [[0.0], [1.0]],
    "probe-truncation": [[0.0]],
    "probe-termination": [[0.2], [0.4], [0.6], [0.8], [1.0]],
}
PROBES = [probe for probe in OBSERVATIONS if probe != "probe-target"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    share_engines(monkeypatch)


class Learned(NamedTuple):
    """What a run learned."""

    config: RunConfig
    errors: np.ndarray  # of Q, over lanes, ensemble, observations and actions
    actions: np.ndarray  # greedy [S, observations, A]


def learn(name: str, probe: str, folder: Path, **settings: Any) -> Learned:
    entropy = NO_ENTROPY if name == "sac" else {}
    config = tiny(name, folder, **(SETTINGS | entropy | {"env_name": probe} | settings))
    assert run(config).exit_status == 0
    train = last_checkpoint(config).state.train
    observations = np.array(OBSERVATIONS[probe], np.float32)
    size = 2 if probe == "probe-target" else 1
    critic = build_critic(config.agent.critic, size, size)
    policy = build_policy(config.agent.actor, size, size)
    errors = []
    for action in (-0.6, 0.0, 0.3, 0.8):
        actions = np.full((len(observations), size), action, np.float32)
        exact = [analytic_q(probe, DISCOUNT, *pair) for pair in zip(observations, actions)]  # noqa: B905
        for lane in range(config.num_seeds):
            params = lane_of(train.critic.params, lane)
            values, _ = critic.apply(params, {}, observations, actions, None, False)
            errors.append(values[..., 0] - np.array(exact))
    greedy = [policy.mode(lane_of(train.actor.params, lane), {}, observations) for lane in range(2)]
    return Learned(config, np.array(errors), np.array(greedy))


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("name", PRESETS)
def test_q_is_exact(name: str, probe: str, tmp_path: Path) -> None:
    learned = learn(name, probe, tmp_path)
    assert np.abs(learned.errors).max() < TOLERANCE
    if probe == "probe-action":
        np.testing.assert_allclose(learned.actions, 0.3, atol=0.12)


@pytest.mark.parametrize("name", ["sac", *in_all_tests("ddpg")])
def test_the_policy_follows_the_observation(name: str, tmp_path: Path) -> None:
    learned = learn(name, "probe-target", tmp_path)
    wanted = np.broadcast_to(OBSERVATIONS["probe-target"], learned.actions.shape)
    np.testing.assert_allclose(learned.actions, wanted, atol=0.2)


@pytest.mark.parametrize("probe", ["probe-delay", "probe-truncation"])
@pytest.mark.parametrize("name", ["sac", *in_all_tests("td3")])
def test_q_is_exact_with_returns_of_three_steps(name: str, probe: str, tmp_path: Path) -> None:
    learned = learn(name, probe, tmp_path, **{"replay.n_step": 3})
    assert np.abs(learned.errors).max() < TOLERANCE


def test_taking_a_time_limit_for_an_end_is_noticed(tmp_path: Path) -> None:
    broken = {"replay.bootstrap_on_truncation": False}
    learned = learn("sac", "probe-truncation", tmp_path, **broken)
    # The cut comes every tenth step: Q = 1 + 0.9 * gamma * Q.
    wrong = 1 / (1 - 0.9 * DISCOUNT) - 1 / (1 - DISCOUNT)
    assert np.abs(learned.errors).min() > TOLERANCE
    np.testing.assert_allclose(learned.errors, wrong, atol=0.5)

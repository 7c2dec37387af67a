"""How soon a rare reward is learned, by the way rows are drawn; as a script it writes a CSV.

python tests/rare_rewards.py > errors.csv
"""

from __future__ import annotations

import csv
import sys

import numpy as np

from helpers import clock
from rr_scale.agents.build import make_agent
from rr_scale.engine import Engine
from rr_scale.envs import suites
from rr_scale.nets.build import build_critic
from rr_scale.types import Transition
from small_runs import lane_of, tiny

PROBE = "probe-rare"
SETTINGS = {
    "env_name": PROBE,
    "agent.temperature": "fixed",
    "agent.update_order": "critic,target,actor",
    "hp.init_temperature": 0.0,
    "hp.critic_lr": 1e-3,
    "replay.batch_size": 16,
    "replay.capacity": 4096,
    "agent.critic.network.hidden": "32",
}


def errors(sampling: str, seeds: int, steps: int, every: int) -> np.ndarray:
    """|Q - 1| in the rare state, mean over critics [steps / every, seeds]; an update a step.

    Args:
      sampling: `replay.sampling`.
      seeds: lanes, each with episodes and networks of its own.
      steps: of one episode each.
      every: so many steps between two readings.
    """
    config = tiny("sac", "", **(SETTINGS | {"replay.sampling": sampling}))
    engine = Engine(make_agent(config, 1, 1), [config.hp] * seeds, config.replay, 4096, 1, 1)
    critic = build_critic(config.agent.critic, 1, 1)
    environment = suites.make(PROBE)
    lanes = range(seeds)
    state = engine.init(list(lanes))
    rng = np.random.default_rng(0)
    rewarded = (np.ones((1, 1)), np.zeros((1, 1)))  # observation, action
    read = []
    for step in range(1, steps + 1):
        observation = np.array([environment.reset(10_000 * lane + step) for lane in lanes])
        over = np.ones(seeds, bool)
        action = rng.uniform(-1, 1, (seeds, 1)).astype(np.float32)
        row = Transition(observation, action, observation[:, 0], over, ~over, observation)
        state = engine.step(state, row, clock(step, step - 1), 1)
        if step % every == 0:
            params = engine.placement.to_host(state.train.critic.params)
            known = [
                critic.apply(lane_of(params, lane), {}, *rewarded, None, False)[0] for lane in lanes
            ]
            read.append(np.abs(np.array(known) - 1).reshape(seeds, -1).mean(axis=1))
    return np.array(read)


if __name__ == "__main__":
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["sampling", "seed", "updates", "error"])
    for sampling in ("uniform", "prioritized", "lap"):
        for index, row in enumerate(errors(sampling, seeds=5, steps=2000, every=125)):
            for seed, error in enumerate(row):
                out.writerow([sampling, seed, 125 * (index + 1), f"{error:.4f}"])

"""Saved policies of a walker-walk run, played in dm_control with NumPy.

python play_policies.py RUN
"""

import json
import sys
from pathlib import Path

import numpy as np
from plain_sac import flat, suite

EPISODES = 40


def mode(arrays, observation):
    """The most likely action of a Gaussian policy with two hidden layers, before its tanh."""
    x = observation
    for name in ("trunk/Dense_0", "trunk/Dense_1"):
        x = np.maximum(x @ arrays[f"params/{name}/kernel"] + arrays[f"params/{name}/bias"], 0)
    return np.tanh(x @ arrays["params/mean/kernel"] + arrays["params/mean/bias"])


for path in sorted(Path(sys.argv[1]).glob("policies/*-last.npz")):
    arrays = np.load(path)
    metadata = json.loads(str(arrays["metadata"]))
    env = suite.load("walker", "walk", task_kwargs={"random": metadata["seed"] + 100})
    returns = []
    for _ in range(EPISODES):
        time_step, total = env.reset(), 0.0
        while not time_step.last():
            time_step = env.step(mode(arrays, flat(time_step)))
            total += time_step.reward
        returns.append(total)
    said, step = metadata["value"], metadata["env_step"]
    print(f"{path.name} at {step}: {np.mean(returns):.1f}, the run said {said:.1f}")

"""One env step of walker-walk from 800 states, to compare versions of the simulator.

With the older version:  python one_step.py make states.npz
With the newer version:  python one_step.py compare states.npz
"""

import os
import sys

os.environ["MUJOCO_GL"] = "disabled"

import mujoco  # noqa: E402
import numpy as np  # noqa: E402
from dm_control import suite  # noqa: E402

environment = suite.load("walker", "walk", task_kwargs={"random": 0})
physics = environment.physics


def visited():
    """States and actions of eight episodes of correlated random actions."""
    rng = np.random.default_rng(1)
    states, actions = [], []
    for _ in range(8):
        environment.reset()
        action = np.zeros(6)
        for step in range(400):
            action = np.clip(0.7 * action + 0.6 * rng.normal(size=6), -1, 1)
            if step % 4 == 0:
                states.append(physics.get_state().copy())
                actions.append(action)
            environment.step(action)
    return np.array(states), np.array(actions)


def after_one_step(states, actions):
    """Next states and rewards."""
    following, rewards = [], []
    for state, action in zip(states, actions, strict=True):
        environment.reset()
        with physics.reset_context():
            physics.set_state(state)
        rewards.append(environment.step(action).reward)
        following.append(physics.get_state().copy())
    return np.array(following), np.array(rewards)


what, path = sys.argv[1:]
if what == "make":
    states, actions = visited()
    following, rewards = after_one_step(states, actions)
    kept = {"states": states, "actions": actions, "following": following, "rewards": rewards}
    np.savez(path, version=mujoco.__version__, **kept)
else:
    old = np.load(path)
    following, rewards = after_one_step(old["states"], old["actions"])
    print(f"MuJoCo {old['version']} and {mujoco.__version__}, {len(rewards)} states:")
    print(f"largest difference of a state: {np.abs(following - old['following']).max():.1e}")
    print(f"largest difference of a reward: {np.abs(rewards - old['rewards']).max():.1e}")

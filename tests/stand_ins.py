"""Environments that tests make up, without jax: worker processes import them from here."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

from rr_scale.envs import suites
from rr_scale.envs.probes import Probe
from rr_scale.envs.spec import Environment
from rr_scale.errors import UserError


class Walk(Probe):
    """Steps along a line, whose reward is to stay near 0; cut after 7 of them.

    Unlike in the probes proper, what is observed depends on the actions.
    """

    name = "probe-walk"
    observation_size = 2
    horizon = 7
    terminates = False

    def begin(self, seed: int) -> None:
        self.place = np.random.default_rng(seed).uniform(-1, 1)

    def observe(self) -> list[float]:
        return [self.place, self.elapsed / self.horizon]

    def reward(self, action: np.ndarray) -> float:
        self.place += 0.3 * float(action[0])
        return -abs(self.place)


def make_walk(name: str = Walk.name, action_repeat: int = 1) -> Walk:
    """In place of `suites.make`."""
    return Walk()


class Introspective(Probe):
    """Tells about its process: whether it knows jax, its threads, the process, ignored signals."""

    name = "probe-introspective"
    observation_size = 5
    horizon = 100

    def observe(self) -> list[float]:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        return [
            "jax" in sys.modules,
            len(list(Path("/proc/self/task").iterdir())) - threading.active_count(),
            os.getpid(),
            handlers == [signal.SIG_IGN] * 2,
            len(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        ]


class Faulty(Probe):
    """Does what its first action says: 1, 2 are errors, 3 is death, -x takes x seconds."""

    name = "probe-faulty"
    action_size = 2
    horizon = 100

    def step(self, action: np.ndarray):
        if action[0] == 1:
            raise ValueError("the simulator is\nupset")
        if action[0] == 2:
            raise UserError("mend your ways")
        if action[0] == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if action[0] < 0:
            time.sleep(-float(action[0]))
        return super().step(action)


def refuse() -> Environment:
    """An environment that cannot be made."""
    raise UserError("no such simulator")


def vanish() -> Environment:
    """An environment that takes its process with it."""
    os._exit(3)


def make_used(name: str) -> Environment:
    """A simulator that has other episodes to forget."""
    environment = suites.make(name)
    for seed in (77, 78):
        environment.reset(seed)
        shape = (3, environment.spec.action_size)
        for action in np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32):
            environment.step(action)
    return environment

"""Episodes of policies that a run left on disk.

They are played the way training plays its evaluations: the same program, all
lanes together, as many episodes side by side. On the machine and with the
layout of the training, the same seeds therefore give the same returns, bit for
bit. Nothing of the run is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from rr_scale import configure
from rr_scale.envs import suites
from rr_scale.envs.spec import Environment, Step
from rr_scale.errors import UserError
from rr_scale.runfile import RunFile
from rr_scale.seeds import Role, episode_seed
from rr_scale.train.assembly import build_engine
from rr_scale.train.evaluate import Act, Evaluator
from rr_scale.train.saved import SavedPolicy, on_device, read_policies

SeedOf = Callable[[SavedPolicy, int], int]
"""(policy, number of the episode) -> seed of the simulator"""


class Played(NamedTuple):
    """One episode of one policy."""

    policy: SavedPolicy
    episode: int  # counted from 0
    seed: int  # of the simulator
    value: float  # undiscounted return
    length: float  # agent decisions
    success: float  # 1 or 0, NaN where the task does not say


class Examiner:
    """The policies of a run, ready to play.

    Args:
      run: what `runfile.read_run` found.
      kind: `last` or `best`.
      seeds: the seeds whose policies are played; all if empty.
      test_seed: where episodes start. None means as at the evaluation with
        which a policy was saved, and further episodes of that kind; a number
        means episodes that no training saw, the same ones for all policies.

    Raises:
      UserError: there are no such policies, or they do not fit the run.
    """

    def __init__(
        self, run: RunFile, kind: str, seeds: Sequence[int] = (), test_seed: int | None = None
    ):
        self._config = config = run.config
        lanes = configure.lanes(config)
        found = read_policies(run, kind)
        self._policies = [
            policy if policy and (not seeds or policy.lane.seed in seeds) else None
            for policy in found
        ]
        if not any(self._policies):
            listed = ", ".join(map(str, seeds))
            raise UserError(f"{run.save_dir} holds no {kind} policy of seed {listed}")
        self._seed_of = partial(_seed, test_seed)
        self._make_env = partial(suites.make, config.env_name, config.action_repeat)
        environment = self._make_env()
        spec = environment.spec
        environment.close()
        # Another machine may have fewer; the numbers then differ in rounding.
        devices = config.devices if config.devices <= jax.local_device_count() else 0
        engine = build_engine(config, lanes, spec, run.schedule_horizon, devices)
        state = on_device(engine, found)
        self._act: Act = lambda observation: engine.evaluate(state, observation)
        self._lane_seeds = [lane.seed for lane in lanes]

    @property
    def policies(self) -> list[SavedPolicy]:
        """Those that are played."""
        return [policy for policy in self._policies if policy]

    def play(self, episodes: int) -> list[Played]:
        """Plays that many episodes of each policy; policy after policy."""
        at_once = self._config.eval_episodes
        rounds = []
        with closing(self._evaluator(self._make_env, self._config.eval_envs)) as evaluator:
            for first in range(0, episodes, at_once):
                numbers = range(first, min(first + at_once, episodes))
                rounds.append(evaluator.play(self._act, self._seeds(numbers)))
        # Place by place the rounds make up the episodes in their order.
        outcome = [np.concatenate(column, axis=1) for column in zip(*rounds, strict=True)]
        played = []
        for lane, policy in enumerate(self._policies):
            for number in range(episodes) if policy else ():
                numbers = (float(column[lane, number]) for column in outcome)
                played.append(Played(policy, number, self._seed_of(policy, number), *numbers))
        return played

    def actions(self, number: int) -> tuple[int, np.ndarray]:
        """Plays one episode of the first policy again: (seed, its actions [T, A] float32)."""
        taken: list[np.ndarray] = []

        def make_env() -> Environment:
            return _Recorder(self._make_env(), taken)

        first = next(lane for lane, policy in enumerate(self._policies) if policy)
        seeds = self._seeds(range(number, number + 1))
        seeds = [own if lane == first else [None] * len(own) for lane, own in enumerate(seeds)]
        with closing(self._evaluator(make_env, 1)) as evaluator:
            evaluator.play(self._act, seeds)
        return self._seed_of(self.policies[0], number), np.array(taken, np.float32)

    def _evaluator(self, make_env: Callable[[], Environment], max_envs: int) -> Evaluator:
        return Evaluator(make_env, self._lane_seeds, self._config.eval_episodes, max_envs)

    def _seeds(self, numbers: range) -> list[list[int | None]]:
        """Seeds of some episodes, each in the place that it has in any evaluation."""
        at_once = self._config.eval_episodes
        seeds: list[list[int | None]] = [[None] * at_once for _ in self._policies]
        for own, policy in zip(seeds, self._policies, strict=True):
            for number in numbers if policy else ():
                own[number % at_once] = self._seed_of(policy, number)
        return seeds


def _seed(test_seed: int | None, policy: SavedPolicy, number: int) -> int:
    if test_seed is not None:
        return episode_seed(test_seed, Role.TEST, number)
    return episode_seed(policy.lane.seed, Role.EVALUATE, policy.facts["env_step"], number)


class _Recorder:
    """An environment that notes the actions it is given."""

    def __init__(self, environment: Environment, taken: list[np.ndarray]):
        self._environment = environment
        self._taken = taken
        self.spec, self.seconds_per_step = environment.spec, environment.seconds_per_step
        self.reset, self.close, self.picture = (
            environment.reset,
            environment.close,
            environment.picture,
        )

    def step(self, action: np.ndarray) -> Step:
        """Notes `action` [A] and applies it."""
        self._taken.append(np.array(action))
        return self._environment.step(action)

"""Evaluation: deterministic episodes, apart from training in every respect.

The simulators are its own, their seeds come from another stream, and acting
draws nothing: how often one evaluates, or with how many simulators, changes
neither training nor the returns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rr_scale.envs.simulators import MakeEnv, Simulators
from rr_scale.envs.workers import open_simulators
from rr_scale.seeds import Role, episode_seed
from rr_scale.train.bias import Bias

Act = Callable[[np.ndarray], np.ndarray]
"""Observations [S, E, O] -> deterministic actions [S, E, A]."""


class Episodes(NamedTuple):
    """What came of E episodes for each of S lanes; NaN where none was played."""

    returns: np.ndarray  # [S, E] undiscounted; NaN also where an action was not finite
    lengths: np.ndarray  # [S, E] agent decisions
    successes: np.ndarray  # [S, E] 1 or 0, NaN where the task does not say


class Evaluator:
    """Runs E episodes for each of S lanes on a bounded number of simulators.

    Args:
      make_env: builds a simulator; called lazily, at most `max_envs` times.
      lane_seeds: seed of each lane [S].
      episodes: E, per lane and evaluation.
      max_envs: simulators kept at most; any number gives the same returns.
      workers: processes, of its own, that step them side by side; 0 steps them
        one after another. Started at the first evaluation. See
        `workers.WorkerSimulators` for what it asks of `make_env`.
    """

    def __init__(
        self,
        make_env: MakeEnv,
        lane_seeds: Sequence[int],
        episodes: int,
        max_envs: int,
        workers: int = 0,
    ):
        self._make_env = make_env
        self._seeds = list(lane_seeds)
        self._episodes = episodes
        self._max_envs = max_envs
        self._workers = workers
        self._simulators: Simulators | None = None

    def run(
        self, act: Act, env_step: int, skipped: Sequence[bool], bias: Bias | None = None
    ) -> list[dict[str, float] | None]:
        """Evaluates once.

        Args:
          act: the policies; called with every lane's observations at once.
          env_step: when, in training; every evaluation has episodes of its own.
          skipped: lanes without an evaluation [S].
          bias: watches the episodes, if critics are to be compared with them.

        Returns:
          Per lane the mean return and length over its episodes, the standard
          deviation of the return over episodes (population), the success rate
          where the task reports one, and what `bias` found; None for a skipped
          lane.
        """
        played = self.play(
            act,
            [
                [
                    None if skip else episode_seed(seed, Role.EVALUATE, env_step, episode)
                    for episode in range(self._episodes)
                ]
                for seed, skip in zip(self._seeds, skipped, strict=True)
            ],
            bias,
        )
        lanes = enumerate(zip(skipped, *played, strict=True))
        return [
            None if skip else _summary(*episodes) | (bias.row(lane) if bias else {})
            for lane, (skip, *episodes) in lanes
        ]

    def play(
        self, act: Act, seeds: Sequence[Sequence[int | None]], bias: Bias | None = None
    ) -> Episodes:
        """Plays the episodes of `seeds` [S, E]; None plays none.

        A row of observations has its place [lane, episode] whatever is played
        beside it, so an episode comes out the same, bit for bit.

        Args:
          act: the policies; called with every lane's observations at once.
          seeds: of the simulator, per lane.
          bias: is told of every step.
        """
        shape = (len(self._seeds), self._episodes)
        returns, lengths, successes = np.full((3, *shape), np.nan)
        waiting = deque(
            (lane, episode, seed)
            for lane, own in enumerate(seeds)
            for episode, seed in enumerate(own)
            if seed is not None
        )
        if not waiting:
            return Episodes(returns, lengths, successes)
        count = min(self._max_envs, len(waiting))
        if self._simulators is None:
            self._simulators = open_simulators(self._make_env, self._workers, count)
        simulators = self._simulators
        observation = np.zeros((*shape, simulators.spec.observation_size), np.float32)
        jobs = np.zeros((count, 2), int)  # lane and episode of each simulator

        def begin(free: Sequence[int]) -> list[int]:
            """Starts waiting episodes in free simulators; those that got one."""
            begun = list(free[: len(waiting)])
            if begun:
                next_jobs = [waiting.popleft() for _ in begun]
                jobs[begun] = [job[:2] for job in next_jobs]
                places = tuple(jobs[begun].T)
                observation[places] = simulators.reset(begun, [job[2] for job in next_jobs])
                returns[places], lengths[places] = 0.0, 0.0
            return begun

        running = begin(range(count))
        while running:
            action = act(observation)
            # A diverged policy must not stop the simulator, but its return is
            # not that of the zero action either.
            returns[~np.isfinite(action).all(axis=-1)] = np.nan
            action = np.nan_to_num(action)
            lane, episode = jobs[running].T
            steps = simulators.step(running, action[lane, episode])
            if bias is not None:
                places = list(zip(lane.tolist(), episode.tolist(), strict=True))
                bias.step(observation, action, places, steps)
            observation[lane, episode] = steps["observation"]
            returns[lane, episode] += steps["reward"]
            lengths[lane, episode] += 1
            over = steps["terminated"] | steps["truncated"]
            successes[lane[over], episode[over]] = steps["success"][over]
            numbers = np.array(running)
            running = numbers[~over].tolist() + begin(numbers[over].tolist())
        return Episodes(returns, lengths, successes)

    def close(self) -> None:
        """Frees the simulators, and ends the workers."""
        if self._simulators is not None:
            self._simulators.close()


def _summary(returns: np.ndarray, lengths: np.ndarray, successes: np.ndarray) -> dict[str, float]:
    row = {
        "avg_return": float(returns.mean()),
        "avg_length": float(lengths.mean()),
        "return_std": float(returns.std()),
    }
    if not np.isnan(successes).any():
        row["avg_success"] = float(successes.mean())
    return row

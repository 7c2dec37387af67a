"""Evaluation: deterministic episodes, apart from training in every respect.

The simulators are its own, their seeds come from another stream, and acting
draws nothing: how often one evaluates, or with how many simulators, changes
neither training nor the returns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from rr_scale.envs.spec import Environment
from rr_scale.rng import Role, episode_seed

Act = Callable[[np.ndarray], np.ndarray]
"""Observations [S, E, O] -> deterministic actions [S, E, A]."""


class Evaluator:
    """Runs E episodes for each of S lanes on a bounded number of simulators.

    Args:
      make_env: builds a simulator; called lazily, at most `max_envs` times.
      lane_seeds: seed of each lane [S].
      episodes: E, per lane and evaluation.
      max_envs: simulators kept at most; any number gives the same returns.
    """

    def __init__(
        self,
        make_env: Callable[[], Environment],
        lane_seeds: Sequence[int],
        episodes: int,
        max_envs: int,
    ):
        self._make_env = make_env
        self._seeds = list(lane_seeds)
        self._episodes = episodes
        self._max_envs = max_envs
        self._envs: list[Environment] = []

    def run(
        self, act: Act, env_step: int, skipped: Sequence[bool]
    ) -> list[dict[str, float] | None]:
        """Evaluates once.

        Args:
          act: the policies; called with every lane's observations at once.
          env_step: when, in training; every evaluation has episodes of its own.
          skipped: lanes without an evaluation [S].

        Returns:
          Per lane the mean return and length over its episodes, the standard
          deviation of the return over episodes (population), and the success
          rate where the task reports one; None for a skipped lane.
        """
        waiting = deque(
            (lane, episode)
            for lane in range(len(self._seeds))
            if not skipped[lane]
            for episode in range(self._episodes)
        )
        if not waiting:
            return [None] * len(self._seeds)
        while len(self._envs) < min(self._max_envs, len(waiting)):
            self._envs.append(self._make_env())
        size = self._envs[0].spec.observation_size
        shape = (len(self._seeds), self._episodes)
        returns, lengths = np.zeros(shape), np.zeros(shape)
        successes = np.full(shape, np.nan)
        observation = np.zeros((*shape, size), np.float32)

        def begin(env: Environment) -> tuple[Environment, int, int] | None:
            if not waiting:
                return None
            lane, episode = waiting.popleft()
            seed = episode_seed(self._seeds[lane], Role.EVALUATE, env_step, episode)
            observation[lane, episode] = env.reset(seed)
            return env, lane, episode

        running = [job for job in map(begin, self._envs) if job]
        while running:
            action = act(observation)
            # A diverged policy must not stop the simulator, but its return is
            # not that of the zero action either.
            returns[~np.isfinite(action).all(axis=-1)] = np.nan
            action = np.nan_to_num(action)
            still_running = []
            for job in running:
                env, lane, episode = job
                step = env.step(action[lane, episode])
                observation[lane, episode] = step.observation
                returns[lane, episode] += step.reward
                lengths[lane, episode] += 1
                if step.terminated or step.truncated:
                    if step.success is not None:
                        successes[lane, episode] = step.success
                    next_job = begin(env)
                    if next_job:
                        still_running.append(next_job)
                else:
                    still_running.append(job)
            running = still_running
        return [
            None if skipped[lane] else _summary(returns[lane], lengths[lane], successes[lane])
            for lane in range(len(self._seeds))
        ]

    def close(self) -> None:
        """Frees the simulators."""
        for env in self._envs:
            env.close()


def _summary(returns: np.ndarray, lengths: np.ndarray, successes: np.ndarray) -> dict[str, float]:
    row = {
        "avg_return": float(returns.mean()),
        "avg_length": float(lengths.mean()),
        "return_std": float(returns.std()),
    }
    if not np.isnan(successes).any():
        row["avg_success"] = float(successes.mean())
    return row

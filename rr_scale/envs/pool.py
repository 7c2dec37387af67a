"""The training environments of all lanes, stepped together.

An episode is a pure function of its seed and its actions, so a pool is saved
as the actions since the last resets, and restored by replaying them. No
simulator state is ever stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rr_scale.envs.simulators import MakeEnv
from rr_scale.envs.workers import open_simulators
from rr_scale.errors import UserError

Snapshot = dict[str, np.ndarray]


class Episode(NamedTuple):
    """A training episode that ended; `length` counts agent decisions.

    `success` is that of its last step, None where the task does not say.
    """

    lane: int
    episode_return: float
    length: int
    success: bool | None


class PoolStep(NamedTuple):
    """What follows the actions of all lanes; the arrays are the caller's to keep.

    `next_observation` is the true successor, `observation` what to act on next:
    they differ where an episode ended and the next one began.
    """

    next_observation: np.ndarray  # [S, O] float32
    reward: np.ndarray  # [S] float32
    terminated: np.ndarray  # [S] bool
    truncated: np.ndarray  # [S] bool
    observation: np.ndarray  # [S, O] float32
    finished: list[Episode]  # in lane order


class Pool:
    """One training environment per lane.

    The e-th episode of a lane starts from the seed `seed_of(lane seed, e)`.
    Call `reset` or `restore` before the first `step`.

    Args:
      make_env: builds an environment; called once per lane.
      lane_seeds: the seed of each lane [S].
      seed_of: (lane seed, episode index) -> simulator seed in [0, 2**32).
      workers: processes that step lanes side by side; 0 steps them one after
        another. The results are the same. See `workers.WorkerSimulators` for
        what it asks of `make_env`.

    Raises:
      UserError: as `make_env`, or a worker did not start.
    """

    def __init__(
        self,
        make_env: MakeEnv,
        lane_seeds: Sequence[int],
        seed_of: Callable[[int, int], int],
        workers: int = 0,
    ):
        self._seeds = list(lane_seeds)
        self._seed_of = seed_of
        self._simulators = open_simulators(make_env, workers, len(self._seeds))
        self.spec = self._simulators.spec
        lanes = len(self._seeds)
        self._observation = np.zeros((lanes, self.spec.observation_size), np.float32)
        self._episode = np.zeros(lanes, np.int64)
        self._return = np.zeros(lanes)
        self._frozen = np.zeros(lanes, bool)
        # Since the reset; empty if frozen.
        self._actions: list[list[np.ndarray]] = [[] for _ in self._seeds]

    def reset(self) -> np.ndarray:
        """Starts episode 0 of every lane; the first observations [S, O] float32."""
        self._frozen[:] = False
        self._start(range(len(self._seeds)), [0] * len(self._seeds))
        return self._observation.copy()

    def step(self, actions: np.ndarray) -> PoolStep:
        """Steps every lane by its row of `actions` [S, A] float32, in [-1, 1].

        Where an episode ends, the lane's next one is started. A frozen lane
        returns its last observation with reward 0, and does not end.

        Raises:
          UserError: a worker died.
          RuntimeError: a simulator failed in a worker.
        """
        lanes = np.flatnonzero(~self._frozen)
        steps = self._take(lanes, np.array(actions, np.float32))
        reward = np.zeros(len(self._seeds), np.float32)
        terminated, truncated = np.zeros((2, len(self._seeds)), bool)
        reward[lanes] = steps["reward"]
        terminated[lanes], truncated[lanes] = steps["terminated"], steps["truncated"]
        next_observation = self._observation.copy()
        ended = np.flatnonzero(terminated | truncated).tolist()
        success = dict(zip(lanes.tolist(), steps["success"].tolist(), strict=True))
        finished = [
            Episode(
                lane,
                float(self._return[lane]),
                len(self._actions[lane]),
                None if np.isnan(success[lane]) else bool(success[lane]),
            )
            for lane in ended
        ]
        self._start(ended, (self._episode[ended] + 1).tolist())
        return PoolStep(
            next_observation, reward, terminated, truncated, self._observation.copy(), finished
        )

    def freeze(self, lane: int) -> None:
        """Steps the lane of this index no more; its running episode is forgotten."""
        self._frozen[lane] = True
        self._actions[lane] = []

    def snapshot(self) -> Snapshot:
        """All that `restore` needs.

        Returns:
          episode: index of the running episode [S] int64.
          steps: agent decisions since its reset [S] int64, 0 if frozen.
          actions: those decisions, lane after lane [sum of steps, A] float32.
          observation: what to act on next [S, O] float32.
          frozen: [S] bool.
        """
        taken = [action for actions in self._actions for action in actions]
        return {
            "episode": self._episode.copy(),
            "steps": np.array([len(actions) for actions in self._actions], np.int64),
            "actions": np.array(taken, np.float32).reshape(-1, self.spec.action_size),
            "observation": self._observation.copy(),
            "frozen": self._frozen.copy(),
        }

    def restore(self, snapshot: Snapshot) -> np.ndarray:
        """Continues where `snapshot` was taken, by replaying the running episodes.

        Returns:
          What to act on next [S, O] float32.

        Raises:
          UserError: the snapshot is of other lanes or another task, or the
            simulator does not reproduce its observations bit for bit.
        """
        saved, steps = snapshot["observation"], snapshot["steps"]
        if saved.shape != self._observation.shape:
            raise UserError(
                f"the saved environments have observations {list(saved.shape)}, these have "
                f"{list(self._observation.shape)}"
            )
        self._frozen = snapshot["frozen"].astype(bool)
        self._episode = snapshot["episode"].astype(np.int64)
        running = np.flatnonzero(~self._frozen)
        self._start(running.tolist(), self._episode[running].tolist())
        for lane in np.flatnonzero(self._frozen):
            self._observation[lane] = saved[lane]
            self.freeze(lane)
        first = np.cumsum(steps) - steps
        # All lanes by one decision at a time, so that workers replay side by side.
        for decision in range(steps[running].max(initial=0)):
            lanes = running[steps[running] > decision]
            actions = np.zeros((len(self._seeds), self.spec.action_size), np.float32)
            actions[lanes] = snapshot["actions"][first[lanes] + decision]
            taken = self._take(lanes, actions)
            over = taken["terminated"] | taken["truncated"]
            if over.any():
                raise self._not_reproduced(int(lanes[over][0]), steps)
        for lane in running.tolist():
            if self._observation[lane].tobytes() != saved[lane].tobytes():
                raise self._not_reproduced(lane, steps)
        return self._observation.copy()

    def close(self) -> None:
        """Frees the simulators, and ends the workers."""
        self._simulators.close()

    def _start(self, lanes: Sequence[int], episodes: Sequence[int]) -> None:
        """Resets the simulators of `lanes` with the seeds of `episodes`."""
        if not lanes:
            return
        seeds = [
            self._seed_of(self._seeds[lane], episode)
            for lane, episode in zip(lanes, episodes, strict=True)
        ]
        self._observation[lanes] = self._simulators.reset(lanes, seeds)
        self._episode[lanes], self._return[lanes] = episodes, 0.0
        for lane in lanes:
            self._actions[lane] = []

    def _take(self, lanes: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Gives `lanes` their rows of `actions` [S, A], whose owner it becomes.

        Returns:
          What follows, as `Simulators.step` returns it.
        """
        steps = self._simulators.step(lanes.tolist(), actions[lanes])
        self._observation[lanes] = steps["observation"]
        self._return[lanes] += steps["reward"]
        for lane in lanes.tolist():
            self._actions[lane].append(actions[lane])
        return steps

    def _not_reproduced(self, lane: int, steps: np.ndarray) -> UserError:
        return UserError(
            f"the simulator does not reproduce episode {self._episode[lane]} of lane {lane} "
            f"(seed {self._seeds[lane]}, {self.spec.name}, {steps[lane]} steps): "
            "is it another version, or another machine?"
        )

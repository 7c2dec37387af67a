"""The training environments of all lanes, stepped together.

An episode is a pure function of its seed and its actions, so a pool is saved
as the actions since the last resets, and restored by replaying them. No
simulator state is ever stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from rr_scale.envs.spec import Environment, Step
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
      workers: threads that step lanes side by side; 0 steps them one after
        another. The results are the same.
    """

    def __init__(
        self,
        make_env: Callable[[], Environment],
        lane_seeds: Sequence[int],
        seed_of: Callable[[int, int], int],
        workers: int = 0,
    ):
        self._lanes = [
            _Lane(index, make_env(), seed, seed_of) for index, seed in enumerate(lane_seeds)
        ]
        self.spec = self._lanes[0].environment.spec
        # A thread gets a fixed share of the lanes: handing over single lanes
        # would cost about as much as a small simulator's step.
        workers = min(workers, len(self._lanes))
        self._shares = [self._lanes[first::workers] for first in range(workers)]
        self._executor = ThreadPoolExecutor(workers) if workers > 0 else None

    def reset(self) -> np.ndarray:
        """Starts episode 0 of every lane; the first observations [S, O] float32."""
        self._for_each(lambda lane: lane.start(0))
        return self._observations()

    def step(self, actions: np.ndarray) -> PoolStep:
        """Steps every lane by its row of `actions` [S, A] float32, in [-1, 1].

        Where an episode ends, the lane's next one is started. A frozen lane
        returns its last observation with reward 0, and does not end.
        """
        actions = np.array(actions, np.float32)  # a copy: the rows are kept
        steps: list[Step] = [None] * len(self._lanes)  # type: ignore[list-item]
        finished: list[Episode | None] = [None] * len(self._lanes)

        def advance(lane: _Lane) -> None:
            steps[lane.index], finished[lane.index] = lane.step(actions[lane.index])

        self._for_each(advance)
        return PoolStep(
            next_observation=np.stack([step.observation for step in steps]),
            reward=np.array([step.reward for step in steps], np.float32),
            terminated=np.array([step.terminated for step in steps], bool),
            truncated=np.array([step.truncated for step in steps], bool),
            observation=self._observations(),
            finished=[episode for episode in finished if episode is not None],
        )

    def freeze(self, lane: int) -> None:
        """Steps the lane of this index no more; its running episode is forgotten."""
        self._lanes[lane].freeze()

    def snapshot(self) -> Snapshot:
        """All that `restore` needs.

        Returns:
          episode: index of the running episode [S] int64.
          steps: agent decisions since its reset [S] int64, 0 if frozen.
          actions: those decisions, lane after lane [sum of steps, A] float32.
          observation: what to act on next [S, O] float32.
          frozen: [S] bool.
        """
        taken = [action for lane in self._lanes for action in lane.actions]
        return {
            "episode": np.array([lane.episode for lane in self._lanes], np.int64),
            "steps": np.array([len(lane.actions) for lane in self._lanes], np.int64),
            "actions": np.array(taken, np.float32).reshape(-1, self.spec.action_size),
            "observation": self._observations(),
            "frozen": np.array([lane.frozen for lane in self._lanes], bool),
        }

    def restore(self, snapshot: Snapshot) -> np.ndarray:
        """Continues where `snapshot` was taken, by replaying the running episodes.

        Returns:
          What to act on next [S, O] float32.

        Raises:
          UserError: the snapshot is of other lanes or another task, or the
            simulator does not reproduce its observations bit for bit.
        """
        saved = snapshot["observation"]
        if saved.shape != (len(self._lanes), self.spec.observation_size):
            raise UserError(
                f"the saved environments have observations {list(saved.shape)}, these have "
                f"{[len(self._lanes), self.spec.observation_size]}"
            )
        ends = np.cumsum(snapshot["steps"])

        def replay(lane: _Lane) -> None:
            at = lane.index
            if snapshot["frozen"][at]:
                lane.episode, lane.observation = int(snapshot["episode"][at]), saved[at].copy()
                lane.freeze()
            else:
                actions = snapshot["actions"][ends[at] - snapshot["steps"][at] : ends[at]]
                lane.replay(int(snapshot["episode"][at]), actions, saved[at])

        self._for_each(replay)
        return self._observations()

    def close(self) -> None:
        """Ends the threads and frees the simulators."""
        if self._executor is not None:
            self._executor.shutdown()
        for lane in self._lanes:
            lane.environment.close()

    def _observations(self) -> np.ndarray:
        return np.stack([lane.observation for lane in self._lanes])

    def _for_each(self, work: Callable[[_Lane], None]) -> None:
        """Applies `work` to every lane, in threads if there are any."""

        def work_through(share: list[_Lane]) -> None:
            for lane in share:
                work(lane)

        if self._executor is None:
            work_through(self._lanes)
        else:
            list(self._executor.map(work_through, self._shares))


class _Lane:
    """The environment of one lane and what has happened in its running episode."""

    def __init__(
        self, index: int, environment: Environment, seed: int, seed_of: Callable[[int, int], int]
    ):
        self.index = index
        self.environment = environment
        self._seed = seed
        self._seed_of = seed_of

    def start(self, episode: int) -> None:
        """Resets the simulator with the seed of `episode`."""
        self.episode = episode
        self.frozen = False
        self.actions: list[np.ndarray] = []
        self._return = 0.0
        self.observation = self.environment.reset(self._seed_of(self._seed, episode))

    def step(self, action: np.ndarray) -> tuple[Step, Episode | None]:
        """Takes `action` [A], and starts the next episode if this one ended."""
        if self.frozen:
            return Step(self.observation, 0.0, False, False, None), None
        step = self._take(action)
        if not (step.terminated or step.truncated):
            return step, None
        finished = Episode(self.index, self._return, len(self.actions), step.success)
        self.start(self.episode + 1)
        return step, finished

    def replay(self, episode: int, actions: np.ndarray, observation: np.ndarray) -> None:
        """Repeats `actions` [T, A] in `episode`, which must lead to `observation` [O]."""
        self.start(episode)
        ended = False
        for action in actions:
            step = self._take(action)
            ended = ended or step.terminated or step.truncated
            if ended:
                break
        if ended or self.observation.tobytes() != observation.tobytes():
            raise UserError(
                f"the simulator does not reproduce episode {episode} of lane {self.index} "
                f"(seed {self._seed}, {self.environment.spec.name}, {len(actions)} steps): "
                "is it another version, or another machine?"
            )

    def freeze(self) -> None:
        """Stops here for ever."""
        self.frozen = True
        self.actions = []

    def _take(self, action: np.ndarray) -> Step:
        step = self.environment.step(action)
        self.actions.append(action)
        self._return += step.reward
        self.observation = step.observation
        return step

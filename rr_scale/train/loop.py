"""The loop over environment steps, and the jobs that hang on its clock.

Order within a step: act, environment, observe and insert, updates,
evaluation, reset, log, checkpoint. Each job has its own interval and none
depends on another's.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from rr_scale.agents.build import make_agent
from rr_scale.clock import ReplayRatio, every, fires
from rr_scale.config import RunConfig
from rr_scale.engine import Engine
from rr_scale.envs import suites
from rr_scale.envs.pool import Pool
from rr_scale.envs.spec import EnvSpec
from rr_scale.seeds import Role, episode_seed
from rr_scale.train import snapshot
from rr_scale.train.budget import ring_capacity
from rr_scale.train.checkpoint import CheckpointStore
from rr_scale.train.evaluate import Evaluator
from rr_scale.train.health import Health
from rr_scale.train.lock import RunLock
from rr_scale.train.outputs import Outputs
from rr_scale.train.policy_keeper import PolicyKeeper
from rr_scale.train.progress import Progress
from rr_scale.types import Clock, Lane, Transition


class Trainer:
    """One run in progress.

    Args:
      config: resolved and valid.
      lanes: all lanes.
      spec: of the task.
      schedule_horizon: env steps over which schedules run.
      store: the run's checkpoints.
      lock: held by this process.
    """

    def __init__(
        self,
        config: RunConfig,
        lanes: tuple[Lane, ...],
        spec: EnvSpec,
        schedule_horizon: int,
        store: CheckpointStore,
        lock: RunLock,
    ):
        self._config = config
        self._lanes = lanes
        self._seeds = [lane.seed for lane in lanes]
        self._store = store
        self._lock = lock
        self._ratio = ReplayRatio(config.updates_per_step, config.start_training)
        self._capacity = ring_capacity(config)
        agent = make_agent(config, spec.observation_size, spec.action_size, schedule_horizon)
        self._engine = Engine(
            agent,
            [lane.hp for lane in lanes],
            config.replay,
            self._capacity,
            spec.observation_size,
            spec.action_size,
        )
        # Not a closure: workers get it by the names of its parts.
        make_env = functools.partial(suites.make, config.env_name, config.action_repeat)
        self._pool = Pool(
            make_env,
            self._seeds,
            lambda seed, episode: episode_seed(seed, Role.TRAIN, 0, episode),
            config.env_workers,
        )
        self._evaluator = Evaluator(
            make_env, self._seeds, config.eval_episodes, config.eval_envs, config.env_workers
        )
        self._health = Health(config.nan_policy, self._seeds)
        self._policies = PolicyKeeper(len(lanes), spec.observation_size, spec.action_size)
        self._episodes: list[list[tuple[float, int]]] = [[] for _ in lanes]
        self._firings = 0
        self._wall_s = 0.0
        self.env_step = 0
        self._updates = 0
        self._since_reset = 0
        self._last_checkpoint: int | None = None
        self._tracker_states: dict[str, Any] = {}
        self._lengths: dict[str, dict[str, int]] = {}
        self._outputs: Outputs | None = None
        self._progress: Progress | None = None

    @property
    def failed(self) -> bool:
        """Whether any lane turned non-finite."""
        return bool(self._health.failed)

    def begin(self) -> None:
        """Fresh agents and environments, at step 0."""
        self._state = self._engine.init(self._seeds)
        self._observation = self._pool.reset()

    def _open(self) -> None:
        self._outputs = Outputs(self._config, self._lanes, self._tracker_states)
        self._outputs.truncate(self._lengths)
        self._progress = Progress(
            self._config.max_steps,
            len(self._lanes),
            self.env_step,
            self._updates,
            self._config.tqdm,
        )
        self._started = time.monotonic() - self._wall_s
        self._log_mark = (time.monotonic(), self.env_step, self._updates)
        self._eval_s = 0.0

    def run(self, signals: Sequence[int] = ()) -> int:
        """Trains to the end of the budget. Call `begin` or `restore` first.

        Args:
          signals: numbers of the signals received so far; grows meanwhile.

        Returns:
          0, or the number of the signal that stopped it after a checkpoint.
        """
        config = self._config
        self._open()
        if self.env_step == 0:
            self._evaluate()
        stop = False
        while self.env_step < config.max_steps and not stop:
            self._step()
            last = self.env_step == config.max_steps
            # Read once: a signal from here on waits for the next step.
            stop = bool(signals)
            if last or every(self.env_step, config.eval_interval):
                self._evaluate()
            for index, rule in enumerate(config.resets):
                if fires(rule, self._ratio, self.env_step):
                    self._reset(index)
            if last or every(self.env_step, config.log_interval):
                self._log()
            if last or stop or every(self.env_step, config.checkpoint_freq):
                self._checkpoint()
        return 0 if self.env_step == config.max_steps else signals[0]

    def close(self) -> None:
        """Closes files, trackers, simulators and the progress bar."""
        for part in (self._progress, self._outputs, self._evaluator, self._pool):
            if part is not None:
                part.close()

    def _clock(self, env_step: int) -> Clock:
        # Fixed dtypes: a Python int would be weakly typed and compile again.
        return Clock(np.int32(env_step), np.int32(self._updates), np.int32(self._since_reset))

    def _step(self) -> None:
        warmup = self.env_step < self._config.start_training
        action, self._state = self._engine.act(
            self._state,
            self._observation,
            self._clock(self.env_step),
            "warmup" if warmup else "explore",
        )
        if not np.isfinite(action).all():
            self._check_health()
            self._drop(~np.isfinite(action).all(axis=1), self._updates)
            # What a simulator does with NaN is nobody's business.
            action = np.nan_to_num(action)
        step = self._pool.step(action)
        transition = Transition(
            self._observation,
            action,
            step.reward,
            step.terminated,
            step.truncated,
            step.next_observation,
        )
        self.env_step += 1
        due = self._ratio.due(self.env_step)
        self._state = self._engine.step(self._state, transition, self._clock(self.env_step), due)
        self._updates += due
        self._since_reset += due
        self._observation = step.observation
        for episode in step.finished:
            self._episodes[episode.lane].append((episode.episode_return, episode.length))
        self._progress.step(self.env_step, self._updates)

    def _evaluate(self) -> None:
        begun = time.monotonic()
        # First, so that a lane which diverged gets no row and leaves no policy.
        self._check_health()
        dropped = self._health.dropped
        rows = self._evaluator.run(
            lambda observation: self._engine.evaluate(self._state, observation),
            self.env_step,
            dropped,
        )
        self._outputs.evaluation(self.env_step, self._updates, rows)
        self._policies.save(self._outputs, self._state.train, self.env_step, rows)
        returns = [None if row is None else row["avg_return"] for row in rows]
        self._progress.evaluated(self.env_step, self._updates, returns)
        self._eval_s += time.monotonic() - begun

    def _reset(self, index: int) -> None:
        self._state = self._engine.reset(self._state, index, self._firings)
        self._firings += 1
        self._since_reset = 0
        nothing = [None] * len(self._lanes)
        self._outputs.metrics(self.env_step, self._updates, nothing, {"reset/fired": index})

    def _check_health(self) -> None:
        first_bad = jax.device_get(self._state.first_bad)
        finite = self._engine.finite(self._state)
        bad = (first_bad >= 0) | ~finite
        if bad.any():
            at = np.where(first_bad >= 0, first_bad, self._updates)
            self._drop(bad, at)

    def _drop(self, bad: np.ndarray, first_update: np.ndarray | int) -> None:
        for lane in self._health.found(bad, first_update, self._last_checkpoint):
            self._pool.freeze(lane)

    def _log(self) -> None:
        self._check_health()
        means, self._state = self._engine.read_metrics(self._state)
        rows: list[dict[str, float] | None] = []
        for lane in range(len(self._lanes)):
            row = {name: float(values[lane]) for name, values in means.items()}
            if self._episodes[lane]:
                returns, lengths = zip(*self._episodes[lane], strict=True)
                row["train/episode_return"] = float(np.mean(returns))
                row["train/episode_length"] = float(np.mean(lengths))
            rows.append(None if self._health.dropped[lane] else row)
        self._episodes = [[] for _ in self._lanes]
        now = time.monotonic()
        then, env_step, updates = self._log_mark
        shared = {
            "time/wall_s": now - self._started,
            "time/env_steps_per_s": (self.env_step - env_step) / (now - then),
            "time/updates_per_s": (self._updates - updates) * len(self._lanes) / (now - then),
            "time/eval_s": self._eval_s,
        }
        self._log_mark, self._eval_s = (now, self.env_step, self._updates), 0.0
        self._outputs.metrics(self.env_step, self._updates, rows, shared)

    def _checkpoint(self) -> None:
        self._check_health()
        self._lock.check()
        host = {
            "env_step": self.env_step,
            "updates": self._updates,
            "since_reset": self._since_reset,
            "firings": self._firings,
            "wall_s": time.monotonic() - self._started,
            "best": self._policies.best,
            "episodes": self._episodes,
            "health": self._health.to_json(),
            "trackers": self._outputs.tracker_states(),
            "lengths": self._outputs.lengths(),
        }
        self._store.save(
            self.env_step,
            snapshot.to_saved(self._state),
            host,
            self._pool.snapshot(),
            lambda start, stop: self._engine.rows(self._state, start, stop),
            total_rows=self.env_step,
            capacity=self._capacity,
            pinned=self._health.pinned,
        )
        self._last_checkpoint = self.env_step

    def restore(self) -> None:
        """Continues from the newest checkpoint; result files are left alone until `run`."""
        shapes = self._engine.shapes(self._seeds)
        saved = jax.eval_shape(snapshot.to_saved, shapes)
        restored = self._store.restore(saved, self._config.fallback)
        host = restored.host
        self.env_step = self._last_checkpoint = host["env_step"]
        self._updates = host["updates"]
        self._since_reset = host["since_reset"]
        self._firings = host["firings"]
        self._wall_s = host["wall_s"]
        self._policies.best = host["best"]
        self._episodes = [[tuple(pair) for pair in lane] for lane in host["episodes"]]
        self._health.from_json(host["health"])
        self._state = snapshot.from_saved(
            restored.state, shapes, restored.rows, restored.first_row, self.env_step
        )
        self._tracker_states, self._lengths = host["trackers"], host["lengths"]
        self._observation = self._pool.restore(restored.host_arrays)

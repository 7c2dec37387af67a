"""The loop over environment steps, and the jobs that hang on its clock.

Order within a step: act, environment, observe and insert, updates, diagnose,
evaluation, reset, log, checkpoint. Each job has its own interval and none
depends on another's. Evaluation and the writing of a checkpoint work on copies
and run beside the steps that follow. With `overlap`, the act of the next step
comes before the updates of this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rr_scale.clock import ReplayRatio, every, fires
from rr_scale.config import RunConfig
from rr_scale.envs.spec import EnvSpec
from rr_scale.train import snapshot
from rr_scale.train.assembly import assemble
from rr_scale.train.budget import ring_capacity
from rr_scale.train.checkpoint import CheckpointStore
from rr_scale.train.diagnostics import Diagnostics
from rr_scale.train.evaluation import Evaluations
from rr_scale.train.health import Health
from rr_scale.train.lock import RunLock
from rr_scale.train.meter import Meter
from rr_scale.train.outputs import Outputs, Row
from rr_scale.train.policy_keeper import PolicyKeeper
from rr_scale.train.progress import Progress
from rr_scale.train.saver import Saver
from rr_scale.types import Array, Clock, Lane, Transition


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
        self._engine, self._pool, evaluator = assemble(config, lanes, spec, schedule_horizon)
        self._health = Health(config.nan_policy, self._seeds)
        self._policies = PolicyKeeper(len(lanes), spec.observation_size, spec.action_size)
        self._evaluations = Evaluations(self._engine, evaluator, self._policies, config)
        self._diagnostics = Diagnostics(self._engine, config)
        self._saver = Saver(self._evaluations, self._policies)
        self._meter = Meter(len(lanes))
        self.env_step = self._updates = self._since_reset = self._firings = 0
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
        self._begins = np.ones(len(self._lanes), bool)
        self._pending = self._act() if self._config.overlap else None

    def _open(self) -> None:
        self._outputs = Outputs(self._config, self._lanes, self._tracker_states)
        self._outputs.truncate(self._lengths)
        config, done = self._config, (self.env_step, self._updates)
        self._progress = Progress(config.max_steps, len(self._lanes), *done, config.tqdm)
        self._meter.start(*done)

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
        self._saver.prepare(self._engine.reader.prepare(self._state))
        stop = False
        while self.env_step < config.max_steps and not stop:
            self._step()
            self._saver.poll()
            last = self.env_step == config.max_steps
            # Read once: a signal from here on waits for the next step.
            stop = bool(signals)
            if self._diagnostics.due:
                self._diagnose()
            if last or every(self.env_step, config.eval_interval):
                self._evaluate()
            for index, rule in enumerate(config.resets):
                if fires(rule, self._ratio, self.env_step):
                    self._reset(index)
            if last or every(self.env_step, config.log_interval):
                self._log()
            if last or stop or every(self.env_step, config.checkpoint_freq):
                self._checkpoint()
        self._saver.finish()
        return 0 if self.env_step == config.max_steps else signals[0]

    def close(self) -> None:
        """Closes files, trackers, simulators and the progress bar."""
        parts = (self._saver, self._progress, self._outputs, self._evaluations, self._pool)
        for part in parts:
            if part is not None:
                part.close()

    def _clock(self, env_step: int) -> Clock:
        # Fixed dtypes: a Python int would be weakly typed and compile again.
        return Clock(np.int32(env_step), np.int32(self._updates), np.int32(self._since_reset))

    def _act(self) -> np.ndarray | Array:
        """The next actions [S, A], perhaps still being computed."""
        warmup = self.env_step < self._config.start_training
        action, self._state = self._engine.act(
            self._state,
            self._observation,
            self._begins,
            self._clock(self.env_step),
            "warmup" if warmup else "explore",
        )
        return action

    def _step(self) -> None:
        action = self._act() if self._pending is None else self._pending
        action = self._engine.placement.to_host(action)
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
        self._observation, self._begins = step.observation, step.terminated | step.truncated
        if self._config.overlap:
            # Before the updates of this step: the simulators then run beside them.
            self._pending = self._act()
        self._diagnostics.announce(self._state, self.env_step)
        due = self._ratio.due(self.env_step)
        self._state = self._engine.step(self._state, transition, self._clock(self.env_step), due)
        self._updates += due
        self._since_reset += due
        self._meter.finished(step.finished)
        self._progress.step(self.env_step, self._updates)

    def _evaluate(self) -> None:
        # First, so that a lane which diverged gets no row and leaves no policy.
        self._check_health()
        # A checkpoint that waits for the evaluation before has no row of this one.
        self._saver.settle()
        dropped = self._health.dropped
        self._evaluations.start(
            self._state, self.env_step, self._updates, dropped, self._outputs, self._report
        )

    def _report(self, env_step: int, rows: list[Row]) -> None:
        returns = [None if row is None else row["avg_return"] for row in rows]
        self._progress.evaluated(env_step, self._updates, returns)

    def _diagnose(self) -> None:
        self._check_health()
        now, dropped = self._clock(self.env_step), self._health.dropped
        self._diagnostics.write(self._state, now, dropped, self._outputs)

    def _reset(self, index: int) -> None:
        self._state = self._engine.reset(self._state, index, self._firings)
        self._firings += 1
        self._since_reset = 0
        nothing = [None] * len(self._lanes)
        self._outputs.metrics(self.env_step, self._updates, nothing, {"reset/fired": index})

    def _check_health(self) -> None:
        first_bad = self._engine.placement.to_host(self._state.first_bad)
        finite = self._engine.finite(self._state)
        bad = (first_bad >= 0) | ~finite
        if bad.any():
            at = np.where(first_bad >= 0, first_bad, self._updates)
            self._drop(bad, at)

    def _drop(self, bad: np.ndarray, first_update: np.ndarray | int) -> None:
        # What was begun before counts: its rows, and the checkpoint to name.
        self._saver.settle()
        self._saver.finish()
        for lane in self._health.found(bad, first_update, self._saver.newest):
            self._pool.freeze(lane)

    def _log(self) -> None:
        self._check_health()
        means, self._state = self._engine.read_metrics(self._state)
        rows = self._meter.rows(means, self._health.dropped)
        shared = self._meter.speed(self.env_step, self._updates)
        shared["time/eval_s"] = self._evaluations.spent_s()
        self._outputs.metrics(self.env_step, self._updates, rows, shared)

    def _checkpoint(self) -> None:
        self._check_health()
        # The checkpoint before, and not the evaluation of this step, which has only begun.
        self._saver.finish()
        self._lock.check()
        host = {
            "env_step": self.env_step,
            "updates": self._updates,
            "since_reset": self._since_reset,
            "firings": self._firings,
            "health": self._health.to_json(),
            "meter": self._meter.to_json(),
            "trackers": self._outputs.tracker_states(),
        }
        arrays = {**self._pool.snapshot(), "begins": self._begins}
        if self._pending is not None:
            arrays["pending"] = self._engine.placement.to_host(self._pending)
        # Everything is copied here, since what follows is done beside training.
        held = max(self.env_step - self._capacity, 0)
        leaves = self._engine.reader.leaves(self._state, held, self.env_step)
        if leaves is not None:
            arrays["leaves"] = leaves
        step, pinned = self.env_step, self._health.pinned
        state = snapshot.to_saved(self._engine, self._state)
        rows = self._engine.reader.rows(self._state, *self._store.missing(step, self._capacity))

        def save(host: dict[str, Any]) -> None:
            self._store.save(step, state, host, arrays, rows(), step, self._capacity, pinned)

        self._saver.take(step, host, self._outputs, save)

    def restore(self) -> None:
        """Continues from the newest checkpoint; result files are left alone until `run`."""
        saved = snapshot.saved_shapes(self._engine, self._seeds)
        restored = self._store.restore(saved, self._config.fallback)
        host, arrays = restored.host, restored.host_arrays
        self.env_step = self._saver.newest = host["env_step"]
        self._updates = host["updates"]
        self._since_reset = host["since_reset"]
        self._firings = host["firings"]
        self._policies.best = host["best"]
        self._health.from_json(host["health"])
        self._meter.from_json(host["meter"])
        self._state = snapshot.from_saved(
            self._engine,
            self._seeds,
            restored.state,
            restored.rows,
            restored.first_row,
            self.env_step,
            arrays.pop("leaves", None),
        )
        self._tracker_states, self._lengths = host["trackers"], host["lengths"]
        self._begins, self._pending = arrays.pop("begins"), arrays.pop("pending", None)
        self._observation = self._pool.restore(arrays)

"""Saving and restoring of a run that only collects: pauses, bytes, time to restore."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from benchmarks.options import run_config
from rr_scale import configure
from rr_scale.envs import suites
from rr_scale.train.checkpoint import CheckpointStore
from rr_scale.train.evaluation import Evaluations
from rr_scale.train.lock import RunLock
from rr_scale.train.loop import Trainer
from rr_scale.train.policy_keeper import PolicyKeeper
from rr_scale.train.saver import Saver


def measure(
    phase: str,
    preset: str,
    settings: list[list[str]],
    env_name: str,
    seeds: int,
    rows: int,
    interval: int,
    episodes: int,
    save_dir: str,
) -> dict[str, Any]:
    """Saves while a run goes on, or restores what another process saved.

    Args:
      phase: `save` or `restore`.
      preset, settings: of the agent.
      env_name: the task.
      seeds: lanes.
      rows: transitions per lane in the end; no updates are done.
      interval: env steps between checkpoints, and between evaluations.
      episodes: of an evaluation, per lane.
      save_dir: folder of the run.

    Returns:
      saves: per checkpoint the env step, the pause in seconds and the bytes
        of new files. Or restore_s: seconds until the run could go on.
    """
    config = dataclasses.replace(
        run_config(preset, settings),
        env_name=env_name,
        num_seeds=seeds,
        max_steps=rows,
        start_training=rows + 1,
        checkpoint_freq=interval,
        # As by default: each checkpoint comes with an evaluation.
        eval_interval=interval,
        eval_episodes=episodes,
        save_dir=save_dir,
        tqdm=False,
    )
    config = configure.resolve(config)
    spec = suites.spec_of(config.env_name)
    folder = Path(save_dir)
    store = CheckpointStore(folder / "checkpoints")
    with RunLock(folder) as lock:
        lanes = configure.lanes(config)
        trainer = _TimedTrainer(config, lanes, spec, config.schedule_horizon, store, lock)
        try:
            if phase == "restore":
                return {"restore_s": trainer.timed_restore()}
            trainer.begin()
            trainer.run()
        finally:
            trainer.close()
    return {"saves": trainer.saves}


class _TimedTrainer(Trainer):
    """Notes how long training stands still for each checkpoint."""

    def __init__(self, config: Any, *rest: Any):
        super().__init__(config, *rest)
        self._saver = self._timed = _TimedSaver(
            self._evaluations, self._policies, Path(config.save_dir) / "checkpoints"
        )
        read = self._engine.reader.rows

        def waited_for(*what: Any) -> Any:
            # Copied on the device while the loop goes on; but the next step waits for that.
            fetch = read(*what)
            jax.block_until_ready(fetch.args[0])
            return fetch

        self._engine.reader.rows = waited_for

    @property
    def saves(self) -> list[dict[str, Any]]:
        """Env step, pause in seconds and bytes of new files, per checkpoint."""
        return self._timed.saves

    def timed_restore(self) -> float:
        """Restores; seconds until the state is on the device."""
        begun = time.perf_counter()
        self.restore()
        jax.block_until_ready((self._state.train, self._state.replay))
        return time.perf_counter() - begun

    def _checkpoint(self) -> None:
        # Work that is still under way is no part of the pause.
        jax.block_until_ready((self._state.train, self._state.replay))
        self._timed.saves.append({"env_step": self.env_step, "pause_s": 0.0})
        with self._timed.pause():
            super()._checkpoint()


class _TimedSaver(Saver):
    """A checkpoint pauses training twice: when it is taken, and when its evaluation is done."""

    def __init__(self, evaluations: Evaluations, policies: PolicyKeeper, folder: Path):
        super().__init__(evaluations, policies)
        self.saves: list[dict[str, Any]] = []
        self._folder = folder
        self._known: dict[str, int] = {}
        self._pausing = False

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Adds what happens inside to the pause of the newest checkpoint, once."""
        if self._pausing:
            yield
            return
        self._pausing, begun = True, time.perf_counter()
        yield
        self._pausing = False
        self.saves[-1]["pause_s"] += time.perf_counter() - begun

    def _write(self) -> None:
        if self._taken is not None:
            with self.pause():
                super()._write()

    def _saved(self, env_step: int, nothing: None) -> None:
        # Only now: it is written beside training.
        super()._saved(env_step, nothing)
        files = _files(self._folder)
        new = sum(size for name, size in files.items() if name not in self._known)
        (saved,) = (save for save in self.saves if save["env_step"] == env_step)
        saved["new_bytes"] = new
        self._known = files


def _files(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }

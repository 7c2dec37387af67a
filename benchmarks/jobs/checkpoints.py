"""Saving and restoring of a run that only collects: pauses, bytes, time to restore."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import jax

from benchmarks.options import run_config
from rr_scale import configure
from rr_scale.envs import suites
from rr_scale.train.checkpoint import CheckpointStore
from rr_scale.train.lock import RunLock
from rr_scale.train.loop import Trainer


def measure(
    phase: str,
    preset: str,
    settings: list[list[str]],
    env_name: str,
    seeds: int,
    rows: int,
    interval: int,
    save_dir: str,
) -> dict[str, Any]:
    """Saves while a run goes on, or restores what another process saved.

    Args:
      phase: `save` or `restore`.
      preset, settings: of the agent.
      env_name: the task.
      seeds: lanes.
      rows: transitions per lane in the end; no updates are done.
      interval: env steps between checkpoints.
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
        eval_interval=rows,
        eval_episodes=1,
        save_dir=save_dir,
        tqdm=False,
    )
    config = configure.resolve(config)
    environment = suites.make(config.env_name)
    spec = environment.spec
    environment.close()
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
        self._folder = Path(config.save_dir) / "checkpoints"
        self._known: dict[str, int] = {}
        self.saves: list[dict[str, Any]] = []

    def timed_restore(self) -> float:
        """Restores; seconds until the state is on the device."""
        begun = time.perf_counter()
        self.restore()
        jax.block_until_ready((self._state.train, self._state.replay))
        return time.perf_counter() - begun

    def _checkpoint(self) -> None:
        # Work that is still under way is no part of the pause.
        jax.block_until_ready((self._state.train, self._state.replay))
        begun = time.perf_counter()
        super()._checkpoint()
        pause = time.perf_counter() - begun
        self.saves.append({"env_step": self.env_step, "pause_s": pause})

    def _saved(self, env_step: int, nothing: None) -> None:
        # Only now: what `_checkpoint` began is written beside training.
        super()._saved(env_step, nothing)
        files = _files(self._folder)
        new = sum(size for name, size in files.items() if name not in self._known)
        self.saves[-1]["new_bytes"] = new
        self._known = files


def _files(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }

"""A run from start to end: set-up, resume, and what comes of it.

The steps themselves are in `trainer.py`.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import NamedTuple

from rr_scale import configure, platform, runfile
from rr_scale.analysis.load import read_results
from rr_scale.analysis.plots import learning_curves
from rr_scale.analysis.summary import final_table
from rr_scale.clock import ReplayRatio, firing_steps
from rr_scale.config import RunConfig
from rr_scale.envs import suites
from rr_scale.errors import UserError
from rr_scale.train import budget
from rr_scale.train.checkpoint import CheckpointStore
from rr_scale.train.lock import RunLock
from rr_scale.train.trainer import Trainer
from rr_scale.types import Lane
from rr_scale.validation import validate


class RunResult(NamedTuple):
    """What a run came to."""

    exit_status: int  # 0, 1 if a lane failed, 128 + signal if stopped by one
    save_dir: Path
    table: str  # final returns, per folder and seed; empty if interrupted


def run(config: RunConfig) -> RunResult:
    """Trains, or continues, or reports what is finished already.

    Args:
      config: a preset or any other configuration; every field counts, as on
        the command line.

    Raises:
      UserError: wrong configuration, folder in use or of another experiment,
        damaged checkpoint. Nothing was written then.
      LaneFailure: a lane turned non-finite under nan_policy=stop.
    """
    validate(config)
    suites.check_name(config.env_name)
    config = configure.resolve(config)
    lanes = configure.lanes(config)
    save_dir = Path(config.save_dir)
    runfile.open_run(config, save_dir)  # refuses before anything is written
    environment = suites.make(config.env_name, config.action_repeat)
    budget.check(config, environment.spec, len(lanes))
    environment.close()
    with RunLock(save_dir) as lock:
        record = runfile.open_run(config, save_dir)
        if record.discards:
            runfile.discard(record)
            record = runfile.open_run(dataclasses.replace(config, resume="auto"), save_dir)
        store = CheckpointStore(save_dir / "checkpoints")
        latest = store.latest()
        if latest is not None and latest >= config.max_steps:
            print(f"{save_dir} is finished ({latest} steps)", file=sys.stderr)
            return RunResult(0, save_dir, _report(config, lanes, latest))
        if config.resume == "must" and latest is None:
            raise UserError(f"{save_dir} holds no checkpoint to resume (--resume=must)")
        record = _begin(record, latest)
        trainer = Trainer(config, lanes, environment.spec, record.schedule_horizon, store, lock)
        try:
            trainer.start()
            interrupted = trainer.run()
        finally:
            trainer.close()
        if interrupted:
            print(
                f"stopped by signal {interrupted} at env step {trainer.env_step}; "
                "the same command continues",
                file=sys.stderr,
            )
            return RunResult(128 + interrupted, save_dir, "")
        table = _report(config, lanes, trainer.env_step)
        return RunResult(1 if trainer.failed else 0, save_dir, table)


def _begin(record: runfile.RunFile, latest: int | None) -> runfile.RunFile:
    """Records the session; warns where it cannot be exact."""
    description = platform.describe()
    # Without a checkpoint everything starts over, on this machine.
    reasons = runfile.check_machine(record, description) if latest is not None else []
    if reasons:
        print(f"warning: not bit-exact from here on: {'; '.join(reasons)}", file=sys.stderr)
    if latest is not None:
        print(f"resuming {record.save_dir} at env step {latest}", file=sys.stderr)
    elif not record.is_new:
        print(
            f"{record.save_dir} has no checkpoint yet: starting over from step 0", file=sys.stderr
        )
    return runfile.begin_session(record, description, exact=not reasons)


def _report(config: RunConfig, lanes: tuple[Lane, ...], env_step: int) -> str:
    """Prints the table and draws the curves, per folder."""
    ratio = ReplayRatio(config.updates_per_step, config.start_training)
    # An evaluation comes before the reset of its own step.
    resets = firing_steps(config.resets, ratio, env_step - 1)
    tables = []
    for folder in dict.fromkeys(lane.folder for lane in lanes):
        place = Path(config.save_dir) / folder
        rows = read_results(place / "results.csv")
        members = [lane for lane in lanes if lane.folder == folder]
        table = final_table(
            rows, resets[-1] if resets else None, seeds=[lane.seed for lane in members]
        )
        title = f"{members[0].exp_name}, {config.env_name}"
        learning_curves(rows, place / "learning_curve.png", title, resets)
        print(f"\n{title}\n{table}\n\n{place / 'results.csv'}\n{place / 'learning_curve.png'}")
        tables.append(table)
    return "\n\n".join(tables)

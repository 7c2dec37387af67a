"""A run from start to end: checks, resume, training, and what comes of it.

The one place that ties training and analysis together; the loop itself is in
`train/`.
"""

from __future__ import annotations

import dataclasses
import errno
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
from rr_scale.envs.spec import EnvSpec
from rr_scale.errors import CheckpointError, UserError
from rr_scale.train import budget, episodes
from rr_scale.train.checkpoint import CheckpointStore
from rr_scale.train.lock import RunLock, refuse_if_held
from rr_scale.train.loop import Trainer
from rr_scale.train.signals import noting_signals
from rr_scale.validation import validate

# The disk's fault or the user's, at any write: a line, not a traceback.
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO}


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
      UserError: wrong configuration, a folder in use or of another
        experiment, a damaged checkpoint, a full disk.
      LaneFailure: a lane turned non-finite under nan_policy=stop, or all did.
    """
    validate(config)
    suites.check_name(config.env_name)
    config = configure.resolve(config)
    save_dir = Path(config.save_dir)
    store = CheckpointStore(save_dir / "checkpoints")
    # All that can be refused is refused before anything is written, and the
    # cheap reasons come before a simulator or an accelerator is started.
    record = runfile.open_run(config, save_dir)
    refuse_if_held(save_dir)
    reached = 0 if record.discards else store.latest(config.fallback) or 0
    if reached >= config.max_steps:
        try:
            failed = store.host(reached)["health"]["failed"]
        except CheckpointError:
            if not config.fallback:
                raise
        else:
            print(f"{save_dir} is finished (env step {reached})", file=sys.stderr)
            return RunResult(1 if failed else 0, save_dir, _report(config, reached))
    spec = suites.spec_of(config.env_name, config.action_repeat)
    episodes.check(config, spec)
    budget.check(config, spec, len(configure.lanes(config)))
    try:
        with noting_signals() as signals, RunLock(save_dir) as lock:
            return _train(config, spec, store, lock, signals)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        raise UserError(f"cannot write to {save_dir}: {error}") from error


def _train(
    config: RunConfig, spec: EnvSpec, store: CheckpointStore, lock: RunLock, signals: list[int]
) -> RunResult:
    save_dir = Path(config.save_dir)
    record = runfile.open_run(config, save_dir)
    if record.discards:
        store.discard()
        runfile.discard(record)
        record = runfile.open_run(dataclasses.replace(config, resume="auto"), save_dir)
    resumes = store.latest(config.fallback) is not None
    if config.resume == "must" and not resumes:
        raise UserError(f"{save_dir} holds no checkpoint to resume (--resume=must)")
    platform.set_matmul_precision(config.matmul_precision)
    description = platform.describe()
    if not resumes:
        if not record.is_new:
            print(f"{save_dir} has no checkpoint yet: starting over from step 0", file=sys.stderr)
        # Nothing is kept of a session that left no checkpoint, so it decides nothing.
        record = dataclasses.replace(record, schedule_horizon=config.schedule_horizon, exact=True)
    reasons = runfile.check_machine(record, description) if resumes else []
    if reasons:
        print(f"warning: not bit-exact from here on: {'; '.join(reasons)}", file=sys.stderr)
    trainer = Trainer(config, configure.lanes(config), spec, record.schedule_horizon, store, lock)
    try:
        if resumes:
            trainer.restore()
            print(f"resuming {save_dir} at env step {trainer.env_step}", file=sys.stderr)
        else:
            trainer.begin()
        runfile.begin_session(record, description, exact=not reasons)
        interrupted = trainer.run(signals)
    finally:
        trainer.close()
    if interrupted:
        again = (
            "the same command continues" if config.resume != "never" else "--resume auto continues"
        )
        print(f"stopped at env step {trainer.env_step}; {again}", file=sys.stderr)
        return RunResult(128 + interrupted, save_dir, "")
    return RunResult(1 if trainer.failed else 0, save_dir, _report(config, trainer.env_step))


def _report(config: RunConfig, env_step: int) -> str:
    """Prints the table and draws the curves, per folder."""
    ratio = ReplayRatio(config.updates_per_step, config.start_training)
    # An evaluation comes before the reset of its own step.
    resets = firing_steps(config.resets, ratio, env_step - 1)
    tables = []
    lanes = configure.lanes(config)
    for folder in dict.fromkeys(lane.folder for lane in lanes):
        place = Path(config.save_dir) / folder
        rows = read_results(place / "results.csv")
        members = [lane for lane in lanes if lane.folder == folder]
        seeds = [lane.seed for lane in members]
        last_reset = resets[-1] if resets else None
        table = final_table(rows, last_reset, seeds=seeds)
        title = f"{members[0].exp_name}, {config.env_name}"
        print(f"\n{table}\n\n{place / 'results.csv'}")
        tables.append(table)
        try:
            learning_curves(rows, place / "learning_curve.png", title, resets)
            print(place / "learning_curve.png")
        except (UserError, OSError) as error:
            print(f"warning: no learning curve: {error}", file=sys.stderr)
    return "\n\n".join(tables)

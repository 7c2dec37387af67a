"""A real run through the command line, watched from outside and stopped when enough is seen.

Its speed is read from its own `metrics.csv`: rows come at fixed env steps
after waiting for the device, with the wall clock in them.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.options import Layout, Options, run_config
from benchmarks.processes import ROOT, child, environment, fail, wait_with_peak
from rr_scale.analysis.load import Row, read_results
from rr_scale.errors import UserError

# For whoever tells evaluation and training apart by their durations.
ONE_AFTER_ANOTHER = (("background_eval", "false"),)
# Far beyond what is watched: a run that is stopped has no evaluation at its end.
MAX_STEPS = 1_000_000
_STOP_LIMIT_S = 120.0
_POLL_S = 0.02


@dataclasses.dataclass(frozen=True)
class Run:
    """A command line, and how much of it is watched."""

    env_name: str
    preset: str
    seeds: int
    log_interval: int
    windows: int  # log intervals that are measured
    start_training: int
    replay_ratio: int | None = None  # None: the preset's
    capacity: int = 100_000
    settings: tuple[tuple[str, str], ...] = ()
    layout: Layout = Layout()
    eval_interval: int = MAX_STEPS
    eval_episodes: int = 1
    variables: tuple[tuple[str, str], ...] = ()  # environment variables

    @classmethod
    def of(cls, options: Options, **what: Any) -> Run:
        """A run with the sizes, settings, task and layout of `options`, unless `what` differs."""
        usual = {
            "env_name": options.env_name,
            "start_training": options.start_training,
            "capacity": options.capacity,
            "settings": options.settings,
            "layout": options.layouts[0],
        }
        run = cls(**(usual | what))
        # A run does not begin to learn from less than a batch.
        batch = run_config(run.preset, run.settings).replay.batch_size
        return dataclasses.replace(run, start_training=max(run.start_training, batch))


class Window(NamedTuple):
    """What happened between two rows of `metrics.csv`."""

    env_steps: int
    updates: int  # per seed
    wall_s: float
    eval_s: float  # part of it


class Seen(NamedTuple):
    """A run that was watched."""

    windows: list[Window]  # without those of warm-up and compilation
    first_update_s: float  # from the start of the process until a row with an update was read
    first_eval_s: float  # of that, for evaluations
    evaluations_s: list[float]  # all but that at step 0, which builds and compiles
    peak_bytes: int  # resident memory of the main process
    layout: Layout

    def rates(self, seeds: int) -> list[float]:
        """Updates per second summed over `seeds`, of each window."""
        return [window.updates * seeds / window.wall_s for window in self.windows]


def train(run: Run) -> Seen:
    """Starts the run, watches it and stops it.

    Raises:
      MeasurementFailed: it ended by itself.
    """
    folder = Path(tempfile.mkdtemp(prefix="benchmark_"))
    command = _command(run, folder / "run")
    variables = {**environment(run.layout), **dict(run.variables)}
    begun = time.monotonic()
    try:
        with (
            (folder / "errors").open("w+b") as errors,
            child(command, variables, stdout=subprocess.DEVNULL, stderr=errors) as process,
        ):
            first_update_s, rows = None, _Rows(folder / "run" / "metrics.csv")
            while True:
                windows = rows.windows()
                if first_update_s is None and rows.first_update is not None:
                    first_update_s = time.monotonic() - begun
                if first_update_s is not None and len(windows) >= run.windows:
                    break
                if process.poll() is not None:
                    fail(command, errors)
                time.sleep(_POLL_S)
            process.send_signal(signal.SIGTERM)
            peak = wait_with_peak(process, _STOP_LIMIT_S)[1]
        record = json.loads((folder / "run" / "run.json").read_text())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    machine = record["sessions"][0]
    layout = Layout(machine.get("threads"), machine.get("host_devices"))
    windows = windows[: run.windows]
    return Seen(windows, first_update_s, rows.first_update, rows.evaluations, peak, layout)


def _command(run: Run, save_dir: Path) -> list[str]:
    flags = {
        "env_name": run.env_name,
        "preset": run.preset,
        "num_seeds": run.seeds,
        "max_steps": MAX_STEPS,
        "start_training": run.start_training,
        "replay_buffer_size": run.capacity,
        "eval_interval": run.eval_interval,
        "eval_episodes": run.eval_episodes,
        "log_interval": run.log_interval,
        "checkpoint_freq": 0,
        "save_dir": save_dir,
    }
    if run.replay_ratio is not None:
        flags["updates_per_step"] = run.replay_ratio
    words = [f"--{name}={value}" for name, value in flags.items()]
    words += [f"--set={path}={value}" for path, value in run.settings]
    return [sys.executable, str(ROOT / "train_parallel.py"), *words, "--notqdm"]


class _Rows:
    """The log intervals in a `metrics.csv` that grows."""

    def __init__(self, path: Path):
        self._path = path
        self._size = -1
        self._windows: list[Window] = []
        self.first_update: float | None = None  # evaluation seconds until then
        self.evaluations: list[float] = []

    def windows(self) -> list[Window]:
        """Those after the interval of the first update, which compiles."""
        size = self._path.stat().st_size if self._path.exists() else 0
        if size in (0, self._size):
            return self._windows
        try:
            rows = read_results(self._path)
        except UserError:  # caught in the middle of a write
            return self._windows
        self._size = size
        wall, evaluation = _by_step(rows, "time/wall_s"), _by_step(rows, "time/eval_s")
        steps = [step for step in wall if step in evaluation]
        # The first row has the evaluation at step 0.
        self.evaluations = [evaluation[step].value for step in steps[1:] if evaluation[step].value]
        trained = [step for step in steps if wall[step].updates > 0]
        if trained:
            self.first_update = sum(evaluation[s].value for s in steps if s <= trained[0])
        self._windows = [
            Window(
                end - begin,
                wall[end].updates - wall[begin].updates,
                wall[end].value - wall[begin].value,
                evaluation[end].value,
            )
            for begin, end in zip(trained[:-1], trained[1:], strict=True)
        ]
        return self._windows


def _by_step(rows: list[Row], metric: str) -> dict[int, Row]:
    return {row.env_step: row for row in rows if row.metric == metric}

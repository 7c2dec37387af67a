"""What the analysis works on: learning curves with their units, and the runs they came from.

A *curve* is one metric of one seed of one experiment on one task. An
*experiment* is a name (`exp_name`): what is compared. A *run* is a folder of
ours, with the configuration it recorded; published tables have curves only.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from rr_scale.errors import UserError, nearest

RETURN = "avg_return"
AXES = ("env_steps", "frames", "updates", "wall_s")
"""What a curve can be drawn against."""

_RATIO_IN_NAME = re.compile(r"(?:^|[_\-])rr(\d+(?:\.\d+)?)(?=$|[_\-])")


class Problem(NamedTuple):
    """Something in the data that a reader of the results has to know."""

    # duplicate, gap, unequal, units, half-written, unfinished, non-finite, mixed, undetermined
    kind: str
    text: str  # one line

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """One metric of one seed: values over env steps, strictly increasing. T points.

    What the source does not tell is None: nothing is guessed here.
    """

    exp_name: str
    env_name: str
    seed: int | None  # None: a metric of all seeds of a run together
    metric: str
    env_steps: np.ndarray  # [T] int64, agent decisions
    values: np.ndarray  # [T] float64
    frames: np.ndarray | None = None  # [T] int64, env_steps x action repeat
    updates: np.ndarray | None = None  # [T] int64, critic gradient steps
    wall_s: np.ndarray | None = None  # [T] float64, of the run: all its seeds together
    source: str = ""  # the file, or the run's folder (then a `Run` has the same)

    @property
    def key(self) -> tuple[str, str, int | None, str]:
        """What may occur once: experiment, task, seed, metric."""
        return self.exp_name, self.env_name, self.seed, self.metric

    @property
    def label(self) -> str:
        """Experiment, task and seed for people."""
        seed = "all seeds" if self.seed is None else f"seed {self.seed}"
        return f"{self.exp_name} on {self.env_name}, {seed}"

    @property
    def action_repeat(self) -> float | None:
        """Frames per env step; None where frames are not known."""
        return None if self.frames is None else _ratio(self.frames, self.env_steps)

    def axis(self, name: str) -> np.ndarray | None:
        """The points' positions in one of `AXES` [T]; None where not known."""
        if name not in AXES:
            raise UserError(f"unknown axis '{name}'{nearest(name, AXES)}; one of {', '.join(AXES)}")
        return getattr(self, name)


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """One folder of ours: what was asked for and what it cost."""

    folder: str
    exp_name: str
    env_name: str
    seeds: tuple[int, ...]  # those that were started
    config: Mapping[str, Any]  # setting's path -> JSON value, as recorded
    free: frozenset[str]  # settings that do not make another experiment
    sessions: tuple[Mapping[str, Any], ...]  # versions, machine, commit, start
    reset_steps: tuple[int, ...]  # env steps after which networks were reset
    wall_s: float | None  # training time of all seeds together

    @property
    def replay_ratio(self) -> float | None:
        """Updates per env step as configured."""
        value = self.config.get("updates_per_step")
        return None if value is None else float(value)

    @property
    def max_steps(self) -> int | None:
        """The budget in env steps."""
        value = self.config.get("max_steps")
        return None if value is None else int(value)


@dataclasses.dataclass(frozen=True, eq=False)
class Curves:
    """Curves, the runs they came from, and what is wrong with them."""

    curves: tuple[Curve, ...]
    runs: tuple[Run, ...] = ()
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.curves)

    def __iter__(self):
        return iter(self.curves)

    @property
    def experiments(self) -> tuple[str, ...]:
        """Names of experiments, in order of appearance."""
        return tuple(dict.fromkeys(curve.exp_name for curve in self.curves))

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of tasks, sorted."""
        return tuple(sorted({curve.env_name for curve in self.curves}))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of metrics, in order of appearance."""
        return tuple(dict.fromkeys(curve.metric for curve in self.curves))

    def where(
        self,
        *,
        exp_name: str | None = None,
        env_name: str | None = None,
        metric: str | None = None,
        keep: Callable[[Curve], bool] | None = None,
    ) -> Curves:
        """The curves that fit, with all runs and problems."""
        wanted = {"exp_name": exp_name, "env_name": env_name, "metric": metric}
        fits = [
            curve
            for curve in self.curves
            if all(value in (None, getattr(curve, name)) for name, value in wanted.items())
            and (keep is None or keep(curve))
        ]
        return dataclasses.replace(self, curves=tuple(fits))

    def run_of(self, curve: Curve) -> Run | None:
        """The run that a curve came from, None for published curves."""
        key = (curve.source, curve.exp_name)
        return next((run for run in self.runs if (run.folder, run.exp_name) == key), None)

    def replay_ratio(self, exp_name: str, env_name: str | None = None) -> float | None:
        """Updates per env step of an experiment, as known; None if not, or if several.

        From the configuration of its runs; without runs, from a name such as
        `sr_sac_rr32`.
        """
        found = {
            run.replay_ratio
            for run in self.runs
            if run.exp_name == exp_name and env_name in (None, run.env_name)
        }
        if not found:
            named = _RATIO_IN_NAME.search(exp_name)
            return float(named[1]) if named else None
        return found.pop() if len(found) == 1 else None

    def reset_steps(self, exp_name: str, env_name: str) -> tuple[int, ...]:
        """Env steps at which any run of an experiment on a task was reset."""
        runs = [run for run in self.runs if (run.exp_name, run.env_name) == (exp_name, env_name)]
        return tuple(sorted({step for run in runs for step in run.reset_steps}))

    def merged(self, others: Iterable[Curves]) -> Curves:
        """These and others, in order; nothing is checked."""
        every = [self, *others]
        return Curves(
            tuple(curve for part in every for curve in part.curves),
            tuple(run for part in every for run in part.runs),
            tuple(problem for part in every for problem in part.problems),
        )


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> float | None:
    """The common ratio of two counts, None where there is none."""
    counted = denominator > 0
    if not counted.any():
        return None
    ratios = numerator[counted] / denominator[counted]
    first = float(ratios[0])
    return first if np.allclose(ratios, first) and math.isfinite(first) else None

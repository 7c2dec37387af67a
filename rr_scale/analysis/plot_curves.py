"""Learning curves: task by task, and all tasks as one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rr_scale.analysis import plot_style, statistics
from rr_scale.analysis.curves import RETURN, Curves, Problem
from rr_scale.analysis.scaling_times import recovered
from rr_scale.analysis.score_scales import Scale
from rr_scale.analysis.scores import Scores, common_tasks, tabulate
from rr_scale.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FEW_SEEDS = 5
_MANY_LINES = 8
_DEEP = 0.9  # a dip is marked if the mean falls below this share of the level before


class Options(NamedTuple):
    """How curves become numbers; the same for all figures."""

    metric: str = RETURN
    axis: str = "env_steps"
    suite: str = "auto"
    scales: Mapping[str, Scale] | None = None
    statistic: str = "iqm"
    band: str = "interval"  # or range
    points: int | None = None
    drop_incomplete: bool = False
    reps: int = 2000
    confidence: float = 0.95
    seed: int = 0
    resets: Mapping[str, int] | None = None  # experiment -> env steps between its resets


class Drawn(NamedTuple):
    """A figure, and what one has to know to read it."""

    figure: Figure
    problems: list[Problem]


def per_task(curves: Curves, options: Options, title: str = "") -> Drawn:
    """A panel per task: mean over seeds, its interval, the seeds if they are few, resets."""
    pairs = [
        (task, name)
        for task in curves.tasks
        for name in plot_style.in_order(curves.experiments)
        if len(curves.where(exp_name=name, env_name=task, metric=options.metric))
    ]
    if not pairs:
        raise UserError(f"nothing to plot: no {options.metric}")
    tasks = list(dict.fromkeys(task for task, _ in pairs))
    everything = plot_style.in_order(curves.experiments)
    alone = len(tasks) == 1
    figure, axes = plot_style.new_figure(len(tasks), height=3.0 if alone else 1.55)
    problems = []
    for task, panel in zip(tasks, axes, strict=True):
        names = [name for where, name in pairs if where == task]
        for name in names:
            index = everything.index(name)
            scores = scores_of(curves, name, options._replace(suite="none"), [task])
            problems += scores.problems
            _draw_task(panel, scores, curves, task, options, plot_style.look(index), len(names))
        panel.set_title(title if alone and title else task)
        plot_style.position_axis(panel, options.axis, label=False)
    plot_style.label_lowest(axes, options.axis)
    _label(figure, axes, "return" if options.metric == RETURN else options.metric)
    if title and not alone:
        figure.suptitle(title, fontsize=9)
    plot_style.legend(figure, axes)
    return Drawn(figure, problems)


def aggregated(curves: Curves, options: Options, title: str = "") -> Drawn:
    """One panel: an aggregate over all tasks that the experiments share, with its interval."""
    tasks, problems = common_tasks(curves, options.metric)
    if not tasks:
        raise UserError(
            f"nothing to aggregate: the experiments share no task with {options.metric}"
        )
    figure, axes = plot_style.new_figure(1, width=4.2, height=2.6)
    for index, name in enumerate(plot_style.in_order(curves.experiments)):
        scores = scores_of(curves, name, options, tasks)
        problems += scores.problems
        found = estimate(list(scores.by_task), options)
        look = plot_style.look(index)
        _line(axes[0], scores.positions, found, options, look, name)
    plot_style.position_axis(axes[0], options.axis)
    meaning = statistics.STATISTICS[options.statistic].meaning
    axes[0].set_ylabel(f"normalised score ({meaning})")
    runs = ", ".join(tasks) if len(tasks) <= 2 else f"{len(tasks)} tasks"
    axes[0].set_title(title or runs)
    plot_style.legend(figure, axes)
    return Drawn(figure, problems)


def estimate(tasks: Sequence[np.ndarray], options: Options) -> statistics.Estimate:
    """The aggregate that options name, with its interval."""
    name = options.statistic
    return statistics.estimate(
        tasks, [name], reps=options.reps, confidence=options.confidence, seed=options.seed
    )[name]


def scores_of(curves: Curves, name: str, options: Options, tasks: Sequence[str]) -> Scores:
    """The scores of one experiment, as options say."""
    return tabulate(
        curves,
        name,
        metric=options.metric,
        axis=options.axis,
        suite=options.suite,
        scales=options.scales,
        tasks=tasks,
        points=options.points,
        drop_incomplete=options.drop_incomplete,
    )


def _draw_task(
    panel: Axes,
    scores: Scores,
    curves: Curves,
    task: str,
    options: Options,
    look: dict,
    lines: int,
) -> None:
    runs = scores.by_task[0]
    if options.band == "range":
        found = statistics.Estimate(runs.mean(axis=0), runs.min(axis=0), runs.max(axis=0))
    else:
        found = estimate([runs], options._replace(statistic="mean"))
    _line(panel, scores.positions, found, options, look, scores.exp_name)
    if len(runs) <= _FEW_SEEDS and lines == 1:
        for values in runs:
            shown = plot_style.on_axis(scores.positions, options.axis)
            panel.plot(shown, values, color=look["color"], linewidth=0.4, alpha=0.45)
    if options.axis == "env_steps" and lines <= _MANY_LINES:
        resets = _resets(curves, scores, task, options)
        _mark_resets(panel, scores.positions, found.value, resets, look["color"])


def _line(
    panel: Axes,
    positions: np.ndarray,
    found: statistics.Estimate,
    options: Options,
    look: dict,
    label: str,
) -> None:
    shown = plot_style.on_axis(positions, options.axis)
    single = {"marker": "o"} if len(shown) == 1 else {}
    panel.fill_between(
        shown, found.low, found.high, color=look["color"], alpha=0.18, linewidth=0, zorder=1.5
    )
    panel.plot(shown, found.value, **look, **single, label=label)


def _resets(curves: Curves, scores: Scores, task: str, options: Options) -> list[int]:
    every = (options.resets or {}).get(scores.exp_name)
    last = int(scores.positions[-1])
    if every:
        return list(range(every, last, every))
    return [step for step in curves.reset_steps(scores.exp_name, task) if step < last]


def _mark_resets(
    panel: Axes, steps: np.ndarray, mean: np.ndarray, resets: Sequence[int], colour: str
) -> None:
    """A tick on the axis at each reset, and a triangle at the bottom of each dip it causes."""
    # Experiments that reset at one step have their ticks above each other.
    level = 0.04 * len({line.get_color() for line in panel.lines if line.get_gid() == "reset"})
    for reset, following in itertools.pairwise([*resets, np.inf]):
        panel.axvline(reset, level, level + 0.035, color=colour, linewidth=1.2, gid="reset")
        dip = ~recovered(steps, mean, [reset]) & (steps > reset) & (steps <= following)
        before = np.searchsorted(steps, reset, side="right") - 1
        if dip.any() and before >= 0 and mean[dip].min() < _DEEP * mean[before]:
            lowest = np.flatnonzero(dip)[np.argmin(mean[dip])]
            edge = {"markeredgecolor": "white", "markeredgewidth": 0.4}
            panel.plot(
                steps[lowest], mean[lowest], "v", color=colour, markersize=3.5, zorder=4, **edge
            )
            panel.plot([], [], "v", color=plot_style.RESET, markersize=4, label="dip after it")
    if resets:
        panel.plot([], [], "|", color=plot_style.RESET, markersize=7, label="reset")


def _label(figure: Figure, axes: Sequence[Axes], text: str) -> None:
    if len(axes) == 1:
        axes[0].set_ylabel(text)
    else:
        figure.supylabel(text, fontsize=8)

"""Experiments beside each other: replay ratios, profiles, probabilities of improvement."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from rr_scale.analysis import plot_style, statistics
from rr_scale.analysis.curves import Curves, Problem
from rr_scale.analysis.plot_curves import Drawn, Options, estimate, scores_of
from rr_scale.analysis.scores import Scores, common_tasks, last_shared
from rr_scale.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RATIO_PART = re.compile(r"[_\-]?rr\d+(?:\.\d+)?")
_THRESHOLDS = 101


def replay_ratios(curves: Curves, options: Options, title: str = "") -> Drawn:
    """Score against replay ratio: at the last evaluation, and over all of training."""
    tables, problems = _tables(curves, options)
    unknown = [table.exp_name for table in tables if curves.replay_ratio(table.exp_name) is None]
    if unknown:
        raise UserError(f"the replay ratio of {', '.join(unknown)} is not known, or is not one")
    last = last_shared(tables)
    families: dict[str, list[Scores]] = {}
    for table in tables:
        families.setdefault(_RATIO_PART.sub("", table.exp_name) or "all", []).append(table)
    figure, axes = plot_style.new_figure(2, height=2.3, width=5.6)
    for index, (family, members) in enumerate(families.items()):
        ratio_of = {t.exp_name: curves.replay_ratio(t.exp_name) or 0.0 for t in members}
        members.sort(key=lambda table: ratio_of[table.exp_name])
        ratios = [ratio_of[table.exp_name] for table in members]
        for panel, scores in (
            (axes[0], [table.at(last) for table in members]),
            (axes[1], [table.area() for table in members]),
        ):
            found = [estimate(tasks, options) for tasks in scores]
            values = np.array([item.value for item in found])
            reach = [values - [i.low for i in found], [i.high for i in found] - values]
            panel.errorbar(
                ratios,
                values,
                np.clip(reach, 0, None),
                **plot_style.look(index),
                marker=plot_style.MARKERS[index % len(plot_style.MARKERS)],
                elinewidth=0.9,
                capsize=2,
                label=family,
            )
    every = sorted({curves.replay_ratio(table.exp_name) or 0.0 for table in tables})
    for panel, name in zip(
        axes, (f"at {_steps(last, options.axis)}", "mean over training"), strict=True
    ):
        plot_style.ratio_axis(panel, every)
        panel.set_title(name)
    meaning = statistics.STATISTICS[options.statistic].meaning
    axes[0].set_ylabel(f"normalised score ({meaning})")
    if title:
        figure.suptitle(title, fontsize=9)
    if len(families) > 1:
        plot_style.legend(figure, axes)
    return Drawn(figure, problems)


def profiles(curves: Curves, options: Options, title: str = "") -> Drawn:
    """Performance profiles: the share of runs above each score, at the last evaluation."""
    tables, problems = _tables(curves, options)
    last = last_shared(tables)
    scores = {table.exp_name: table.at(last) for table in tables}
    highest = max(float(np.max(part)) for tasks in scores.values() for part in tasks)
    thresholds = np.linspace(0, max(highest, 1.0), _THRESHOLDS)
    figure, axes = plot_style.new_figure(1, width=4.2, height=2.6)
    panel = axes[0]
    for index, (name, tasks) in enumerate(scores.items()):
        found = statistics.profile(
            tasks,
            thresholds,
            reps=options.reps,
            confidence=options.confidence,
            seed=options.seed,
        )
        look = plot_style.look(index)
        panel.fill_between(
            thresholds, found.low, found.high, color=look["color"], alpha=0.18, linewidth=0
        )
        panel.plot(thresholds, found.value, **look, label=name)
    panel.set_xlabel("normalised score")
    panel.set_ylabel("share of runs above it")
    panel.set_ylim(0, 1.02)
    panel.set_xlim(0, thresholds[-1])
    panel.set_title(title or f"at {_steps(last, options.axis)}")
    plot_style.legend(figure, axes)
    return Drawn(figure, problems)


def improvements(curves: Curves, options: Options, title: str = "") -> Drawn:
    """The probability that a run of the row's experiment beats one of the column's."""
    tables, problems = _tables(curves, options)
    if len(tables) < 2:
        raise UserError("an improvement matrix needs at least two experiments")
    last = last_shared(tables)
    scores = [table.at(last) for table in tables]
    count = len(tables)
    matrix = np.full((count, count), np.nan)
    size = 0.75 * count + 1.6
    figure, axes = plot_style.new_figure(1, width=size + 0.6, height=size - 0.2)
    panel = axes[0]
    for row in range(count):
        for column in range(count):
            if row == column:
                continue
            found = statistics.improvement(
                scores[row],
                scores[column],
                reps=options.reps,
                confidence=options.confidence,
                seed=options.seed,
            )
            matrix[row, column] = found.value
            _cell(panel, row, column, found)
    image = panel.imshow(matrix, cmap="PuOr_r", vmin=0, vmax=1)
    names = [table.exp_name for table in tables]
    panel.set_xticks(range(count), names, rotation=30, ha="right", rotation_mode="anchor")
    panel.set_yticks(range(count), names)
    panel.grid(False)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
    panel.set_title(title or f"P(row beats column) at {_steps(last, options.axis)}")
    bar = figure.colorbar(image, ax=panel, shrink=0.8, ticks=[0, 0.5, 1])
    bar.outline.set_visible(False)
    return Drawn(figure, problems)


def _cell(panel: Axes, row: int, column: int, found: statistics.Estimate) -> None:
    # Dark cells lie at both ends of the colours.
    colour = "white" if abs(float(found.value) - 0.5) > 0.3 else "black"
    sure = not found.low <= 0.5 <= found.high
    weight = "bold" if sure else "normal"
    text = f"{found.value:.2f}"
    panel.text(column, row - 0.08, text, ha="center", va="center", color=colour, weight=weight)
    interval = f"{found.low:.2f}–{found.high:.2f}"
    panel.text(column, row + 0.16, interval, ha="center", va="center", color=colour, fontsize=5.5)


def _tables(curves: Curves, options: Options) -> tuple[list[Scores], list[Problem]]:
    tasks, problems = common_tasks(curves, options.metric)
    if not tasks:
        raise UserError(f"nothing to compare: no task with {options.metric} in all experiments")
    names = plot_style.in_order(curves.experiments)
    tables = [scores_of(curves, name, options, tasks) for name in names]
    return tables, problems + [problem for scores in tables for problem in scores.problems]


def _steps(position: float, axis: str) -> str:
    if axis == "wall_s":
        return f"{position / 3600:.3g} hours"
    return f"{plot_style.short(position)} {axis.replace('_', ' ')}"

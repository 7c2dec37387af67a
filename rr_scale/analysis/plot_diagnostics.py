"""Training metrics over time, a panel each, beside the return they are to explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rr_scale.analysis import plot_style
from rr_scale.analysis.curves import RETURN, Curve, Curves
from rr_scale.analysis.plot_curves import Drawn, Options
from rr_scale.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NOT_SHOWN = {"reset/fired", "avg_length", "return_std", "time/wall_s", "time/eval_s"}


def diagnostics(curves: Curves, options: Options, title: str = "") -> Drawn:
    """All training metrics of one task: mean over seeds, and the range of seeds.

    Seeds need not have the same points: means are over those that have one.

    Raises:
      UserError: several tasks, or no training metrics.
    """
    if len(curves.tasks) != 1:
        shown = ", ".join(curves.tasks)
        raise UserError(f"diagnostics are of one task, choose one with --task: {shown}")
    metrics = [name for name in curves.metrics if name not in _NOT_SHOWN]
    if not any("/" in name for name in metrics):
        raise UserError("no training metrics to plot: no metrics.csv beside the results")
    metrics.sort(key=lambda name: (name != RETURN, not name.startswith("train/"), name))
    figure, axes = plot_style.new_figure(len(metrics), height=1.45)
    for metric, panel in zip(metrics, axes, strict=True):
        for index, name in enumerate(plot_style.in_order(curves.experiments)):
            group = list(curves.where(exp_name=name, metric=metric))
            if group:
                _draw(panel, group, options.axis, index)
        for step in curves.reset_steps(curves.experiments[0], curves.tasks[0]):
            if options.axis == "env_steps" and len(curves.experiments) == 1:
                panel.axvline(step, color=plot_style.RESET, linewidth=0.6, linestyle=":")
        # The rest of the name is as wide as a panel.
        panel.set_title(metric.removeprefix("diagnostics/"))
        plot_style.position_axis(panel, options.axis, label=False)
    plot_style.label_lowest(axes, options.axis)
    figure.suptitle(title or curves.tasks[0], fontsize=9)
    plot_style.legend(figure, axes)
    return Drawn(figure, [])


def _draw(panel: Axes, group: list[Curve], axis: str, index: int) -> None:
    traces = [(curve.axis(axis), curve.values) for curve in group]
    if any(positions is None for positions, _ in traces):
        raise UserError(f"{group[0].label}: {axis} are not known")
    positions = np.unique(np.concatenate([positions for positions, _ in traces]))
    values = np.full((len(traces), len(positions)), np.nan)
    for row, (own, numbers) in enumerate(traces):
        values[row, np.searchsorted(positions, own)] = numbers
    kept = np.isfinite(values).any(axis=0)
    values, positions = values[:, kept], plot_style.on_axis(positions[kept], axis)
    if not len(positions):
        return
    look = plot_style.look(index)
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    panel.fill_between(positions, low, high, color=look["color"], alpha=0.18, linewidth=0)
    single = {"marker": "o"} if len(positions) == 1 else {}
    panel.plot(positions, np.nanmean(values, axis=0), **look, **single, label=group[0].exp_name)

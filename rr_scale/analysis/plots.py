"""Learning curves as PNG files, without a display."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rr_scale.analysis.load import Row, lane_curves
from rr_scale.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, told apart under every common colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_RESET_COLOUR = "#777777"
_LEGEND_WIDTH = 110  # small characters across the figure


class Run(NamedTuple):
    """One run in a plot."""

    rows: Sequence[Row]
    reset_steps: tuple[int, ...] = ()


def learning_curves(
    rows: Iterable[Row], path_png: Path, title: str, reset_steps: Iterable[int] = ()
) -> None:
    """Draws one run: mean and range over seeds, each seed thinly, resets dashed.

    A seed that stopped early counts in mean and range as far as it goes, and
    the legend says so.

    Raises:
      UserError: there is no `avg_return` in `rows`.
    """
    _save({"": Run(list(rows), tuple(reset_steps))}, path_png, title)


def overlay(runs: Mapping[str, Run], path_png: Path, title: str) -> None:
    """Draws several runs, label -> run, one colour each, in one plot.

    Resets are drawn in the colour of their run, grey where all runs share them.

    Raises:
      UserError: a run has no `avg_return`.
    """
    _save(runs, path_png, title)


def _save(runs: Mapping[str, Run], path_png: Path, title: str) -> None:
    # A Figure of its own, and not pyplot: no global state, and always Agg.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shared_resets = len({run.reset_steps for run in runs.values()}) == 1
    for index, (label, run) in enumerate(runs.items()):
        colour = COLOURS[index % len(COLOURS)]
        style = ("-", "--", ":")[index // len(COLOURS) % 3]
        _draw_run(axes, label, run.rows, colour, style)
        if not shared_resets:
            _draw_resets(axes, run.reset_steps, colour, f"{label}: reset")
    if shared_resets:
        _draw_resets(axes, next(iter(runs.values())).reset_steps, _RESET_COLOUR, "reset")
    axes.set_title(title)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(_thousands)
    axes.yaxis.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    longest = max(len(label) for label in axes.get_legend_handles_labels()[1])
    columns = min(4, max(1, _LEGEND_WIDTH // (longest + 8)))
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize="small")
    Path(path_png).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path_png)


def _draw_run(axes: Axes, label: str, rows: Sequence[Row], colour: str, style: str) -> None:
    curves = lane_curves(rows, "avg_return")
    if not curves:
        raise UserError(f"nothing to plot{f' for {label}' if label else ''}: no avg_return")
    steps = sorted({step for curve in curves.values() for step in curve})
    returns = np.array([[curve.get(step, np.nan) for step in steps] for curve in curves.values()])
    columns = np.isfinite(returns).any(axis=0)
    steps = [step for step, finite in zip(steps, columns, strict=True) if finite]
    returns = np.where(np.isfinite(returns), returns, np.nan)[:, columns]
    if not steps:
        raise UserError(f"nothing to plot{f' for {label}' if label else ''}: no finite return")
    for curve in returns:
        axes.plot(steps, curve, color=colour, linewidth=0.5, alpha=0.45)
    low, high = np.nanmin(returns, axis=0), np.nanmax(returns, axis=0)
    axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(
        steps,
        np.nanmean(returns, axis=0),
        color=colour,
        linestyle=style,
        linewidth=1.8,
        marker="o" if len(steps) == 1 else None,
        label=_legend(label, returns),
    )


def _legend(label: str, returns: np.ndarray) -> str:
    count = len(returns)
    stopped = int(np.isnan(returns[:, -1]).sum())
    seeds = "1 seed" if count == 1 else f"{count} seeds"
    note = f", {stopped} stopped early" if stopped else ""
    if label:
        return f"{label}: {seeds}{note}"
    return f"{seeds if count == 1 else f'mean and range of {seeds}'}{note}"


def _draw_resets(axes: Axes, steps: Sequence[int], colour: str, label: str) -> None:
    for index, step in enumerate(sorted(steps)):
        axes.axvline(
            step,
            color=colour,
            linestyle="--",
            linewidth=0.7,
            alpha=0.8,
            zorder=0.5,
            label=label if index == 0 else None,
        )


def _thousands(value: float, _: Any) -> str:
    return f"{value:,.0f}"

"""The learning curve that a run leaves when it ends; `plot_curves.py` compares experiments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rr_scale.analysis.load import Row, lane_curves
from rr_scale.analysis.plot_style import COLOURS, RESET
from rr_scale.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOUR = COLOURS[0]


def learning_curves(
    rows: Iterable[Row], path_png: Path, title: str, reset_steps: Iterable[int] = ()
) -> None:
    """Draws one run: mean and range over seeds, each seed thinly, resets dashed.

    A seed that stopped early counts in mean and range as far as it goes, and
    the legend says so.

    Raises:
      UserError: there is no finite `avg_return` in `rows`; names the title.
    """
    # A Figure of its own, and not pyplot: no global state, and always Agg.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _draw_run(axes, list(rows), title)
    _draw_resets(axes, reset_steps)
    axes.set_title(title)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(_thousands)
    axes.yaxis.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    Path(path_png).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path_png)


def _draw_run(axes: Axes, rows: Sequence[Row], title: str) -> None:
    curves = lane_curves(rows, "avg_return")
    if not curves:
        raise UserError(f"nothing to plot{f' for {title}' if title else ''}: no avg_return")
    steps = sorted({step for curve in curves.values() for step in curve})
    returns = np.array([[curve.get(step, np.nan) for step in steps] for curve in curves.values()])
    columns = np.isfinite(returns).any(axis=0)
    steps = [step for step, finite in zip(steps, columns, strict=True) if finite]
    returns = np.where(np.isfinite(returns), returns, np.nan)[:, columns]
    if not steps:
        raise UserError(f"nothing to plot{f' for {title}' if title else ''}: no finite return")
    for curve in returns:
        axes.plot(steps, curve, color=_COLOUR, linewidth=0.5, alpha=0.45)
    low, high = np.nanmin(returns, axis=0), np.nanmax(returns, axis=0)
    axes.fill_between(steps, low, high, color=_COLOUR, alpha=0.15, linewidth=0)
    axes.plot(
        steps,
        np.nanmean(returns, axis=0),
        color=_COLOUR,
        linewidth=1.8,
        marker="o" if len(steps) == 1 else None,
        label=_legend(returns),
    )


def _legend(returns: np.ndarray) -> str:
    count = len(returns)
    stopped = int(np.isnan(returns[:, -1]).sum())
    seeds = "1 seed" if count == 1 else f"{count} seeds"
    note = f", {stopped} stopped early" if stopped else ""
    return f"{seeds if count == 1 else f'mean and range of {seeds}'}{note}"


def _draw_resets(axes: Axes, steps: Iterable[int]) -> None:
    for index, step in enumerate(sorted(steps)):
        axes.axvline(
            step,
            color=RESET,
            linestyle="--",
            linewidth=0.7,
            alpha=0.8,
            zorder=0.5,
            label="reset" if index == 0 else None,
        )


def _thousands(value: float, _: Any) -> str:
    return f"{value:,.0f}"

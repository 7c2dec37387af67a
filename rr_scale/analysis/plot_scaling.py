"""Figures of a scaling fit: data, settings, budgets, and how well it foretells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rr_scale.analysis import plot_style
from rr_scale.analysis.scaling import Fit
from rr_scale.analysis.scaling_choice import Pairs
from rr_scale.analysis.scaling_laws import PowerLaw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Ticks are at these multiples of powers of ten on axes of less than so many decades.
_MULTIPLES = (
    (0.3, (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)),
    (0.7, (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)),
    (1.5, (1.0, 2.0, 5.0)),
    (2.5, (1.0, 3.0)),
)


def draw(found: Fit, folder: Path, name: str = "scaling") -> list[Path]:
    """Draws all that was fitted into `folder/name` .png and .svg; returns the files."""
    with plot_style.style():
        drawings = [_data]
        if found.batch is not None:
            drawings.append(_batch)
        if found.rate is not None:
            drawings.append(_rate)
        if any(best is not None for best in found.optima):
            drawings += [_budget, _frontier]
        figure, axes = plot_style.new_figure(
            len(drawings), columns=2 if len(drawings) == 4 else 3, height=2.3
        )
        for drawing, panel in zip(drawings, axes, strict=True):
            drawing(panel, found)
        _threshold_colours(figure, axes, found)
        return plot_style.save(figure, folder / name)


def _data(panel: Axes, found: Fit) -> None:
    """Env steps to each threshold with the law through them."""
    fine = np.geomspace(found.ratios[0] / 1.3, found.ratios[-1] * 2, 100)
    low, high = _quantiles(found)
    for index, law in enumerate(found.data):
        colour = _colour(index, len(found.data))
        times = found.times[:, index] * found.unit
        reach = np.array([times - low[:, index], high[:, index] - times]).clip(0)
        panel.errorbar(
            found.ratios, times, reach, color=colour, fmt="o", markersize=3, elinewidth=0.7
        )
        if law is not None:
            inside = fine <= found.ratios[-1]
            panel.plot(fine[inside], law(fine[inside]), color=colour, linewidth=1)
            panel.plot(fine[~inside], law(fine[~inside]), color=colour, linewidth=1, linestyle=":")
    panel.set_yscale("log")
    _plain_ticks(panel.yaxis)
    plot_style.ratio_axis(panel, found.ratios)
    panel.set_ylabel("environment steps to threshold")
    panel.set_title("dotted: extrapolated")


def _quantiles(found: Fit) -> tuple[np.ndarray, np.ndarray]:
    # A resample that misses a threshold takes longer than any that was measured.
    samples = np.where(np.isfinite(found.spread), found.spread, np.inf)
    low, high = np.quantile(samples, [0.025, 0.975], axis=0, method="nearest") * found.unit
    return low, np.where(np.isfinite(high), high, found.times * found.unit)


def _batch(panel: Axes, found: Fit) -> None:
    assert found.batch is not None
    _law(panel, found, found.batch, found.batch_points, "best batch size")


def _rate(panel: Axes, found: Fit) -> None:
    assert found.rate is not None
    _law(panel, found, found.rate, found.rate_points, "best learning rate")


def _law(panel: Axes, found: Fit, law: PowerLaw, points: Pairs, name: str) -> None:
    fine = np.geomspace(found.ratios[0], found.ratios[-1], 50)
    for index, (task, pairs) in enumerate(points.items()):
        look = plot_style.look(index)
        marker = plot_style.MARKERS[index % len(plot_style.MARKERS)]
        panel.plot(*zip(*pairs, strict=True), marker, color=look["color"])
        panel.plot(fine, [law(ratio, task) for ratio in fine], **look, linewidth=1, label=task)
    panel.set_yscale("log", base=2 if name.endswith("size") else 10)
    if name.endswith("size"):
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    plot_style.ratio_axis(panel, found.ratios)
    panel.set_ylabel(name)
    panel.set_title(f"slope {law.slope:.3f}")
    panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=2, fontsize=6.5)


def _budget(panel: Axes, found: Fit) -> None:
    """The cheapest replay ratio for each budget, and the law through them."""
    known = [(i, best) for i, best in enumerate(found.optima) if best is not None]
    for index, best in known:
        colour = _colour(index, len(found.optima))
        panel.plot(best.budget, best.sigma, "o", color=colour)
    if found.best_ratio is not None:
        budgets = np.geomspace(known[0][1].budget, known[-1][1].budget, 20)
        panel.plot(budgets, found.best_ratio(budgets), color="black", linewidth=0.9)
        panel.set_title(f"slope {found.best_ratio.slope:.2f}")
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlabel("budget in FLOPs, data included")
    panel.set_ylabel("best replay ratio")
    _plain_ticks(panel.xaxis, panel.yaxis)


def _frontier(panel: Axes, found: Fit) -> None:
    """Compute against data: what each replay ratio costs, and the cheapest of them."""
    known = [(i, best) for i, best in enumerate(found.optima) if best is not None]
    for index, best in known:
        panel.plot(best.steps, best.flops, "o", color=_colour(index, len(found.optima)))
    if found.frontier is not None:
        steps = np.geomspace(known[0][1].steps, known[-1][1].steps, 20)
        panel.plot(steps, found.frontier(steps), color="black", linewidth=0.9)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlabel("environment steps")
    panel.set_ylabel("FLOPs of the updates")
    panel.set_title("at the best replay ratio")
    _plain_ticks(panel.xaxis, panel.yaxis)


def _plain_ticks(*axes: Axis) -> None:
    """Two labelled ticks or more on a logarithmic axis, though it may span a part of a decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    for axis in axes:
        low, high = axis.get_view_interval()
        decades = np.log10(high / low)
        multiples = next((each for most, each in _MULTIPLES if decades < most), (1.0,))
        axis.set_major_locator(LogLocator(subs=multiples, numticks=99))
        axis.set_major_formatter(FuncFormatter(lambda value, _: plot_style.short(round(value, 12))))
        axis.set_minor_locator(NullLocator())


def _colour(index: int, count: int) -> tuple[float, ...]:
    import matplotlib

    return matplotlib.colormaps["viridis"](0.9 - 0.8 * index / max(count - 1, 1))


def _threshold_colours(figure: Figure, axes: list[Axes], found: Fit) -> None:
    import matplotlib
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    norm = Normalize(float(found.thresholds[0]), float(found.thresholds[-1]) + 1e-9)
    colours = matplotlib.colormaps["viridis_r"].resampled(256)
    shown = matplotlib.colors.ListedColormap(colours(np.linspace(0.1, 0.9, 256)))
    bar = figure.colorbar(ScalarMappable(norm, shown), ax=axes, aspect=40, pad=0.01)
    bar.set_label("threshold (score × 1000)")
    bar.outline.set_visible(False)

"""How every figure looks: sizes and fonts of a paper, colours that all can tell apart."""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rr_scale.durable import replace_bytes
from rr_scale.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart under every common colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", ":")
MARKERS = "osD^vPX"
RESET = "#777777"
SHARED = ("reset", "dip after it")
FORMATS = (".png", ".svg")
WIDTH = 6.75  # inches: the text of a two-column page
AXIS_LABELS = {
    "env_steps": "environment steps",
    "frames": "environment frames",
    "updates": "critic updates",
    "wall_s": "hours of training",
}

_LEGEND_ROW = 0.16  # inches
_ROUND = (1, 2, 2.5, 5, 10)  # what ticks may be multiples of, times powers of ten

_SETTINGS: Mapping[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#e2e2e2",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "legend.frameon": False,
    # Text stays text in an SVG, and equal figures are equal files.
    "svg.fonttype": "none",
    "svg.hashsalt": "rr_scale",
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Inside, figures are made, drawn and saved in our style."""
    import matplotlib

    with matplotlib.rc_context(dict(_SETTINGS)):
        yield


def new_figure(
    panels: int, columns: int = 4, width: float = WIDTH, height: float = 1.6
) -> tuple[Figure, list[Axes]]:
    """A figure with panels in rows of at most `columns`; `height` is that of a row, in inches."""
    # A Figure of its own, and not pyplot: no global state, and always Agg.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(columns, panels)
    if columns == 4 and -panels % 3 < -panels % 4:
        columns = 3  # fewer empty places
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(width, height * rows + 0.35), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False)
    axes = list(grid.flat)
    for spare in axes[panels:]:
        spare.remove()
    return figure, axes[:panels]


def look(index: int) -> dict[str, Any]:
    """Colour and line style of the index-th thing that is compared; markers tell too."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": LINES[index // len(COLOURS) % len(LINES)],
    }


def legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend for the figure, below all panels, so that it covers no data."""
    found: dict[str, Any] = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    # What all share comes after what differs.
    shared = {label: found.pop(label) for label in SHARED if label in found}
    found |= shared
    if found:
        longest = max(map(len, found))
        columns = max(1, min(len(found), int(figure.get_figwidth() * 17) // (longest + 7)))
        # Panels keep their height, and so there is room for the labels beside them.
        more = math.ceil(len(found) / columns) - 1
        figure.set_figheight(figure.get_figheight() + _LEGEND_ROW * more)
        figure.legend(found.values(), found, loc="outside lower center", ncols=columns)


def position_axis(panel: Axes, axis: str, label: bool = True) -> None:
    """Labels an x axis in its unit: thousands and millions, seconds as hours."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    if axis != "wall_s":
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    alone = panel.figure is not None and len(panel.figure.axes) == 1
    panel.xaxis.set_major_locator(MaxNLocator(6 if alone else 4, steps=_ROUND))
    panel.set_xlim(left=0)
    if label:
        panel.set_xlabel(AXIS_LABELS[axis])


def label_lowest(axes: Sequence[Axes], axis: str) -> None:
    """Labels the x axis of the panels that have none below them."""
    for index, panel in enumerate(axes):
        own = panel.get_subplotspec()
        below = [other.get_subplotspec() for other in axes[index + 1 :]]
        if own and not any(o and o.colspan == own.colspan for o in below):
            panel.set_xlabel(AXIS_LABELS[axis])


def in_order(names: Sequence[str]) -> list[str]:
    """Names as people sort them: rr8 before rr16."""

    def key(name: str) -> list[tuple[bool, float, str]]:
        parts = re.split(r"(\d+(?:\.\d+)?)", name)
        return [(i % 2 == 0, float(part) if i % 2 else 0.0, part) for i, part in enumerate(parts)]

    return sorted(names, key=key)


def on_axis(positions: np.ndarray, axis: str) -> np.ndarray:
    """Positions as they are drawn: seconds become hours."""
    return positions / 3600 if axis == "wall_s" else positions


def ratio_axis(panel: Axes, ratios: Sequence[float], label: bool = True) -> None:
    """A logarithmic x axis with the replay ratios as its ticks."""
    from matplotlib.ticker import FixedLocator, NullLocator

    panel.set_xscale("log", base=2)
    panel.xaxis.set_major_locator(FixedLocator(list(ratios)))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xticklabels([f"{ratio:g}" for ratio in ratios])
    if label:
        panel.set_xlabel("replay ratio")


def short(value: float) -> str:
    """A number for a tick: 250k, 1.5M, 40T."""
    for power, suffix in zip((18, 15, 12, 9, 6, 3), "EPTGMk", strict=True):
        if abs(value) >= 10**power:
            return f"{value / 10**power:g}{suffix}"
    return f"{value:g}"


def out_paths(out: Path) -> list[Path]:
    """The files of a figure: as its suffix says, or .png and .svg if it has none.

    Raises:
      UserError: another suffix.
    """
    suffix = out.suffix.lower()
    if suffix in FORMATS:
        return [out]
    if suffix and not suffix[1:].isdecimal():
        raise UserError(f"--out must end in .png or .svg, or in neither for both, got '{out}'")
    return [out.with_name(out.name + end) for end in FORMATS]


def save(figure: Figure, out: Path) -> list[Path]:
    """Writes a figure; a file that is there is replaced once the new one is whole."""
    paths = out_paths(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    for path in paths:
        buffer = io.BytesIO()
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else {}
        figure.savefig(buffer, format=path.suffix[1:].lower(), metadata=metadata)
        replace_bytes(path, buffer.getvalue())
    return paths

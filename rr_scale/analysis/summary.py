"""The table at the end of a run: one line per seed, then mean and spread over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from rr_scale.analysis.load import Row, lane_curves
from rr_scale.columns import align


class Window(NamedTuple):
    """The best consecutive evaluations of one seed."""

    mean: float
    end_step: int


def final_table(
    rows: Iterable[Row],
    last_reset: int | None,
    window: int = 5,
    seeds: Sequence[int] = (),
) -> str:
    """A plain-text table of one run's returns.

    A seed has failed when its evaluations stop before those of the others or
    its last return is not finite; it is left out of mean and spread, and their
    line says so.

    Args:
      rows: the rows of one `results.csv`.
      last_reset: env step of the last reset that came before the last
        evaluation (a reset at that very step comes after it), None if none.
      window: consecutive evaluations in the best window; all of them where
        there are fewer.
      seeds: the seeds that were started, so that one which failed before its
        first evaluation is shown too.
    """
    rows = list(rows)
    curves = lane_curves(rows, "avg_return")
    if not curves:
        return "no evaluations"
    last_step = max(max(curve) for curve in curves.values())
    lines = [("seed", "last return", "best window", "ends at", "steps since reset")]
    last_returns, best_means = [], []
    for seed in sorted({*curves, *seeds}):
        curve = curves.get(seed, {})
        best = best_window(curve, window)
        best_cells = ("-", "-") if best is None else (f"{best.mean:.1f}", str(best.end_step))
        if math.isfinite(curve.get(last_step, math.nan)):
            last_returns.append(curve[last_step])
            if best is not None:
                best_means.append(best.mean)
            since = "-" if last_reset is None else str(last_step - last_reset)
            lines.append((str(seed), f"{curve[last_step]:.1f}", *best_cells, since))
        else:
            lines.append((str(seed), "failed", *best_cells, "-"))
    failed = len(lines) - 1 - len(last_returns)
    for name, spread in (("mean", np.mean), ("std", _sample_std)):
        lines.append((name, _cell(spread, last_returns), _cell(spread, best_means), "", ""))
    names = ", ".join(sorted({f"{row.exp_name} on {row.env_name}" for row in rows}))
    note = f"; mean and std without {failed} failed" if failed else ""
    title = f"{names}, env step {last_step}, return (best of {window} evaluations{note})"
    return "\n".join([title, *align(lines)])


def best_window(curve: dict[int, float], window: int) -> Window | None:
    """The best mean over `window` consecutive evaluations with finite returns.

    Args:
      curve: env_step -> return, in order.
      window: how many; all of them where there are fewer.
    """
    steps = list(curve)
    values = np.array([curve[step] for step in steps])
    length = min(window, len(values))
    best = None
    for end in range(length, len(values) + 1):
        mean = float(np.mean(values[end - length : end])) if length else math.nan
        if math.isfinite(mean) and (best is None or mean > best.mean):
            best = Window(mean, steps[end - 1])
    return best


def _sample_std(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def _cell(statistic: object, values: Sequence[float]) -> str:
    value = statistic(values) if values else math.nan  # type: ignore[operator]
    return f"{value:.1f}" if math.isfinite(value) else "-"

"""Everything that a page shows, as JSON can hold it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rr_scale.analysis.curves import RETURN, Curve, Curves
from rr_scale.analysis.report import runs
from rr_scale.analysis.report.comparison import compare
from rr_scale.analysis.report.pack import Grids, exact, naturally, rounded, thinned
from rr_scale.analysis.report.series import tables
from rr_scale.errors import UserError

REPS = 50_000
"""Resamples behind the numbers in tables."""
_POINTS = 100
"""Of a diagnostic of one seed."""


def content(curves: Curves, title: str, inputs: Sequence[str], reps: int = REPS) -> dict[str, Any]:
    """The content of a page.

    Args:
      curves: all metrics, with runs and problems.
      title: of the page.
      inputs: what the curves were read from, for people.
      reps: resamples behind the numbers in tables.

    Raises:
      UserError: there are no returns.
    """
    grids = Grids()
    scores = tables(curves)
    if not scores:
        raise UserError("no finite return of any seed: there is nothing to report")
    evaluated = [curve for curve in curves if curve.metric == RETURN and curve.seed is not None]
    logged = [curve for curve in curves if curve.metric != RETURN and len(curve.env_steps)]
    preset_of = runs.presets(curves)
    names = sorted({name for name, _ in scores}, key=naturally)
    return {
        "title": title,
        "inputs": list(inputs),
        "reps": reps,
        "experiments": [
            {
                "name": name,
                "preset": preset_of.get(name),
                "ratio": curves.replay_ratio(name),
            }
            for name in names
        ],
        "tasks": sorted({task for _, task in scores}),
        "returns": [_returns(curve, grids) for curve in evaluated],
        "resets": [
            {"experiment": name, "task": task, "x": list(curves.reset_steps(name, task))}
            for name, task in scores
        ],
        **compare(scores, grids, reps),
        "diagnostics": [_diagnostic(curve, grids) for curve in logged],
        "settings": runs.settings(curves),
        "costs": runs.costs(curves),
        "unfinished": runs.unfinished(curves),
        "problems": [{"kind": problem.kind, "text": problem.text} for problem in curves.problems],
        # Last: by now all curves have named theirs.
        "grids": grids.arrays,
    }


def _returns(curve: Curve, grids: Grids) -> dict[str, Any]:
    return {
        "experiment": curve.exp_name,
        "task": curve.env_name,
        "seed": curve.seed,
        "env_steps": grids.add(curve.env_steps),
        "frames": grids.add(curve.frames),
        "updates": grids.add(curve.updates),
        "wall_s": grids.add(curve.wall_s),
        "y": exact(curve.values),
    }


def _diagnostic(curve: Curve, grids: Grids) -> dict[str, Any]:
    steps, values = thinned(curve.env_steps, curve.values, _POINTS)
    return {
        "experiment": curve.exp_name,
        "task": curve.env_name,
        "seed": curve.seed,
        "metric": curve.metric,
        "x": grids.add(steps),
        "y": rounded(values, 4),
    }

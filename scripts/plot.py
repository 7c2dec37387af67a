#!/usr/bin/env python3
"""Draws learning curves and comparisons of runs, sweeps and published results.

python scripts/plot.py INPUT... --out curves.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# So that it also runs from a checkout that was never installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rr_scale.analysis import plot_compare, plot_curves, plot_diagnostics, plot_style  # noqa: E402
from rr_scale.analysis.curves import AXES, RETURN, Curves  # noqa: E402
from rr_scale.analysis.read import read_curves  # noqa: E402
from rr_scale.analysis.score_scales import SUITES, check_suite, parse_scale  # noqa: E402
from rr_scale.analysis.statistics import STATISTICS, statistic  # noqa: E402
from rr_scale.arguments import Parser  # noqa: E402
from rr_scale.errors import UserError, nearest  # noqa: E402

KINDS = {
    "curves": (plot_curves.per_task, "learning curves, a panel per task (the default)"),
    "aggregate": (plot_curves.aggregated, "learning curve of all tasks together"),
    "ratio": (plot_compare.replay_ratios, "score against replay ratio"),
    "profile": (plot_compare.profiles, "performance profiles"),
    "improvement": (plot_compare.improvements, "probability of improvement, all pairs"),
    "diagnostics": (plot_diagnostics.diagnostics, "training metrics over time, of one task"),
}


def main(arguments: list[str]) -> int:
    """Draws the figure; returns the exit status."""
    try:
        options = _parser().parse_args(arguments)
        _draw(options)
    except (UserError, OSError) as error:
        print(f"plot: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> Parser:
    kinds = "\n".join(f"  {name:12} {meaning}" for name, (_, meaning) in KINDS.items())
    parser = Parser(
        description=(__doc__ or "").splitlines()[0],
        epilog=f"kinds:\n{kinds}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("inputs", nargs="+", help="PATH, NAME=PATH or NAME:TASK=PATH")
    parser.add_argument("--out", required=True, type=Path, help=".png, .svg, or neither for both")
    parser.add_argument("--kind", default="curves", help="what to draw, see below")
    parser.add_argument("--x", default="env_steps", help=f"{', '.join(AXES)} (%(default)s)")
    parser.add_argument("--task", action="append", default=[], help="only this one (repeatable)")
    parser.add_argument("--metric", default=RETURN, help="what is drawn (%(default)s)")
    parser.add_argument("--statistic", default="iqm", help=", ".join(STATISTICS) + " (%(default)s)")
    parser.add_argument(
        "--suite", default="auto", help=f"scores: {', '.join(SUITES)} (%(default)s)"
    )
    parser.add_argument("--scale", action="append", default=[], help="TASK=ZERO:ONE, before suite")
    parser.add_argument("--band", default="interval", choices=("interval", "range"))
    parser.add_argument("--points", type=int, help="interpolate to this many positions")
    parser.add_argument("--drop_incomplete", action="store_true", help="without unfinished runs")
    parser.add_argument("--action_repeat", type=int, help="of tables that do not tell")
    parser.add_argument("--reset_every", action="append", default=[], help="NAME=ENV_STEPS")
    parser.add_argument("--reps", type=int, default=2000, help="resamples (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the resamples (%(default)s)")
    parser.add_argument("--title", default="", help="instead of the default title")
    return parser


def _draw(given: argparse.Namespace) -> None:
    if given.kind not in KINDS:
        known = ", ".join(KINDS)
        raise UserError(f"unknown kind '{given.kind}'{nearest(given.kind, KINDS)}; one of {known}")
    plot_style.out_paths(given.out)
    statistic(given.statistic)
    check_suite(given.suite)
    options = plot_curves.Options(
        metric=given.metric,
        axis=given.x,
        suite=given.suite,
        scales=dict(map(parse_scale, given.scale)),
        statistic=given.statistic,
        band=given.band,
        points=given.points,
        drop_incomplete=given.drop_incomplete,
        reps=given.reps,
        seed=given.seed,
        resets=dict(map(_interval, given.reset_every)),
    )
    metrics = None if given.kind == "diagnostics" else (given.metric,)
    curves = read_curves(given.inputs, metrics, action_repeat=given.action_repeat)
    chosen = _of_tasks(curves, given.task)
    with plot_style.style():
        drawn = KINDS[given.kind][0](chosen, options, given.title)
        paths = plot_style.save(drawn.figure, given.out)
    for problem in dict.fromkeys([*curves.problems, *drawn.problems]):
        print(problem)
    print(f"wrote {', '.join(map(str, paths))}")


def _of_tasks(curves: Curves, tasks: list[str]) -> Curves:
    for task in tasks:
        if task not in curves.tasks:
            raise UserError(f"no results on '{task}'{nearest(task, curves.tasks)}")
    return curves.where(keep=lambda curve: curve.env_name in tasks) if tasks else curves


def _interval(text: str) -> tuple[str, int]:
    name, _, steps = text.rpartition("=")
    if not name or not steps.isdecimal() or int(steps) < 1:
        raise UserError(f"--reset_every takes NAME=ENV_STEPS, not '{text}'")
    return name, int(steps)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

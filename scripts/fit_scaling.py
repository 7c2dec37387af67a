#!/usr/bin/env python3
"""Fits scaling laws to runs over replay ratios, or proposes settings from a fit.

python scripts/fit_scaling.py fit RUNS... --out FOLDER
python scripts/fit_scaling.py suggest FOLDER/scaling.json --replay_ratio 16
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

# So that it also runs from a checkout that was never installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rr_scale.analysis import plot_scaling, scaling, scaling_report, scaling_times  # noqa: E402
from rr_scale.analysis.curves import RETURN  # noqa: E402
from rr_scale.analysis.read import read_curves  # noqa: E402
from rr_scale.analysis.score_scales import SUITES, parse_scale  # noqa: E402
from rr_scale.arguments import Parser  # noqa: E402
from rr_scale.durable import replace_bytes  # noqa: E402
from rr_scale.errors import UserError  # noqa: E402


def main(arguments: list[str]) -> int:
    """Does what the subcommand says; returns the exit status."""
    try:
        options = _parser().parse_args(arguments)
        options.run(options)
    except (UserError, OSError) as error:
        print(f"fit_scaling: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> Parser:
    parser = Parser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="fit | suggest")
    fit = commands.add_parser("fit", help="fit all laws that the runs can bear; tables and plots")
    fit.add_argument("inputs", nargs="+", help="PATH, NAME=PATH or NAME:TASK=PATH")
    fit.add_argument("--out", required=True, type=Path, help="folder for scaling.json and plots")
    fit.add_argument("--metric", default=RETURN, help="the return that counts (%(default)s)")
    fit.add_argument("--suite", default="auto", help=f"scores: {', '.join(SUITES)} (%(default)s)")
    fit.add_argument("--scale", action="append", default=[], help="TASK=ZERO:ONE, before the suite")
    fit.add_argument("--thresholds", default="200:800:10", help="LOW:HIGH:COUNT (%(default)s)")
    fit.add_argument("--rate", default="hp.critic_lr", help="the learning rate (%(default)s)")
    fit.add_argument("--parameters", type=float, help="of the critics; without it no compute")
    fit.add_argument("--delta", type=float, default=0.0, help="FLOPs an env step is worth (0)")
    fit.add_argument("--baseline", type=float, help="use the settings best at this replay ratio")
    fit.add_argument("--hold_out", type=int, default=1, help="largest ratios to predict (1)")
    fit.add_argument("--resamples", type=int, default=100, help="bootstrap of seeds (%(default)s)")
    fit.add_argument("--seed", type=int, default=0, help="of the bootstrap (%(default)s)")
    fit.set_defaults(run=_fit)
    suggest = commands.add_parser("suggest", help="batch size and learning rate for a replay ratio")
    suggest.add_argument("fit", type=Path, help="scaling.json of an earlier fit")
    suggest.add_argument("--replay_ratio", type=float, help="a replay ratio, run before or not")
    suggest.add_argument("--task", help="one task; without it the mean over tasks")
    suggest.add_argument("--budget", type=float, help="FLOPs: the best replay ratio for them")
    suggest.set_defaults(run=_suggest)
    return parser


def _fit(options: argparse.Namespace) -> None:
    curves = read_curves(options.inputs, (options.metric,))
    measured = scaling_times.measure(
        curves,
        scaling_report.parse_thresholds(options.thresholds),
        metric=options.metric,
        rate_path=options.rate,
        suite=options.suite,
        scales=dict(map(parse_scale, options.scale)),
        resamples=options.resamples,
        seed=options.seed,
    )
    found = scaling.fit(
        measured,
        parameters=options.parameters,
        delta=options.delta,
        baseline=options.baseline,
        held_out_ratios=options.hold_out,
    )
    for problem in (*curves.problems, *found.problems):
        print(problem, file=sys.stderr)
    print(scaling_report.describe(found))
    plot_scaling.draw(found, options.out)
    text = json.dumps(scaling.to_json(found), indent=1) + "\n"
    replace_bytes(options.out / "scaling.json", text.encode())


def _suggest(options: argparse.Namespace) -> None:
    laws = scaling_report.read_laws(options.fit)
    print(scaling_report.suggest(laws, options.replay_ratio, options.task, options.budget))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env python3
"""Writes one self-contained HTML page about runs: returns, diagnostics, settings, cost.

python scripts/report.py RUN_OR_SWEEP_DIR TABLE.csv NAME=OTHER_DIR --out page.html

Inputs are folders of runs or sweeps, published tables (exp_name, env_name, seed,
metric, env_step, value), folders of <seed>.txt and W&B exports. Open the page
in any browser; it needs no network. Exit status: 0, or 2 for wrong input.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

# So that it also runs from a checkout that was never installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rr_scale.analysis.curves import Problem  # noqa: E402
from rr_scale.analysis.read import Input, read_curves  # noqa: E402
from rr_scale.analysis.report import page  # noqa: E402
from rr_scale.analysis.report.content import REPS, content  # noqa: E402
from rr_scale.arguments import Parser  # noqa: E402
from rr_scale.errors import UserError  # noqa: E402


def main(arguments: list[str]) -> int:
    """Writes the page; returns the exit status."""
    parser = Parser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="PATH or NAME=PATH")
    parser.add_argument("--out", required=True, type=Path, help="HTML file to write")
    parser.add_argument("--title", default="", help="of the page (default: the experiments)")
    parser.add_argument(
        "--partial",
        action="store_true",
        help="runs that are still going: what is missing is listed on the page, and no error",
    )
    parser.add_argument("--action_repeat", type=int, help="of tables that do not tell frames")
    parser.add_argument(
        "--reps", type=int, default=REPS, help=f"bootstrap resamples of tables ({REPS})"
    )
    parser.add_argument("--force", action="store_true", help="overwrite what is not a report")
    try:
        options = parser.parse_args(arguments)
        if options.reps < 1:
            raise UserError(f"--reps must be at least 1, got {options.reps}")
        page.check_target(options.out, options.force)
        curves = read_curves(
            options.inputs, None, strict=not options.partial, action_repeat=options.action_repeat
        )
        lost = tuple(_failed_jobs(options.inputs))
        curves = dataclasses.replace(curves, problems=(*lost, *curves.problems))
        title = options.title or f"Report on {', '.join(curves.experiments)}"
        text = page.page(content(curves, title, options.inputs, options.reps))
        page.write(options.out, text)
        print(f"{options.out}: {len(text.encode()) / 1e6:.2f} MB, {len(curves.problems)} remarks")
    except (UserError, OSError) as error:
        print("report:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


def _failed_jobs(inputs: list[str]) -> Iterator[Problem]:
    """Jobs of sweeps that failed, if only once, or lost a seed."""
    for folder in (Input.parse(text).path for text in inputs):
        if not (folder / "sweep.json").is_file():
            continue
        # Late: this imports half of the package, and most inputs are no sweeps.
        from rr_scale.sweep.folder import read_sweep
        from rr_scale.sweep.record import status

        sweep = read_sweep(folder)
        for found in (status(sweep, job) for job in sweep.jobs):
            if found.failures or (found.state == "done" and found.note):
                words = [found.state, f"failures: {found.failures}", found.note]
                text = f"{found.job.name}: {', '.join(filter(None, words))}"
                yield Problem("job", text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

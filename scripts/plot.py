#!/usr/bin/env python3
"""Plots the learning curves of one or several runs into one PNG file.

python scripts/plot.py RUN_DIR... --out curves.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

# So that it also runs from a checkout that was never installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rr_scale.analysis.load import read_results  # noqa: E402
from rr_scale.analysis.plots import Run, overlay  # noqa: E402
from rr_scale.errors import UserError  # noqa: E402


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def main(arguments: list[str]) -> int:
    """Draws the plot; returns the exit status."""
    parser = _Parser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run_dir", nargs="+", type=Path, help="folder with results.csv")
    parser.add_argument("--out", required=True, type=Path, help="PNG file to write")
    parser.add_argument("--title", default="", help="title (default: the tasks)")
    try:
        options = parser.parse_args(arguments)
        if options.out.suffix.lower() != ".png":
            raise UserError(f"--out must end in .png, got '{options.out}'")
        runs = _runs(options.run_dir)
        tasks = sorted({row.env_name for run in runs.values() for row in run.rows})
        title = f"{', '.join(tasks)}: mean and range over seeds"
        overlay(runs, options.out, options.title or title)
    except (UserError, OSError) as error:
        print(f"plot: {error}", file=sys.stderr)
        return 2
    return 0


def _runs(folders: list[Path]) -> dict[str, Run]:
    runs: dict[str, Run] = {}
    for folder in folders:
        run = _read(folder)
        label = run.rows[0].exp_name if run.rows else folder.name
        if label in runs:
            label = f"{label} ({folder})"
        runs[label] = run
    return runs


def _read(folder: Path) -> Run:
    metrics = folder / "metrics.csv"
    logged = read_results(metrics) if metrics.exists() else []
    resets = sorted({row.env_step for row in logged if row.metric == "reset/fired"})
    return Run(read_results(folder / "results.csv"), tuple(resets))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env python3
"""Runs a grid of tasks, presets, replay ratios, hyper-parameters and seeds.

  python scripts/sweep.py run grid.toml --dir runs/my-sweep      the same again continues
  python scripts/sweep.py run grid.toml --dry_run                jobs and estimated hours
  python scripts/sweep.py status runs/my-sweep                   from any machine
  python scripts/sweep.py suites                                 named sets of tasks

docs/sweeps.md describes the file; flags win over it. Exit status: 0 all done
(or submitted), 1 jobs failed, 2 something to mend, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# So that it also runs from a checkout that was never installed.
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rr_scale.arguments import Parser, reader_may_leave  # noqa: E402
from rr_scale.errors import UserError  # noqa: E402
from rr_scale.sweep import progress, rates  # noqa: E402
from rr_scale.sweep.folder import plan_folder, read_sweep  # noqa: E402
from rr_scale.sweep.grid import Grid, from_flags, read_grid  # noqa: E402
from rr_scale.sweep.launcher import Launcher, say  # noqa: E402
from rr_scale.sweep.local import LocalLauncher  # noqa: E402
from rr_scale.sweep.plan import make_jobs  # noqa: E402
from rr_scale.sweep.record import is_done  # noqa: E402
from rr_scale.sweep.slurm import SlurmLauncher  # noqa: E402
from rr_scale.sweep.suites import SUITES  # noqa: E402
from rr_scale.train.lock import RunLock  # noqa: E402


def main(arguments: list[str]) -> int:
    """Does what the arguments say; returns the exit status."""
    try:
        options = _parser().parse_args(arguments)
        status: int = options.action(options)
        return status
    except (UserError, OSError) as error:
        print("sweep:", " ".join(str(error).split()), file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(description=__doc__, formatter_class=raw, allow_abbrev=False)
    actions = parser.add_subparsers(required=True, metavar="run | status | suites")
    run = actions.add_parser("run", help="start what is missing", allow_abbrev=False)
    run.set_defaults(action=_run)
    run.add_argument("file", nargs="?", type=Path, help="TOML file; see docs/sweeps.md")
    run.add_argument("--dir", type=Path, help="folder of the sweep (default: runs/FILE)")
    _add_grid(run)
    run.add_argument("--launcher", choices=("local", "slurm"), default="local")
    run.add_argument("--wait", action="store_true", help="slurm: stay until the queue is empty")
    run.add_argument("--dry_run", action="store_true", help="print the jobs and write nothing")
    run.add_argument(
        "--rates",
        nargs="+",
        type=Path,
        help="benchmark files, runs or sweeps to estimate hours from "
        "(default: results/benchmark/*.json and the sweep itself)",
    )
    status = actions.add_parser("status", help="done, running, failed, time left")
    status.set_defaults(action=_status)
    status.add_argument("dir", type=Path, help="folder of a sweep")
    suites = actions.add_parser("suites", help="list the named sets of tasks")
    suites.set_defaults(action=_suites)
    return parser


def _add_grid(run: argparse.ArgumentParser) -> None:
    group = run.add_argument_group("the grid (lists are separated by commas)")
    group.add_argument("--suite", help="named sets of tasks")
    group.add_argument("--tasks", help="names of environments")
    group.add_argument("--presets", help="recipes")
    group.add_argument("--replay_ratios", help="updates per env step")
    group.add_argument("--seeds", help="seeds of every combination")
    group.add_argument("--first_seed", help="the first of them")
    group.add_argument("--max_lanes", help="seeds x hyper-parameters of a job, at most")
    group.add_argument("--cpus", help="CPUs of a job")
    group.add_argument("--retries", help="times that a failed job is started again")
    group.add_argument("--workers", help="local jobs at once")
    group.add_argument("--minutes", help="slurm: time limit of a job")
    group.add_argument("--partition", help="slurm: partition")
    group.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", help="for all runs"
    )
    group.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="PATH=VALUE,VALUE",
        help="one run per value; PATH,PATH=... sets several to the same value",
    )


def _run(options: argparse.Namespace) -> int:
    grid = from_flags(read_grid(options.file) if options.file else Grid(), vars(options))
    jobs = make_jobs(grid)
    folder = options.dir or (Path("runs") / options.file.stem if options.file else None)
    if options.dry_run:
        _print_plan(grid, jobs, folder, options.rates)
        return 0
    if folder is None:
        raise UserError("--dir is needed: the folder of the sweep")
    launcher = _launcher(grid, options)
    launcher.check()
    # Once to refuse before anything is written, and once when nobody else can write.
    plan_folder(folder, jobs, grid.cpus)
    with RunLock(folder):
        sweep = plan_folder(folder, jobs, grid.cpus)
        sweep.write()
        todo = [job for job in sweep.jobs if not is_done(sweep, job)]
        say(f"{len(sweep.jobs) - len(todo)} of {len(sweep.jobs)} jobs are done")
        status = launcher.launch(sweep, todo) if todo else 0
    say(f"\n{progress.status_table(sweep)}")
    return status


def _launcher(grid: Grid, options: argparse.Namespace) -> Launcher:
    if options.launcher == "slurm":
        return SlurmLauncher(grid.slurm, grid.retries, options.wait)
    return LocalLauncher(grid.workers, grid.retries)


def _print_plan(grid: Grid, jobs: list, folder: Path | None, paths: list[Path] | None) -> None:
    sweep = plan_folder(folder or Path("runs/unnamed-sweep"), jobs, grid.cpus)
    if paths is None:
        paths = sorted((ROOT / "results" / "benchmark").glob("*.json"))
        paths += [sweep.path / "runs"] if (sweep.path / "runs").is_dir() else []
    for path in paths:
        if not path.exists():
            raise UserError(f"--rates: {path} does not exist")
    with reader_may_leave():
        say(progress.plan_table(sweep.jobs, rates.read_rates(paths), sweep.cpus))


def _status(options: argparse.Namespace) -> int:
    with reader_may_leave():
        say(progress.status_table(read_sweep(options.dir)))
    return 0


def _suites(options: argparse.Namespace) -> int:
    with reader_may_leave():
        for name, suite in SUITES.items():
            say(f"{name}: {suite.about} ({suite.max_steps} steps)\n    {', '.join(suite.tasks)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env python3
"""Measures speed, memory and start-up on this machine.

python scripts/benchmark.py [--only throughput,peers] [--quick] [--out FILE.json]

Prints tables; docs/performance.md says how to read them.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path

# So that it also runs from a checkout that was never installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.command import SECTIONS, run  # noqa: E402
from benchmarks.options import QUICK, Options, layouts, numbers, words  # noqa: E402
from benchmarks.processes import ROOT  # noqa: E402
from rr_scale.arguments import Parser  # noqa: E402
from rr_scale.envs.suites import check_name  # noqa: E402
from rr_scale.errors import UserError  # noqa: E402
from rr_scale.presets import PRESETS  # noqa: E402


def main(arguments: list[str]) -> int:
    """Parses the command line and measures; returns the exit status."""
    try:
        given = _parser().parse_args(arguments)
        names = words(given.only, "--only", tuple(SECTIONS)) if given.only else tuple(SECTIONS)
        return run(_options(given), names, given.out, arguments)
    except UserError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("--only", help=f"sections, joined by commas: {', '.join(SECTIONS)}")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it works")
    parser.add_argument("--out", type=Path, help="JSON file with every repeat")
    parser.add_argument("--seeds", help="numbers of seeds (default: 1,2,5,10)")
    parser.add_argument("--replay_ratios", help="replay ratios (default: 1,8,32)")
    parser.add_argument("--presets", help="presets (default: sr_sac,td3)")
    parser.add_argument("--env_name", help="task of whole runs (default: cheetah-run)")
    parser.add_argument("--tasks", help="tasks whose simulators are timed")
    parser.add_argument("--workers", help="numbers of environment workers, beside 0")
    parser.add_argument("--layouts", help="'default' or THREADSxDEVICES, joined by commas")
    parser.add_argument("--repeats", help="how often each figure is taken (default: 3)")
    parser.add_argument("--seconds", type=float, help="least duration of a repeat (default: 3)")
    parser.add_argument("--peer_python", type=Path, help="Python of an environment with sbx-rl")
    return parser


def _options(given: argparse.Namespace) -> Options:
    changes: dict[str, object] = {}
    for name in ("seeds", "replay_ratios"):
        if getattr(given, name):
            changes[name] = numbers(getattr(given, name), f"--{name}")
    if given.workers:
        changes["workers"] = (0, *numbers(given.workers, "--workers"))
    if given.presets:
        changes["presets"] = words(given.presets, "--presets", tuple(PRESETS))
    if given.tasks:
        changes["tasks"] = words(given.tasks, "--tasks")
        for task in changes["tasks"]:
            check_name(task)
    if given.layouts:
        changes["layouts"] = layouts(given.layouts)
    if given.repeats:
        changes["repeats"] = numbers(given.repeats, "--repeats")[0]
    if given.seconds is not None:
        if not 0 < given.seconds < 3600:
            raise UserError(f"--seconds must be between 0 and 3600, got {given.seconds:g}")
        changes["seconds"] = given.seconds
    if given.env_name:
        check_name(given.env_name)
        changes["env_name"] = given.env_name
    if given.peer_python:
        if not os.access(ROOT / given.peer_python, os.X_OK):
            raise UserError(f"--peer_python: there is no {given.peer_python}")
        changes["peer_python"] = given.peer_python
    return dataclasses.replace(QUICK if given.quick else Options(), **changes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env python3
"""Evaluates the policies that a run saved: a table, returns as CSV, a video.

python scripts/evaluate.py RUN_DIR --policy best --episodes 100 --seed 1 --out returns.csv

Without --seed the episodes are those of the evaluation that a policy was saved
with, and the returns are those in results.csv (docs/evaluate.md says when bit
for bit). The folder of the run is only read. Exit status: 0, or 2 for wrong input.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

# So that it also runs from a checkout that was never installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rr_scale import configure, durable, platform  # noqa: E402
from rr_scale.arguments import Parser  # noqa: E402
from rr_scale.columns import align  # noqa: E402
from rr_scale.envs import video  # noqa: E402
from rr_scale.envs.renderer import Renderer  # noqa: E402
from rr_scale.errors import UserError  # noqa: E402
from rr_scale.runfile import NAME, RunFile, read_run  # noqa: E402

if TYPE_CHECKING:
    from rr_scale.train.examine import Examiner, Played

_COLUMNS = (
    *("exp_name", "env_name", "seed", "policy", "env_step"),
    *("episode", "episode_seed", "return", "length", "success"),
)


def main(arguments: list[str]) -> int:
    """Evaluates; returns the exit status."""
    try:
        _evaluate(_read_arguments(arguments))
    except (UserError, OSError) as error:
        print("evaluate:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


def _read_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run_dir", type=Path, help="folder of a run: run.json and policies/")
    parser.add_argument("--policy", choices=("last", "best"), default="last")
    parser.add_argument("--episodes", type=int, help="per policy (default: as in training)")
    parser.add_argument(
        "--seed", type=int, help="new episodes, of this seed (default: those of training)"
    )
    parser.add_argument("--lanes", default="", help="seeds of the run to evaluate, 0,1 (all)")
    parser.add_argument("--out", type=Path, help="CSV file to write, one row per episode")
    parser.add_argument("--video", type=Path, help="film of one episode to write, .mp4 or .gif")
    parser.add_argument(
        "--film", type=int, default=0, help="which episode of the first policy is filmed (0)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite --out and --video")
    options = parser.parse_args(arguments)
    words = options.lanes.split(",") if options.lanes else []
    if not all(word.strip().isdecimal() for word in words):
        parser.error(f"--lanes takes seeds with commas between them, got '{options.lanes}'")
    options.lanes = [int(word) for word in words]
    for name in ("episodes", "seed", "film"):
        least = 1 if name == "episodes" else 0
        if (value := getattr(options, name)) is not None and value < least:
            parser.error(f"--{name} must be at least {least}, got {value}")
    return options


def _evaluate(options: argparse.Namespace) -> None:
    run = read_run(options.run_dir)
    if run is None:
        raise UserError(f"{options.run_dir} holds no run (no {NAME})")
    for path in (options.out, options.video):
        _check_target(path, options.run_dir, options.force)
    renderer = None
    if options.video:
        video.check_path(options.video)
        # Before minutes of evaluation, not after them.
        renderer = Renderer(run.config.env_name, run.config.action_repeat)
    threads, devices = run.recorded_layout()
    platform.prepare(threads, devices, len(configure.lanes(run.config)))
    # jax starts after the process is settled.
    from rr_scale.train.examine import Examiner

    platform.set_matmul_precision(run.config.matmul_precision)
    examiner = Examiner(run, options.policy, options.lanes, options.seed)
    episodes = options.episodes or run.config.eval_episodes
    played = examiner.play(episodes)
    print(_table(played, run, options.policy))
    if options.seed is None and episodes >= run.config.eval_episodes:
        print(_comparison(played, run.config.eval_episodes))
    if options.out:
        durable.replace_bytes(options.out, _csv(played, run, options.policy).encode())
        print(options.out)
    if renderer:
        _film(renderer, examiner, options)


def _check_target(path: Path | None, run_dir: Path, force: bool) -> None:
    if path is None:
        return
    if run_dir.resolve() in path.resolve().parents:
        raise UserError(f"{path} lies in the folder of the run, which is left alone")
    if not path.resolve().parent.is_dir():
        raise UserError(f"{path.parent} is no folder")
    if path.is_dir() or (path.exists() and not force):
        raise UserError(f"{path} exists{'' if path.is_dir() else '; --force overwrites it'}")


def _film(renderer: Renderer, examiner: Examiner, options: argparse.Namespace) -> None:
    policy = examiner.policies[0]
    seed, actions = examiner.actions(options.film)
    drawn = renderer.film(seed, actions, options.video)
    print(
        f"{options.video}: {policy.lane.exp_name}, seed {policy.lane.seed}, episode "
        f"{options.film}, return {drawn:.1f}, drawn with {renderer.backend}"
    )


def _by_policy(played: list[Played]) -> list[list[Played]]:
    groups: dict[int, list[Played]] = {}
    for one in played:
        groups.setdefault(id(one.policy), []).append(one)
    return list(groups.values())


def _table(played: list[Played], run: RunFile, kind: str) -> str:
    """One line per policy, then mean and deviation over policies."""
    lines = [("experiment", "seed", "env step", "mean", "std", "min", "max", "length", "success")]
    means = []
    for group in _by_policy(played):
        values = np.array([one.value for one in group])
        policy = group[0].policy
        means.append(values.mean())
        spread = (values.mean(), values.std(), values.min(), values.max())
        lines.append(
            (
                policy.lane.exp_name,
                str(policy.lane.seed),
                str(policy.facts["env_step"]),
                *(f"{value:.1f}" for value in spread),
                f"{np.mean([one.length for one in group]):.1f}",
                _share([one.success for one in group]),
            )
        )
    deviation = f", std {np.std(means, ddof=1):.1f}" if len(means) > 1 else ""
    return "\n".join(
        [
            f"{run.config.env_name}: {kind} policies, {len(played) // len(means)} episodes each",
            *align(lines),
            f"mean over {len(means)} policies: {np.mean(means):.1f}{deviation}",
        ]
    )


def _share(successes: list[float]) -> str:
    return "-" if math.isnan(successes[0]) else f"{np.mean(successes):.2f}"


def _comparison(played: list[Played], count: int) -> str:
    """Whether the first `count` episodes gave what training found."""
    worst = 0.0
    for group in _by_policy(played):
        mean = float(np.mean([one.value for one in group[:count]]))
        recorded = group[0].policy.facts["value"]
        same = mean == recorded or (math.isnan(mean) and math.isnan(recorded))
        worst = max(worst, 0.0 if same else abs(mean - recorded))
    first = f"the first {count} episodes of each are those of training's evaluation"
    if worst == 0:
        return f"{first}: the mean returns are the same, bit for bit"
    return f"{first}: mean returns differ by up to {worst:.3g} (another machine or layout?)"


def _csv(played: list[Played], run: RunFile, kind: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for one in played:
        writer.writerow(
            (
                one.policy.lane.exp_name,
                run.config.env_name,
                one.policy.lane.seed,
                kind,
                one.policy.facts["env_step"],
                one.episode,
                one.seed,
                repr(one.value),
                int(one.length),
                "" if math.isnan(one.success) else int(one.success),
            )
        )
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env python3
"""Checks that a finished run learned: its return against that of random actions.

    python scripts/check_demo.py SAVE_DIR --multiple 5

Exit status: 0 learned, 1 did not, 2 wrong input.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np

# So that it also runs from a checkout that was never installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rr_scale.analysis.load import Row, lane_curves, read_results  # noqa: E402
from rr_scale.arguments import Parser  # noqa: E402
from rr_scale.errors import UserError  # noqa: E402


def main(arguments: list[str]) -> int:
    """Prints both returns; returns the exit status."""
    parser = Parser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("save_dir", type=Path, help="folder with results.csv")
    parser.add_argument("--multiple", type=float, default=5.0, help="of the random return")
    parser.add_argument("--episodes", type=int, default=10, help="random episodes to measure")
    try:
        options = parser.parse_args(arguments)
        if options.episodes < 1:
            raise UserError("--episodes must be at least 1")
        rows = read_results(options.save_dir / "results.csv")
        trained = final_returns(rows)
        chance = random_return(rows[-1], options.episodes)
        if chance <= 0:
            raise UserError(f"random return {chance:.1f} is not positive: a multiple says nothing")
    except UserError as error:
        print(f"check_demo: {error}", file=sys.stderr)
        return 2
    mean, wanted = float(np.mean(trained)), options.multiple * chance
    print(f"final return, mean over {len(trained)} seeds: {mean:.2f}")
    print(f"random actions, mean over {options.episodes} episodes: {chance:.2f}")
    print(f"ratio {mean / chance:.2f}, wanted {options.multiple:g}")
    return 0 if mean >= wanted else 1


def final_returns(rows: list[Row]) -> list[float]:
    """The last return of each seed, NaN for one that stopped before the others.

    A NaN makes the mean NaN, which is not as good as any multiple.
    """
    curves = lane_curves(rows, "avg_return")
    if not curves:
        raise UserError("results.csv holds no avg_return")
    last_step = max(max(curve) for curve in curves.values())
    return [curve.get(last_step, math.nan) for curve in curves.values()]


def random_return(row: Row, episodes: int) -> float:
    """Mean return of uniform actions in the task of `row` (not of step 0), at its action repeat."""
    # Late, because it loads a simulator.
    from rr_scale.envs.suites import make

    environment = make(row.env_name, row.frames // max(row.env_step, 1))
    draw = np.random.default_rng(0)
    returns = []
    for episode in range(episodes):
        environment.reset(episode)
        total, ended = 0.0, False
        while not ended:
            step = environment.step(draw.uniform(-1, 1, environment.spec.action_size))
            total += step.reward
            ended = step.terminated or step.truncated
        returns.append(total)
    environment.close()
    return float(np.mean(returns))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

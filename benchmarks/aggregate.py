#!/usr/bin/env python3
"""Times the bootstrap at the size of a paper: 15 tasks x 10 seeds x 100 evaluations.

python benchmarks/aggregate.py
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

# So that it also runs from a checkout that was never installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rr_scale.analysis.statistics import REPS, STATISTICS, estimate  # noqa: E402


def main() -> None:
    """Prints seconds per statistic: on the clock, and of all cores together."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--reps", type=int, default=REPS)
    parser.add_argument("--threads", type=int, help="default: one per core")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    shape = options.seeds, options.evaluations
    tasks = [rng.normal(size=shape) for _ in range(options.tasks)]
    print(f"{'statistic':16} {'seconds':>8} {'CPU seconds':>12}")
    together = np.zeros(2)
    for name in STATISTICS:
        clock, cpu = time.perf_counter(), time.process_time()
        estimate(tasks, [name], reps=options.reps, threads=options.threads)
        clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
        print(f"{name:16} {clock:8.1f} {cpu:12.1f}")
        together += clock, cpu
    print(f"{'together':16} {together[0]:8.1f} {together[1]:12.1f}")


if __name__ == "__main__":
    main()

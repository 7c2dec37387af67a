#!/usr/bin/env python3
"""Times the report at the size of a paper: 150 runs, 100 evaluations each.

  python benchmarks/report_page.py

Makes up two experiments on 15 tasks with 5 seeds and ten diagnostics, has
scripts/report.py write the page about them, and opens it in chromium a few
times. Exit status 1 if the page is over a limit, 2 without a browser.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

# So that it also runs from a checkout that was never installed.
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.browser import browser, why_not  # noqa: E402
from benchmarks.tables import Table, render  # noqa: E402
from rr_scale.sweep.suites import SUITES  # noqa: E402

MOST_MB, MOST_S = 10.0, 3.0
_HEADER = "exp_name,env_name,seed,metric,env_step,frames,updates,value"
_RATIOS = (2, 16)
_SEEDS = 5
_STEPS = 500_000
_EVALUATIONS, _LOGGED = 100, 500
_DIAGNOSTICS = [f"train/diagnostic_{index}" for index in range(10)]


def main() -> int:
    """Prints what the page costs; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--opened", type=int, default=5, help="times (%(default)s)")
    options = parser.parse_args()
    if reason := why_not():
        print(reason, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        runs, page = Path(folder) / "runs", Path(folder) / "page.html"
        read = _write_runs(runs) / 1e6
        clock, cpu = _write_page(runs, page)
        size = page.stat().st_size / 1e6
        opened = [_open(page) for _ in range(options.opened)]
    shown, busy = (statistics.median(times) for times in zip(*opened, strict=True))
    rows = [
        ["CSV read, MB", read, None],
        ["page written, s", clock, None],
        ["page written, CPU s", cpu, None],
        ["page, MB", size, MOST_MB],
        ["page opened, s", shown, MOST_S],
        ["page opened, main thread busy, s", busy, None],
    ]
    print(render(Table(f"median of {options.opened} openings", ["", "measured", "most"], rows)))
    return int(size > MOST_MB or shown > MOST_S)


def _write_runs(root: Path) -> int:
    """Thirty run folders; bytes of CSV."""
    rng = np.random.default_rng(0)
    written = 0
    for ratio in _RATIOS:
        for task in SUITES["dmc15-500k"].tasks:
            place = root / f"rr{ratio}-{task}"
            place.mkdir(parents=True)
            written += _write_csv(place / "results.csv", rng, ratio, task, ["avg_return"])
            written += _write_csv(place / "metrics.csv", rng, ratio, task, _DIAGNOSTICS)
            config = {
                "exp_name": f"made-up-rr{ratio}",
                "env_name": task,
                "preset": "sr_sac",
                "seed": 0,
                "num_seeds": _SEEDS,
                "updates_per_step": ratio,
                "max_steps": _STEPS,
                "start_training": 0,
            }
            (place / "run.json").write_text(json.dumps({"config": config, "sessions": []}))
    return written


def _write_csv(
    path: Path, rng: np.random.Generator, ratio: int, task: str, metrics: list[str]
) -> int:
    count = _EVALUATIONS if metrics == ["avg_return"] else _LOGGED
    lines = [_HEADER]
    for step in np.linspace(0, _STEPS, count + 1)[1:].astype(int).tolist():
        for seed in range(_SEEDS):
            level = 1000 * (1 - np.exp(-step / 1e5))
            for metric in metrics:
                value = float(level * rng.uniform(0.7, 1.0))
                place = f"made-up-rr{ratio},{task},{seed},{metric}"
                lines.append(f"{place},{step},{step},{step * ratio},{value!r}")
    return path.write_text("\n".join(lines) + "\n")


def _write_page(runs: Path, page: Path) -> tuple[float, float]:
    """Seconds on the clock, and of all cores together."""
    command = [sys.executable, str(ROOT / "scripts" / "report.py"), str(runs), "--out", str(page)]
    clock, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - clock, cpu


def _open(page: Path) -> tuple[float, float]:
    """Seconds until the page is loaded and painted, and of its main thread; a fresh browser."""
    with browser() as driver:
        driver.execute_cdp_cmd("Performance.enable", {})
        driver.get(page.as_uri())
        # The script runs before the load event; paints come with the next frame.
        loaded, painted, ready = driver.execute_async_script(
            """const done = arguments[0];
               requestAnimationFrame(() => setTimeout(() => {
                 const load = performance.getEntriesByType('navigation')[0].loadEventEnd;
                 const paints = performance.getEntriesByType('paint').map(one => one.startTime);
                 done([load, Math.max(0, ...paints), document.documentElement.dataset.ready]);
               }, 100))"""
        )
        if ready != "true":
            raise RuntimeError(f"{page} did not become ready")
        found: dict[str, Any] = driver.execute_cdp_cmd("Performance.getMetrics", {})
        busy = {one["name"]: one["value"] for one in found["metrics"]}["TaskDuration"]
    return max(loaded, painted) / 1000, busy


if __name__ == "__main__":
    sys.exit(main())

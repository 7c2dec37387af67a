"""From the start of the process to the first gradient update, with and without compiled programs.

The command line evaluates at step 0; the run times that itself, and it is
shown apart. The warm-up steps before the first update are included.
"""

from __future__ import annotations

import tempfile

from benchmarks.report import Context, Report, median, progress
from benchmarks.tables import Table
from benchmarks.training_run import ONE_AFTER_ANOTHER, Run, Seen, train

PRESET = "sr_sac"


def section(context: Context) -> Report:
    """With an empty and with a filled compilation cache, in turns."""
    options = context.options
    seen: dict[str, list[Seen]] = {"empty": [], "filled": []}
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory(prefix="benchmark_cache_") as cache:
            run = Run.of(
                options,
                settings=(*options.settings, *ONE_AFTER_ANOTHER),
                preset=PRESET,
                seeds=options.start_seeds,
                # The first row with updates is that of the first one.
                replay_ratio=1,
                log_interval=options.start_training + 1,
                windows=0,
                variables=(("JAX_COMPILATION_CACHE_DIR", cache),),
            )
            for state, runs in seen.items():
                runs.append(train(run))
                progress(f"{state} cache: {runs[-1].first_update_s:.2f} s")
    rows = []
    for state, runs in seen.items():
        total = median([one.first_update_s for one in runs])
        evaluation = median([one.first_eval_s for one in runs])
        rest = median([one.first_update_s - one.first_eval_s for one in runs])
        rows.append([state, rest, evaluation, total])
    raw = {
        state: [
            {"first_update_s": one.first_update_s, "evaluation_s": one.first_eval_s} for one in runs
        ]
        for state, runs in seen.items()
    }
    title = (
        f"cold start on {options.env_name} ({PRESET}, {options.start_seeds} seeds, "
        f"{options.start_training} warm-up steps): seconds to the first update"
    )
    columns = ["compilation cache", "without the evaluation", "evaluation at step 0", "together"]
    return Report([Table(title, columns, rows)], raw)

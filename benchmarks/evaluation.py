"""What share of a run's wall time goes into evaluation, at the usual interval.

One evaluation and one env step are timed in one run that evaluates during
warm-up; the share at the usual interval is computed from both.
"""

from __future__ import annotations

from benchmarks.report import Context, Report, median, progress
from benchmarks.tables import Table, percent
from benchmarks.training_run import ONE_AFTER_ANOTHER, Run, train

PRESET = "sr_sac"
_LOG_INTERVAL = 5  # env steps; with ten seeds on a few cores already some seconds of updates


def section(context: Context) -> Report:
    """Every number of seeds."""
    options = context.options
    rows, raw = [], []
    for seeds in options.evaluation_seeds:
        seen = train(
            Run.of(
                options,
                settings=(*options.settings, *ONE_AFTER_ANOTHER),
                preset=PRESET,
                seeds=seeds,
                log_interval=_LOG_INTERVAL,
                windows=3 * options.repeats,
                # The steps up to the first update are cheap: the evaluations come there.
                eval_interval=max(1, options.start_training // options.repeats),
                eval_episodes=options.evaluation_episodes,
            )
        )
        evaluations = seen.evaluations_s
        steps = [(window.wall_s - window.eval_s) / window.env_steps for window in seen.windows]
        evaluation, training = median(evaluations), median(steps) * options.evaluation_interval
        share = evaluation / (evaluation + training)
        progress(f"{seeds} seeds: {percent(share)}")
        rows.append([seeds, evaluation, 1000 * median(steps), percent(share)])
        raw.append(
            {
                "seeds": seeds,
                "evaluations_s": evaluations,
                "env_steps_s": steps,
                "share": share,
                "layout": seen.layout.name,
            }
        )
    title = (
        f"evaluation on {options.env_name} ({PRESET}): {options.evaluation_episodes} episodes "
        f"per seed every {options.evaluation_interval:,} env steps"
    )
    columns = ["seeds", "one evaluation, s", "one env step, ms", "share of wall time"]
    return Report([Table(title, columns, rows)], raw)

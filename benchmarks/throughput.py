"""Seed-updates per second, alone and in a whole run, beside the limit."""

from __future__ import annotations

from typing import Any

from benchmarks.options import Layout, Options
from benchmarks.processes import work
from benchmarks.report import Context, Report, median, progress, rates, shown_layout
from benchmarks.tables import Table, percent
from benchmarks.training_run import Run, train

COLUMNS = [
    "preset",
    "seeds",
    "ratio",
    "threads x devices",
    "updates/s",
    "GFLOP/s",
    "of limit",
    "whole run/s",
    "of limit",
]


def section(context: Context) -> Report:
    """Every preset, layout, number of seeds and replay ratio."""
    options = context.options
    raw = []
    before = context.limit.measure()
    for preset in options.presets:
        for layout in options.layouts:
            for seeds in options.seeds:
                group = _group(options, preset, layout, seeds)
                after = context.limit.measure()
                raw += [_beside(entry, before, after) for entry in group]
                before = after
    rows = [
        [
            entry["preset"],
            entry["seeds"],
            entry["replay_ratio"],
            _layouts(entry),
            entry["update_only"]["median"],
            entry["flops_per_update"] * entry["update_only"]["median"] / 1e9,
            percent(entry["update_only"]["of_limit"]),
            entry["whole_run"]["median"],
            percent(entry["whole_run"]["of_limit"]),
        ]
        for entry in raw
    ]
    title = f"throughput on {options.env_name}: gradient updates per second, summed over seeds"
    notes = [
        "updates/s: Engine.step alone; whole run: train_parallel.py, acting, stepping and "
        "logging included",
        "of limit: matrix-product operations per second over the limit measured before and after",
    ]
    return Report([Table(title, COLUMNS, rows, notes)], raw)


def time_updates(
    options: Options,
    preset: str,
    seeds: int,
    replay_ratios: tuple[int, ...],
    layout: Layout = Layout(),  # noqa: B008 - immutable
    **changes: Any,
) -> dict[str, Any]:
    """Timings of updates alone, in a process of its own; see `jobs/updates.py`.

    Args:
      options: what is not said here.
      preset, seeds, replay_ratios, layout: what is timed.
      **changes: other arguments of the job.
    """
    request = {
        "preset": preset,
        "settings": options.settings,
        "env_name": options.env_name,
        "seeds": seeds,
        "replay_ratios": replay_ratios,
        "capacity": options.capacity,
        "ages": [options.stored],
        "seconds": options.seconds,
        "repeats": options.repeats,
    }
    return work("updates", {**request, **changes}, layout)


def _group(options: Options, preset: str, layout: Layout, seeds: int) -> list[dict[str, Any]]:
    measured = time_updates(options, preset, seeds, options.replay_ratios, layout)
    entries = []
    for timing in measured["timings"]:
        ratio = timing["replay_ratio"]
        alone = rates(timing["steps"] * ratio * seeds, timing["seconds"])
        progress(f"{preset}, {seeds} seeds, ratio {ratio}: {median(alone):.4g} updates/s")
        steps = max(1, round(options.seconds * median(alone) / (seeds * ratio)))
        whole = train(
            Run.of(
                options,
                preset=preset,
                seeds=seeds,
                replay_ratio=ratio,
                log_interval=steps,
                windows=options.repeats,
                layout=layout,
            )
        )
        run_rates = whole.rates(seeds)
        progress(f"  in a whole run: {median(run_rates):.4g} updates/s")
        entries.append(
            {
                "preset": preset,
                "seeds": seeds,
                "replay_ratio": ratio,
                "asked_layout": layout.name,
                "update_layout": shown_layout(measured),
                "run_layout": whole.layout.name,
                "load_average": measured["load_average"],
                "flops_per_update": measured["flops_per_update"],
                "first_step_s": timing["first_step_s"],
                "update_only": {"rates": alone, "median": median(alone)},
                "whole_run": {
                    "rates": run_rates,
                    "median": median(run_rates),
                    "windows": [window._asdict() for window in whole.windows],
                },
            }
        )
    return entries


def _layouts(entry: dict[str, Any]) -> str:
    """That of the updates, and that of the whole run if it chose another."""
    names = dict.fromkeys([entry["update_layout"], entry["run_layout"]])
    return " / ".join(names)


def _beside(entry: dict[str, Any], before: float, after: float) -> dict[str, Any]:
    """The entry with its share of the limit."""
    limit = (before + after) / 2
    for kind in ("update_only", "whole_run"):
        work_per_s = entry["flops_per_update"] * entry[kind]["median"]
        entry[kind]["of_limit"] = work_per_s / limit
    return {**entry, "limit_before": before, "limit_after": after}

"""How the cost of one seed-update grows with seeds, replay ratio, width and the run's age."""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.options import Options, run_config
from benchmarks.report import Context, Report, median, progress, rates
from benchmarks.tables import Table, percent
from benchmarks.throughput import time_updates

PRESET = "sr_sac"


def section(context: Context) -> Report:
    """One table per thing that grows; the limit is measured before and after each."""
    options = context.options
    seeds = sorted(options.seeds)[min(1, len(options.seeds) - 1)]
    ratio = sorted(options.replay_ratios)[len(options.replay_ratios) // 2]
    plan = {
        "seeds": [{"seeds": value, "ratios": (ratio,)} for value in options.seeds],
        "replay ratio": [{"seeds": seeds, "ratios": options.replay_ratios}],
        "width": [{"seeds": seeds, "ratios": (ratio,), "width": v} for v in options.widths],
        "age": [{"seeds": 1, "ratios": (0, ratio), "ages": options.ages}],
    }
    tables, raw = [], {}
    before = context.limit.measure()
    for what, measurements in plan.items():
        entries = [entry for one in measurements for entry in _measure(options, **one)]
        after = context.limit.measure()
        for entry in entries:
            entry |= {"limit_before": before, "limit_after": after}
        tables.append(_table(what, entries, (before + after) / 2))
        raw[what], before = entries, after
    return Report(tables, raw)


def _measure(
    options: Options,
    seeds: int,
    ratios: tuple[int, ...],
    width: int | None = None,
    ages: tuple[int, ...] = (),
) -> list[dict[str, Any]]:
    """Timings of one agent; an age asks for a ring that holds it all."""
    if width:
        paths = [f"agent.{part}.network.hidden" for part in ("actor", "critic")]
        wide = tuple((path, f"{width},{width}") for path in paths)
        options = dataclasses.replace(options, settings=(*options.settings, *wide))
    changes = {"ages": ages, "capacity": options.age_capacity} if ages else {}
    measured = time_updates(options, PRESET, seeds, ratios, options.layouts[0], **changes)
    config = run_config(PRESET, options.settings)
    entries = []
    for timing in measured["timings"]:
        ratio = timing["replay_ratio"]
        steps = rates(timing["steps"], timing["seconds"])
        entry = {
            **timing,
            "seeds": seeds,
            "replay ratio": ratio,
            "width": config.agent.critic.network.hidden[0],
            "steps_per_s": steps,
            "ms_per_step": 1000 / median(steps),
            "ms_per_update": 1000 / (median(steps) * ratio * seeds) if ratio else None,
            "flops_per_update": measured["flops_per_update"],
            "load_average": measured["load_average"],
        }
        progress(
            f"{seeds} seeds, ratio {ratio}, width {entry['width']}, age {timing['age']}: "
            f"{entry['ms_per_step']:.4g} ms per step"
        )
        entries.append(entry)
    return entries


def _table(what: str, entries: list[dict[str, Any]], limit: float) -> Table:
    first = next(entry for entry in entries if entry["ms_per_update"])
    fixed = [one for one in ("seeds", "replay ratio") if one != what]
    rows = []
    for entry in entries:
        cells: list[Any] = [entry[what], *(entry[one] for one in fixed)]
        cost = entry["ms_per_update"]
        if cost:
            share = entry["flops_per_update"] * 1000 / cost / limit
            cells += [entry["ms_per_step"], cost, cost / first["ms_per_update"], percent(share)]
        else:
            cells += [entry["ms_per_step"], None, None, "-"]
        rows.append(cells)
    costs = ["ms per step", "ms per seed-update", "to first", "of limit"]
    notes = ["a ratio of 0 stores a transition and updates nothing"] if what == "age" else []
    return Table(
        f"growth with {what} ({PRESET}, updates alone)", [what, *fixed, *costs], rows, notes
    )

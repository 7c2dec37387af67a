"""Tables for people: what a sweep will do, and how far it is."""

from __future__ import annotations

from collections.abc import Sequence

from rr_scale.columns import align
from rr_scale.sweep import rates
from rr_scale.sweep.folder import SweepFolder
from rr_scale.sweep.plan import Job
from rr_scale.sweep.rates import Measurement, estimate
from rr_scale.sweep.record import Status, status

_LONGEST_NOTE = 90


def plan_table(jobs: Sequence[Job], measurements: Sequence[Measurement], cpus: int) -> str:
    """Jobs with what they cost; `~` marks an estimate from something similar, `?` none."""
    rows = [("job", "lanes", "env steps", "updates", "hours")]
    total, unknown, sources = 0.0, 0, set()
    for job in jobs:
        config = job.config
        updates = max(0, config.max_steps - config.start_training) * config.updates_per_step
        guess = estimate(config, measurements, cpus)
        if guess is None:
            unknown += 1
        else:
            total += guess.hours
            sources.add(guess.source)
        hours = "?" if guess is None else str(guess)
        row = (job.name, str(job.num_lanes), str(config.max_steps), f"{updates:.0f}", hours)
        rows.append(row)
    lanes = sum(job.num_lanes for job in jobs)
    lines = [
        *align(rows, left=(0,)),
        "",
        f"{_count(len(jobs), 'job')} of {_count(cpus, 'CPU')}, {_count(lanes, 'run')}",
    ]
    if len(jobs) > unknown:
        lines.append(f"{total:.3g} hours in all, one job after the other")
        lines.append(f"measured: {'; '.join(sorted(sources))}")
    if unknown:
        lines.append(f"{_count(unknown, 'job')} like nothing that was measured (see --rates)")
    return "\n".join(lines)


def status_table(sweep: SweepFolder) -> str:
    """Every job with its state, and a line about all."""
    found = [status(sweep, job) for job in sweep.jobs]
    rows = [("job", "state", "env step", "of", "hours", "left", "note")]
    left = _hours_left(sweep, found)
    for one, hours in zip(found, left, strict=True):
        rows.append(
            (
                one.job.name,
                one.state,
                str(one.env_step),
                str(one.job.config.max_steps),
                f"{one.wall_s / 3600:.3g}",
                "?" if hours is None else f"{hours:.3g}",
                _note(one),
            )
        )
    return "\n".join([*align(rows, left=(0, 1, 6)), "", summary(found, left)])


def summary(found: Sequence[Status], left: Sequence[float | None]) -> str:
    """One line: how many jobs are in which state, and how long it will take."""
    states = ("done", "running", "queued", "waiting", "failed")
    counts = {state: sum(one.state == state for one in found) for state in states}
    line = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    open_hours = [
        hours
        for one, hours in zip(found, left, strict=True)
        if one.state in ("running", "queued", "waiting")
    ]
    known = [hours for hours in open_hours if hours is not None]
    if known:
        at_once = max(1, counts["running"])
        more = f" and {_count(len(open_hours) - len(known), 'job')} of unknown length"
        line += f"; {sum(known) / at_once:.3g} hours left with {at_once} at once"
        line += more if len(known) < len(open_hours) else ""
    failed = [one.job.name for one in found if one.state == "failed"]
    return line + (f"\nfailed: {', '.join(failed)}" if failed else "")


def _hours_left(sweep: SweepFolder, found: Sequence[Status]) -> list[float | None]:
    """Per job, from its own speed, or else from that of the sweep's jobs that are alike."""
    measured = rates.read_rates([sweep.path / "runs"]) if (sweep.path / "runs").is_dir() else []
    hours: list[float | None] = []
    for one in found:
        own = one.left_s
        if own is not None:
            hours.append(own / 3600)
            continue
        guess = estimate(one.job.config, measured)
        share = 1 - one.env_step / one.job.config.max_steps
        hours.append(None if guess is None else guess.hours * share)
    return hours


def _note(one: Status) -> str:
    text = one.note
    if one.failures and one.state != "done":
        text = f"{_count(one.failures, 'failure')}{': ' if text else ''}{text}"
    return text if len(text) <= _LONGEST_NOTE else f"{text[: _LONGEST_NOTE - 3]}..."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"

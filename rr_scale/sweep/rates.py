"""How long a run will take, from what was measured: benchmarks and runs.

Time is counted per env step of one lane: a run of S lanes and T steps takes
S x T times that. It is taken from the measurements
that are most alike, and always of the same networks and batch size.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rr_scale import configure, fields
from rr_scale.config import AgentConfig, RunConfig
from rr_scale.errors import UserError
from rr_scale.presets import preset
from rr_scale.runfile import read_run
from rr_scale.sweep.record import last_rows


class Measurement(NamedTuple):
    """The speed of one run."""

    kind: str  # equal for runs whose updates cost the same
    env_name: str
    num_lanes: int
    replay_ratio: float
    seconds: float  # per env step of one lane
    cpus: int  # threads of XLA; 0 on an accelerator
    source: str


class Estimate(NamedTuple):
    """How long a run takes."""

    hours: float
    rough: bool  # measured on another task, other lanes, another replay ratio or other CPUs
    source: str

    def __str__(self) -> str:
        return f"{'~' if self.rough else ''}{self.hours:.3g}"


def kind_of(config: RunConfig) -> str:
    """What the cost of an update depends on, the task apart."""
    agent = fields.to_json(config.agent, AgentConfig)
    return json.dumps([agent, config.replay.batch_size], sort_keys=True)


def read_rates(paths: Iterable[Path]) -> list[Measurement]:
    """Measurements in files of `scripts/benchmark.py`, run folders and sweep folders.

    Raises:
      UserError: a path that is none of these.
    """
    found: list[Measurement] = []
    for path in paths:
        if path.is_dir():
            found += [one for file in sorted(path.rglob("run.json")) for one in from_run(file)]
        else:
            found += _from_benchmark(path)
    return found


def from_run(run_file: Path) -> list[Measurement]:
    """The speed of a run from its folder, evaluation and start-up included; [] if unknown."""
    try:
        run = read_run(run_file.parent)
    except UserError:
        return []
    if run is None:
        return []
    config = run.config
    lanes = configure.lanes(config)
    _, step, wall_s = last_rows(run_file.parent / lanes[0].folder)
    if step <= config.start_training:
        return []
    seconds = wall_s / (step * len(lanes))
    ratio = config.updates_per_step
    machine = run.sessions[-1]
    source = f"{run_file.parent.name} ({_device(machine)})"
    return [
        Measurement(
            kind_of(config), config.env_name, len(lanes), ratio, seconds, _cpus(machine), source
        )
    ]


def estimate(
    config: RunConfig, measurements: Sequence[Measurement], cpus: int = 0
) -> Estimate | None:
    """How long a run takes from start to end; None if nothing alike was measured.

    Args:
      config: of the run.
      measurements: on machines like the one that will run it.
      cpus: how many it will have, if it has no accelerator; 0: as measured. Fewer
        take proportionally longer.
    """
    lanes, ratio = len(configure.lanes(config)), config.updates_per_step
    alike = [one for one in measurements if one.kind == kind_of(config)]
    same_task = [one for one in alike if one.env_name == config.env_name]
    group = same_task or alike
    if not group:
        return None
    nearest = min(abs(math.log(one.num_lanes / lanes)) for one in group)
    group = [one for one in group if abs(math.log(one.num_lanes / lanes)) == nearest]
    same_cpus = not cpus or all(one.cpus in (0, cpus) for one in group)
    if not same_cpus:
        group = [one._replace(seconds=one.seconds * (one.cpus or cpus) / cpus) for one in group]
    seconds = _at_ratio(group, ratio)
    measured = any(one.replay_ratio == ratio for one in group)
    hours = seconds * lanes * config.max_steps / 3600
    source = ", ".join(dict.fromkeys(one.source for one in group))
    exact = bool(same_task) and measured and nearest == 0 and same_cpus
    return Estimate(hours, not exact, source)


def _at_ratio(group: Sequence[Measurement], ratio: float) -> float:
    """Seconds per env step: measured, or on the line through the two nearest ratios."""
    by_ratio: dict[float, list[float]] = {}
    for one in group:
        by_ratio.setdefault(one.replay_ratio, []).append(one.seconds)
    means = {key: sum(values) / len(values) for key, values in by_ratio.items()}
    if ratio in means:
        return means[ratio]
    near = sorted(means, key=lambda key: abs(key - ratio))[:2]
    if len(near) == 1:
        # Updates are taken to be all of the cost, so that it is rather too much.
        return means[near[0]] * max(1.0, ratio / near[0] if near[0] else 1.0)
    low, high = sorted(near)
    slope = max(0.0, (means[high] - means[low]) / (high - low))
    return max(means[low] + slope * (ratio - low), min(means.values()) * min(1.0, ratio / low))


def _from_benchmark(path: Path) -> list[Measurement]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        options = stored["options"]
        machine = stored["machine"]
        rows = stored["sections"].get("throughput", {}).get("raw", [])
        found = []
        for row in rows:
            config = preset(row["preset"])
            for name, text in options["settings"]:
                config = configure.set_path(config, name, text)
            ratio = float(row["replay_ratio"])
            seconds = ratio / float(row["whole_run"]["median"])
            found.append(
                Measurement(
                    kind_of(config),
                    options["env_name"],
                    int(row["seeds"]),
                    ratio,
                    seconds,
                    _cpus(machine),
                    f"{path.name} ({_device(machine)})",
                )
            )
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise UserError(f"{path}: not a file of scripts/benchmark.py ({error!r})") from None


def _cpus(machine: dict[str, Any]) -> int:
    if machine.get("device_platform") != "cpu":
        return 0
    return int(machine["threads"]) * int(machine["host_devices"])


def _device(machine: dict[str, Any]) -> str:
    cpus = _cpus(machine)
    return f"{machine.get('cpu')}, {cpus} threads" if cpus else str(machine.get("device_kind"))

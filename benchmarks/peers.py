"""The same work by another library, in turns with ours: sbx (stable-baselines3 in jax).

SAC at a replay ratio of 32, two critics, same widths and batch, on the same
Gymnasium task, with acting, stepping and storing. SBX trains one seed; ours is
measured at one seed and at several.
"""

from __future__ import annotations

import json
import os
from typing import Any

from benchmarks.options import Layout, Options, run_config
from benchmarks.processes import ROOT, environment, json_line
from benchmarks.report import Context, Report, median, progress
from benchmarks.tables import Table
from benchmarks.training_run import Run, train

REPLAY_RATIO = 32
PRESET = "sr_sac"


def section(context: Context) -> Report:
    """For every number of seeds the two in turns, as often as there are repeats."""
    options = context.options
    python = ROOT / options.peer_python
    if not os.access(python, os.X_OK):
        missing = f"peers: not measured, there is no {options.peer_python}"
        note = "`make bench-install` makes it; --peer_python names another"
        return Report([Table(missing, [], [], [note])], {"skipped": missing})
    pairs = [_in_turns(options, str(python), seeds) for seeds in options.seeds]
    rows = [
        [pair["seeds"], pair["ours"], pair["theirs"], pair["ours"] / pair["theirs"]]
        for pair in pairs
    ]
    table = Table(
        f"peers on {options.peer_env}: updates per second in a whole run, replay ratio "
        f"{REPLAY_RATIO}",
        ["seeds", f"ours ({PRESET}), all seeds", "SBX SAC, one seed", "ours / SBX"],
        rows,
        [f"in turns, {options.repeats} times each; versions {pairs[0]['versions']}"],
    )
    return Report([table], pairs)


def _in_turns(options: Options, python: str, seeds: int) -> dict[str, Any]:
    ours, theirs, versions = [], [], {}
    for _ in range(options.repeats):
        peer = _peer(options, python)
        versions = peer["versions"]
        theirs.append([window["updates"] / window["wall_s"] for window in peer["windows"]])
        steps_per_s = median(theirs[-1]) / REPLAY_RATIO
        # Windows of ours are counted in env steps; this makes them about as long.
        interval = max(1, round(options.seconds * steps_per_s / seeds))
        ours.append(_ours(options, seeds, interval))
        progress(f"{seeds} seeds: {median(ours[-1]):.4g}, SBX {median(theirs[-1]):.4g} updates/s")
    return {
        "seeds": seeds,
        "ours": median([median(rates) for rates in ours]),
        "theirs": median([median(rates) for rates in theirs]),
        "our_rates": ours,
        "their_rates": theirs,
        "versions": versions,
    }


def _peer(options: Options, python: str) -> dict[str, Any]:
    config = run_config(PRESET, options.settings)
    request = {
        "env_name": options.peer_env,
        "replay_ratio": REPLAY_RATIO,
        "train_freq": 1,
        "start_training": options.start_training,
        "capacity": options.capacity,
        "batch_size": config.replay.batch_size,
        "hidden": config.agent.critic.network.hidden,
        "critics": config.agent.critic.ensemble_size,
        "seconds": options.seconds,
        "windows": options.repeats,
    }
    script = str(ROOT / "benchmarks" / "peer_sbx.py")
    return json_line([python, script, json.dumps(request)], environment(Layout()))


def _ours(options: Options, seeds: int, interval: int) -> list[float]:
    seen = train(
        Run.of(
            options,
            env_name=options.peer_env,
            preset=PRESET,
            seeds=seeds,
            replay_ratio=REPLAY_RATIO,
            log_interval=interval,
            windows=options.repeats,
        )
    )
    return seen.rates(seeds)

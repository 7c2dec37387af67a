"""Lanes on several devices and in groups: where they go, and that nothing depends on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What `placed` makes of (lanes, group, devices) on four host devices:
# (devices used, lanes on each, group), group None where there is no room for one.
TABLE = {
    (1, 0, 0): (1, 1, 1),
    (4, 0, 0): (4, 1, 1),
    (5, 0, 0): (3, 2, 1),
    (6, 0, 0): (3, 2, 1),
    (10, 0, 0): (4, 3, 1),
    (10, 5, 2): (2, 5, 5),
    (10, 8, 2): (2, 5, 5),
    (3, 0, 1): (1, 3, 1),
}

PLACES = f"""
import json
from rr_scale.placement import placed
found = []
for asked in {list(TABLE)}:
    place = placed(*asked)
    found.append([place.mesh.size, place.per_device, place.group])
print(json.dumps(found))
"""

# Lanes over two devices (one with a copy to fill it), in pairs and all at once,
# against each lane alone.
LAYOUTS = """
import functools
import sys
sys.path[:0] = ["tests", "."]
import jax
import numpy as np
from helpers import *
from rr_scale.config import ResetRule
from rr_scale.engine import Engine
from rr_scale.placement import placed
from rr_scale.train import snapshot

SEEDS = [3, 11, 4, 7, 5]
CONFIG = dataclasses.replace(tiny("td3", SETTINGS), resets=(ResetRule(),))
ROWS = make_rows(30, 5)

@functools.cache
def engine_on(lanes, group, devices):
    place = placed(lanes, group, devices)
    return Engine(agent_of(CONFIG), [CONFIG.hp] * lanes, CONFIG.replay, 20, 3, 2, place)

def learned(lanes, group, devices, restore=False):
    seeds = [SEEDS[lane] for lane in lanes]
    engine = engine_on(len(seeds), group, devices)
    rows = jax.tree.map(lambda x: x[:, lanes], ROWS)
    state = fill(engine, engine.init(seeds), select(rows, slice(10)))
    state = train(engine, state, select(rows, slice(10, 20)), 3)
    if restore:
        saved = snapshot.to_saved(engine, state)
        # The ring wraps: only its last twenty rows exist.
        rows_, leaves = engine.reader.rows(state, 0, 20)(), engine.reader.leaves(state, 0, 20)
        state = snapshot.from_saved(engine, seeds, saved, rows_, 0, 20, leaves)
    state = train(engine, state, select(rows, slice(20, 30)), 3, 30)
    warm = engine.act(state, rows.observation[0], np.ones(len(seeds), bool), clock(7), "warmup")[0]
    best = engine.evaluate(engine.policy(state), rows.observation[:4].swapaxes(0, 1))
    state = engine.reset(state, 0, 1)
    means, state = engine.read_metrics(state)
    rows_ = engine.reader.rows(state, 10, 30)()
    everything = (snapshot.to_saved(engine, state), rows_, best, means)
    assert engine.finite(state).tolist() == [True] * len(seeds)
    return engine.placement.to_host(warm), everything

alone = [learned([lane], 0, 1) for lane in range(5)]
for lanes, group, devices in LAYOUTS:
    warm, together = learned(list(range(lanes)), group, devices)
    for lane in range(lanes):
        np.testing.assert_array_equal(warm[lane], alone[lane][0][0])
        assert_close(select(together, lane), select(alone[lane][1], 0), 1e-4)
    if lanes == 5:
        again = learned(list(range(lanes)), group, devices, restore=True)
        assert_identical(again[1], together)
print("as alone")
"""


def run(code: str, devices: int) -> str:
    """What a fresh process with this many host devices prints."""
    flags = [os.environ.get("XLA_FLAGS", ""), f"--xla_force_host_platform_device_count={devices}"]
    environment = {**os.environ, "XLA_FLAGS": " ".join(flags), "NPROC": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_lanes_are_dealt_out_evenly_and_no_device_holds_copies_only() -> None:
    assert dict(zip(TABLE, map(tuple, json.loads(run(PLACES, 4))), strict=True)) == TABLE


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("settings", "layouts"),
    [
        ({}, [[5, 2, 2], [2, 0, 2]]),
        pytest.param({}, [[5, 0, 2], [3, 3, 1]], marks=pytest.mark.slow),
        pytest.param({"replay.sampling": "prioritized"}, [[5, 0, 2]], marks=pytest.mark.slow),
        pytest.param(
            {"replay.sampling": "lap"}, [[5, 2, 2], [3, 3, 1], [2, 0, 2]], marks=pytest.mark.slow
        ),
    ],
    ids=["uniform", "uniform, others", "prioritized", "lap"],
)
def test_a_lane_learns_the_same_wherever_it_runs(settings: dict, layouts: list) -> None:
    given = f"SETTINGS, LAYOUTS = {settings!r}, {layouts!r}\n"
    assert run(given + LAYOUTS, 2).strip() == "as alone"


def test_asking_for_more_devices_than_there_are_is_an_error() -> None:
    code = "from rr_scale.placement import placed\nplaced(4, devices=3)"
    with pytest.raises(AssertionError, match="devices=3, but this process has 2"):
        run(code, 2)

"""Bytes per stored transition: counted from the ring's arrays, and seen by the system."""

from __future__ import annotations

import gc
import re
import statistics
from pathlib import Path
from typing import Any

import jax

from benchmarks.options import run_config
from rr_scale.agents.build import make_agent
from rr_scale.engine import Engine


def measure(
    preset: str,
    settings: list[list[str]],
    observation_size: int,
    action_size: int,
    rows: int,
    repeats: int,
) -> dict[str, Any]:
    """Compares a large ring with a small one.

    Args:
      preset, settings: of the agent.
      observation_size, action_size: O and A.
      rows: of the large ring; the small one has a tenth.
      repeats: how often each is allocated and freed; the median counts.

    Returns:
      counted: bytes per transition in the arrays of the device.
      host: bytes per transition of this process's resident memory; on a CPU
        the device's arrays are part of it. None where the system cannot say.
      device: bytes per transition by the device's own statistics; None on a CPU.
    """
    sizes = (observation_size, action_size)
    seen = {}
    # Largest first: what a ring leaves behind is then there for all.
    for capacity in (rows, rows // 10):
        engine = _engine(preset, settings, capacity, *sizes)
        ring = jax.tree.leaves(engine.shapes([0]).replay)
        arrays = sum(leaf.size * leaf.dtype.itemsize for leaf in ring)
        # The first one compiles, which costs memory that is not freed.
        jax.block_until_ready(engine.init([0]))
        freed = [_freed(engine) for _ in range(repeats)]
        seen[capacity] = (arrays, *map(_middle, zip(*freed, strict=True)))
    large, small = seen[rows], seen[rows // 10]
    slopes = [
        None if one is None or other is None else (one - other) / (rows - rows // 10)
        for one, other in zip(large, small, strict=True)
    ]
    return {"counted": slopes[0], "host": slopes[1], "device": slopes[2]}


def _engine(
    preset: str, settings: list[list[str]], capacity: int, observation_size: int, action_size: int
) -> Engine:
    config = run_config(preset, settings)
    agent = make_agent(config, observation_size, action_size)
    return Engine(agent, [config.hp], config.replay, capacity, observation_size, action_size)


def _middle(values: tuple[int | None, ...]) -> float | None:
    return None if None in values else float(statistics.median(values))  # type: ignore[type-var]


def _freed(engine: Engine) -> tuple[int | None, int | None]:
    """What giving up a state frees: resident and device memory."""
    state = jax.block_until_ready(engine.init([0]))
    held = _resident(), _on_device()
    del state
    gc.collect()
    left = _resident(), _on_device()
    return tuple(
        None if one is None or other is None else one - other
        for one, other in zip(held, left, strict=True)
    )


def _resident() -> int | None:
    try:
        found = re.search(r"^VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _on_device() -> int | None:
    device = jax.devices()[0]
    statistics = None if device.platform == "cpu" else device.memory_stats()
    return statistics.get("bytes_in_use") if statistics else None

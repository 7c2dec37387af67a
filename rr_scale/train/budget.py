"""How many transitions are kept, and whether they fit the device."""

from __future__ import annotations

import os

import jax

from rr_scale.config import RunConfig
from rr_scale.envs.spec import EnvSpec
from rr_scale.errors import UserError
from rr_scale.replay.ring import bytes_per_row

# Networks, optimiser states, compiled programs and their scratch space.
_HEADROOM = 0.1


def ring_capacity(config: RunConfig) -> int:
    """Rows per lane: what was asked for, but no more than will ever be inserted."""
    return min(config.replay.capacity, config.max_steps)


def check(config: RunConfig, spec: EnvSpec, num_lanes: int) -> None:
    """Refuses a replay buffer that does not fit the device's free memory.

    Raises:
      UserError: it does not; says how much is needed and what there is.
    """
    rows = ring_capacity(config) * num_lanes
    needed = rows * bytes_per_row(spec.observation_size, spec.action_size)
    free = _free_bytes()
    if free is not None and needed > free * (1 - _HEADROOM):
        raise UserError(
            f"replay_buffer_size={config.replay.capacity} needs {needed / 2**30:.1f} GiB for "
            f"{num_lanes} lanes of {ring_capacity(config)} transitions, the device has "
            f"{free / 2**30:.1f} GiB free; lower it, or train fewer seeds at once"
        )


def _free_bytes() -> int | None:
    device = jax.devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        if "bytes_limit" in stats:
            return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
        return None
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None

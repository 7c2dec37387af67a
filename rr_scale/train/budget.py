"""How many transitions are kept, and whether they fit the device."""

from __future__ import annotations

import re
from pathlib import Path

import jax

from rr_scale.config import RunConfig
from rr_scale.envs.spec import EnvSpec
from rr_scale.errors import UserError
from rr_scale.placement import placed
from rr_scale.replay import sampler
from rr_scale.replay.rings import STORAGES, nbytes

# Networks, optimiser states, compiled programs and their scratch space.
_HEADROOM = 0.1


def ring_capacity(config: RunConfig) -> int:
    """Rows per lane: what was asked for, but no more than will ever be inserted."""
    return min(config.replay.capacity, config.max_steps)


def check(config: RunConfig, spec: EnvSpec, num_lanes: int) -> None:
    """Refuses a replay buffer that does not fit the free memory of each device.

    Raises:
      UserError: it does not; says how much is needed and what there is. Or
        there are fewer devices than asked for.
    """
    place = placed(num_lanes, config.lanes_per_group, config.devices)
    # Host devices share the host's memory; accelerators have memory of their own.
    held = place.padded if place.platform == "cpu" else place.per_device
    sizes = (ring_capacity(config), spec.observation_size, spec.action_size)
    beside = sampler.nbytes(config.replay, sizes[0])
    needs = {storage: held * (nbytes(storage, *sizes) + beside) for storage in STORAGES}
    needed, smallest = needs[config.replay.storage], min(needs, key=needs.__getitem__)
    other = f", or --replay_storage={smallest} ({needs[smallest] / 2**30:.1f} GiB)"
    free = _free_bytes()
    if free is not None and needed > free * (1 - _HEADROOM):
        raise UserError(
            f"replay_buffer_size={config.replay.capacity} needs {needed / 2**30:.1f} GiB for "
            f"{held} lanes of {ring_capacity(config)} transitions, the device has "
            f"{free / 2**30:.1f} GiB free; lower it, or train fewer seeds at once"
            f"{other if needs[smallest] < needed else ''}"
        )


def _free_bytes() -> int | None:
    device = jax.devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        if "bytes_limit" in stats:
            return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
        return None
    return min(filter(None, (_available_bytes(), _cgroup_bytes())), default=None)


def _available_bytes() -> int | None:
    """What Linux could give without swapping: free memory and page cache."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.M)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _cgroup_bytes() -> int | None:
    """What a container's limit leaves."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text().strip()
        return int(limit) - int((folder / "memory.current").read_text())
    except (OSError, ValueError):
        return None

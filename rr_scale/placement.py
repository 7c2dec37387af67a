"""Where lanes run: on which devices, and how many side by side on each.

Lanes are dealt out to devices in blocks of one size. On a device, lanes run in
groups: the lanes of a group are one batched computation, the groups follow one
another. An accelerator wants all lanes in one group, so that its matrix units
are full; a CPU wants groups of one, because XLA's batched products are slower
there than the same products one by one (see docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rr_scale.errors import UserError

AXIS = "lanes"


class Placement(NamedTuple):
    """How S lanes are laid out."""

    mesh: Mesh  # one axis
    num_lanes: int  # S
    group: int  # lanes computed together

    @property
    def platform(self) -> str:
        """Kind of the devices: cpu, gpu, ..."""
        return str(self.mesh.devices.flat[0].platform)

    @property
    def per_device(self) -> int:
        """Lanes on each device; the last device's are filled up with copies."""
        return -(-self.num_lanes // self.mesh.size)

    @property
    def padded(self) -> int:
        """Lanes on all devices, copies included."""
        return self.per_device * self.mesh.size

    @property
    def lanes(self) -> NamedSharding:
        """For arrays with a leading lane axis."""
        return NamedSharding(self.mesh, PartitionSpec(AXIS))

    @property
    def shared(self) -> NamedSharding:
        """For what all lanes have in common."""
        return NamedSharding(self.mesh, PartitionSpec())

    @property
    def has_idle_lanes(self) -> bool:
        """Whether some device has copies that it need not compute.

        Within a group of several they are computed with the rest.
        """
        return self.padded > self.num_lanes and self.group == 1

    def index(self, lane: jax.Array) -> jax.Array:
        """Number of a device's `lane` among all lanes, inside a mapped program."""
        return jax.lax.axis_index(AXIS) * self.per_device + lane

    def to_device(self, tree: Any) -> Any:
        """Arrays of the host [S, ...], put where their lanes run."""
        return jax.device_put(jax.tree.map(self.pad, tree), self.lanes)

    def to_host(self, tree: Any) -> Any:
        """Arrays of the device as arrays of the host [S, ...]; waits for them."""
        return jax.tree.map(lambda array: array[: self.num_lanes], jax.device_get(tree))

    def pad(self, array: np.ndarray) -> np.ndarray:
        """[S, ...] -> [padded, ...], by repeating the last lane."""
        missing = self.padded - self.num_lanes
        return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array

    def program(
        self, block: Callable, arguments: str, static: bool = False, donate: int | tuple = ()
    ) -> Callable:
        """Compiles `block`, which sees the lanes of one device, for all devices.

        Args:
          block: all it returns has a leading lane axis.
          arguments: a letter for each: L has a leading lane axis, S is shared.
          static: whether a last argument follows that is part of the program.
          donate: which argument may be overwritten.
        """
        shardings = [{"L": self.lanes, "S": self.shared}[letter] for letter in arguments]

        def whole(*given: Any) -> Any:
            traced, fixed = given[: len(arguments)], given[len(arguments) :]
            return jax.shard_map(
                lambda *blocks: block(*blocks, *fixed),
                mesh=self.mesh,
                in_specs=tuple(sharding.spec for sharding in shardings),
                out_specs=self.lanes.spec,
                # Nothing crosses lanes, so there is no replication to check.
                check_vma=False,
            )(*traced)

        return jax.jit(
            whole,
            static_argnums=len(arguments) if static else (),
            in_shardings=tuple(shardings),
            # Said and not derived: a restored state would else have other
            # shardings by name than a computed one, and compile again.
            out_shardings=self.lanes,
            donate_argnums=donate,
        )

    def map(self, one: Callable, *trees: Any) -> Any:
        """Applies `one` to each lane of a device, a group at a time."""
        if self.per_device == 1:
            result = one(*jax.tree.map(lambda x: x[0], trees))
            return jax.tree.map(lambda x: x[None], result)
        if self.group >= self.per_device:
            return jax.vmap(one)(*trees)
        # A group of one without a batch axis: that is what it is for.
        size = self.group if self.group > 1 else None
        return jax.lax.map(lambda xs: one(*xs), trees, batch_size=size)

    def map_in_place(self, one: Callable, held: jax.Array, *trees: Any) -> tuple[jax.Array, Any]:
        """Like `map`, for a `one` that also changes a large array of each lane.

        Where lanes run one after another, cutting a lane's part out and putting
        it back would copy it in every step.

        Args:
          one: (array, start, *leaves of a lane) -> (array, result); the lane's
            own part begins at `start` of the one-dimensional array.
          held: [L, n].
        """
        if self.per_device == 1 or self.group > 1:
            return self.map(lambda part, *rest: one(part, 0, *rest), held, *trees)
        starts = np.arange(self.per_device, dtype=np.int32) * held.shape[1]
        whole, results = jax.lax.scan(
            lambda array, xs: one(array, *xs), held.reshape(-1), (starts, *trees)
        )
        return whole.reshape(held.shape), results


def placed(num_lanes: int, group: int = 0, devices: int = 0) -> Placement:
    """The layout of `num_lanes` over the devices of this process.

    Args:
      num_lanes: S.
      group: lanes computed together; 0 chooses by the kind of device.
      devices: how many to use at most; 0 means all.

    Raises:
      UserError: there are not that many.
    """
    found = jax.local_devices()
    if devices > len(found):
        raise UserError(f"devices={devices}, but this process has {len(found)}")
    used = found[: min(num_lanes, devices or len(found))]
    per_device = -(-num_lanes // len(used))
    # Without this, a device in the list could be left with copies only.
    used = used[: -(-num_lanes // per_device)]
    if not group:
        group = 1 if used[0].platform == "cpu" else per_device
    return Placement(Mesh(np.array(used), (AXIS,)), num_lanes, min(group, per_device))

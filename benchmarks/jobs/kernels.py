"""Compiles the updates for an accelerator, there or described, and counts what they start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh

from benchmarks.hlo import launches
from benchmarks.options import run_config
from rr_scale.agents.build import make_agent
from rr_scale.engine import Engine
from rr_scale.envs import suites
from rr_scale.placement import AXIS, Placement
from rr_scale.types import Clock, Transition

_DESCRIPTION = Path(__file__).with_name("h200.txtpb")


class _Described(Placement):
    """A layout over devices that are not there: arrays are shapes."""

    __slots__ = ()

    def to_device(self, tree: Any) -> Any:
        def shape(array: np.ndarray) -> jax.ShapeDtypeStruct:
            padded = self.pad(array)
            return jax.ShapeDtypeStruct(padded.shape, padded.dtype, sharding=self.lanes)

        return jax.tree.map(shape, tree)


def measure(
    preset: str,
    settings: list[list[str]],
    env_name: str,
    seeds: int,
    replay_ratios: list[int],
    capacity: int,
) -> dict[str, Any]:
    """Counts the program of one env step with that many updates.

    Args:
      preset, settings: of the agent.
      env_name: gives the sizes of observation and action.
      seeds: lanes, all in one group.
      replay_ratios: updates per step.
      capacity: rows per lane of the ring.

    Returns:
      `target`, what was compiled for, and `programs`; or `missing`, why
      nothing could be compiled.
    """
    spec = suites.spec_of(env_name)
    sizes = (spec.observation_size, spec.action_size)
    device = _device()
    if device is None:
        return {"missing": "not counted, needs a GPU or the extra `cuda`"}
    config = run_config(preset, settings)
    agent = make_agent(config, *sizes)
    placement = _Described(Mesh(np.array([device]), (AXIS,)), seeds, seeds)
    engine = Engine(agent, [config.hp] * seeds, config.replay, capacity, *sizes, placement)
    shapes, programs = _shapes(seeds, *sizes), []
    for ratio in replay_ratios:
        compiled = engine.lowered_step(list(range(seeds)), *shapes, ratio).compile()
        text = compiled.as_text()
        programs.append(
            {
                "replay_ratio": ratio,
                "delay": config.agent.actor_delay,
                "most": launches(text, max)._asdict(),
                "least": launches(text, min)._asdict(),
                "scratch_bytes": compiled.memory_analysis().temp_size_in_bytes,
            }
        )
    return {"target": f"compiled for {device.device_kind}", "programs": programs}


def _shapes(seeds: int, observation_size: int, action_size: int) -> tuple[Transition, Clock]:
    """What an env step brings."""

    def floats(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((seeds, *shape), jnp.float32)

    flag = jax.ShapeDtypeStruct((seeds,), jnp.bool_)
    observation, action = floats(observation_size), floats(action_size)
    count = jax.ShapeDtypeStruct((), jnp.int32)
    transition = Transition(observation, action, floats(), flag, flag, observation)
    return transition, Clock(count, count, count)


def _device() -> Any:
    """A GPU; a described one if there is none; None if that cannot be."""
    if jax.devices()[0].platform == "gpu":
        return jax.devices()[0]
    try:
        described = topologies.get_topology_desc(
            platform="cuda", target_config=_DESCRIPTION.read_text(), topology="1x1x1"
        )
    except NotImplementedError:
        return None
    return described.devices[0]

"""Floating-point operations of the matrix products of one gradient update.

Counted in the traced program of one lane, so for every preset in the same
way: a product [B, in] x [in, out] is 2 * B * in * out operations, and a
backward pass has two products per layer, for the weights and for the input.
Everything else (activations, Adam, target networks, drawing) is not counted:
it is a few per cent at 256x256.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rr_scale.agents.build import make_agent
from rr_scale.config import RunConfig
from rr_scale.rng import root_key
from rr_scale.types import Batch, Clock


def flops_per_update(config: RunConfig, observation_size: int, action_size: int) -> float:
    """Matrix-product operations of one update of one lane, averaged over the actor's delay.

    Counted as the program computes them: all critics in every pass, and the
    input gradient of the critics' first layer for observation and action
    together, although only the action's part is used.

    Args:
      config: structure of agent and networks, batch size, delay.
      observation_size, action_size: O and A.
    """
    update, shapes = update_program(config, observation_size, action_size)
    program = jax.make_jaxpr(update)(*shapes).jaxpr
    every, most = product_flops(program, min), product_flops(program, max)
    return every + (most - every) / config.agent.actor_delay


def update_program(
    config: RunConfig, observation_size: int, action_size: int
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """`Agent.update` of one lane as a function of arrays, and the shapes of these."""
    agent = make_agent(config, observation_size, action_size)
    size = config.replay.batch_size

    def floats(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    batch = Batch(
        observation=floats(size, observation_size),
        action=floats(size, action_size),
        reward=floats(size),
        discount=floats(size),
        next_observation=floats(size, observation_size),
        weight=floats(size),
    )
    hp = jax.tree.map(jnp.float32, config.hp)
    state = jax.eval_shape(agent.init, root_key(0), hp)
    count = jax.ShapeDtypeStruct((), jnp.int32)

    def update(hp: Any, state: Any, batch: Batch, clock: Clock) -> Any:
        return agent.update(hp, state, {"train": batch, "validation": batch}, clock)

    return update, (hp, state, batch, Clock(count, count, count))


def product_flops(jaxpr: Any, side: Callable[[list[int]], int]) -> int:
    """Operations of all matrix products of a traced program.

    Args:
      jaxpr: the program.
      side: which of a `lax.cond` counts: `min` or `max`.

    Raises:
      ValueError: products in a loop whose length the program does not say.
    """
    total = 0
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        if name == "dot_general":
            (contracted, _), _ = params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            outputs = math.prod(equation.outvars[0].aval.shape)
            total += 2 * outputs * math.prod(left[axis] for axis in contracted)
        inner = [product_flops(part, side) for part in _programs(params)]
        if any(inner) and name == "while":
            raise ValueError("matrix products in a loop of unknown length")
        if inner:
            total += side(inner) if name == "cond" else params.get("length", 1) * sum(inner)
    return total


def _programs(params: dict[str, Any]) -> list[Any]:
    """The programs that an operation calls."""
    parts = [
        part
        for value in params.values()
        for part in (value if isinstance(value, tuple | list) else [value])
    ]
    inner = [getattr(part, "jaxpr", part) for part in parts]
    return [part for part in inner if hasattr(part, "eqns")]

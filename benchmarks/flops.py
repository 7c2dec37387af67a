"""Floating-point operations of the matrix products of one gradient update.

A product [B, in] x [in, out] counts 2 * B * in * out. A backward pass has two
products per layer, for the weights and for the input; the first layer of a
loss needs no input gradient, and a pass through frozen weights no weight
gradient. Everything else (activations, Adam, target networks, drawing) is not
counted: it is a few per cent at 256x256.
"""

from __future__ import annotations

from typing import NamedTuple

from rr_scale.config import RunConfig


class Passes(NamedTuple):
    """Multiplications per row of a batch in each kind of pass through one network."""

    forward: int
    weight_gradients: int
    input_gradients: int  # of all layers but the first
    first_layer: int


def flops_per_update(config: RunConfig, observation_size: int, action_size: int) -> float:
    """Matrix-product operations of one update of one lane, averaged over delays.

    Counted as the program computes them: all critics in every pass, and the
    input gradient of the critics' first layer for observation and action
    together, although only the action's part is used.

    Args:
      config: structure of agent and networks, batch size, delays.
      observation_size, action_size: O and A.
    """
    critic_step, actor_step = step_flops(config, observation_size, action_size)
    return critic_step + actor_step / config.agent.actor_delay


def step_flops(config: RunConfig, observation_size: int, action_size: int) -> tuple[int, int]:
    """Operations of one critic step and of one actor step."""
    agent = config.agent
    heads = 1 if agent.actor.distribution == "deterministic" else 2
    actor = _passes(observation_size, agent.actor.network.hidden, heads * action_size)
    critic = _passes(observation_size + action_size, agent.critic.network.hidden, 1)
    members = agent.critic.ensemble_size
    target = actor.forward + members * critic.forward
    regression = members * (critic.forward + critic.weight_gradients + critic.input_gradients)
    policy = actor.forward + actor.weight_gradients + actor.input_gradients
    value = members * (critic.forward + critic.input_gradients + critic.first_layer)
    per_product = 2 * config.replay.batch_size
    return per_product * (target + regression), per_product * (policy + value)


def _passes(inputs: int, hidden: tuple[int, ...], outputs: int) -> Passes:
    widths = (inputs, *hidden, outputs)
    layers = [one * other for one, other in zip(widths[:-1], widths[1:], strict=True)]
    return Passes(sum(layers), sum(layers), sum(layers[1:]), layers[0])

"""Optimisers of networks and of dual variables, from a configuration."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax.numpy as jnp

from rr_scale.clock import ReplayRatio
from rr_scale.config import ActorConfig, CriticConfig, HyperParams, RunConfig
from rr_scale.optim import Optimizer, adam, optimizer, schedule
from rr_scale.types import Array, Clock


def scheduled(
    config: RunConfig, horizon: int, base: Callable[[HyperParams], Array]
) -> Callable[[HyperParams, Clock | None], Array]:
    """A step size under the schedule of `config`.

    The clock drives it: a delayed step or a reset does not hold it up.

    Args:
      config: a run.
      horizon: env steps at which the schedule ends.
      base: the step size that the schedule scales.
    """
    kind = config.agent.lr_schedule
    if kind == "constant" and not any(hp.lr_warmup > 0 for hp in config.variant_hps()):
        return lambda hp, clock: base(hp)
    ratio = ReplayRatio(config.updates_per_step, config.start_training)
    updates = max(ratio.total(horizon), 1)

    def rate(hp: HyperParams, clock: Clock | None) -> Array:
        if clock is None:
            return base(hp)
        return base(hp) * schedule(kind, clock.update / updates, hp.lr_warmup, hp.lr_end)

    return rate


def network_optimizer(
    config: RunConfig, horizon: int, name: str, part: ActorConfig | CriticConfig
) -> Optimizer:
    """The optimiser of a network.

    Args:
      config: a run.
      horizon: env steps at which schedules end.
      name: 'actor' or 'critic'; the prefix of its hyper-parameters.
      part: its settings.
    """
    hps = config.variant_hps()
    clips = any(math.isfinite(getattr(hp, f"{name}_max_grad_norm")) for hp in hps)
    shrinks = any(getattr(hp, f"{name}_weight_decay") > 0 for hp in hps)
    decays = _moment_decays(config, name)
    rate = scheduled(config, horizon, lambda hp: getattr(hp, f"{name}_lr"))
    return optimizer(
        lambda hp, clock: adam(
            rate(hp, clock),
            decays(hp),
            hp.adam_eps,
            max_grad_norm=getattr(hp, f"{name}_max_grad_norm") if clips else None,
            weight_decay=getattr(hp, f"{name}_weight_decay") if shrinks else None,
            decoupled=part.optimizer.name == "adamw",
            decayed=part.optimizer.decayed,
            unit_kernels=part.network.has_unit_kernels,
            unit_scales=part.network.unit_scales,
        )
    )


def dual_optimizer(
    config: RunConfig, horizon: int, base: Callable[[HyperParams], Array], name: str = "dual"
) -> Optimizer:
    """The optimiser of a dual variable: plain Adam.

    Args:
      config: a run.
      horizon: env steps at which schedules end.
      base: its step size.
      name: 'temperature' or 'dual'; the prefix of its decays.
    """
    rate, decays = scheduled(config, horizon, base), _moment_decays(config, name)
    return optimizer(lambda hp, clock: adam(rate(hp, clock), decays(hp), hp.adam_eps))


def _moment_decays(
    config: RunConfig, name: str
) -> Callable[[HyperParams], tuple[Array | float, Array | float]]:
    """Adam's decays of `name`: its own where they are set (not negative), or the common ones."""

    def decay(moment: str) -> Callable[[HyperParams], Array | float]:
        own, common = f"{name}_{moment}", f"adam_{moment}"
        if all(getattr(hp, own) < 0 for hp in config.variant_hps()):
            return lambda hp: getattr(hp, common)
        return lambda hp: jnp.where(getattr(hp, own) < 0, getattr(hp, common), getattr(hp, own))

    first, second = decay("b1"), decay("b2")
    return lambda hp: (first(hp), second(hp))

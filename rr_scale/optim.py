"""Optimisers as optax transformations built around traced hyper-parameters.

A transformation is assembled inside the traced update, so step sizes and
clips may differ between lanes. Which parts it has is structure and is decided
by the caller: an absent clip costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rr_scale.config import HyperParams
from rr_scale.core.spheres import UNIT_KERNEL, unit_columns
from rr_scale.types import Array, Clock, Params

_KERNELS = ("kernel", UNIT_KERNEL, "direction")


class Optimizer(NamedTuple):
    """How one network or scalar learns."""

    init: Callable[[HyperParams, Params], Any]
    """(hp, params) -> optimiser state"""
    step: Callable[[HyperParams, Clock, Params, Any, Params], tuple[Params, Any]]
    """(hp, clock, gradient, optimiser state, params) -> (params, optimiser state)"""


def optimizer(
    transformation: Callable[[HyperParams, Clock | None], optax.GradientTransformation],
) -> Optimizer:
    """An optimiser from a transformation of hyper-parameters and clock (None: only to init)."""

    def init(hp: HyperParams, params: Params) -> Any:
        return transformation(hp, None).init(params)

    def step(
        hp: HyperParams, clock: Clock, gradient: Params, opt_state: Any, params: Params
    ) -> tuple[Params, Any]:
        updates, opt_state = transformation(hp, clock).update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    return Optimizer(init, step)


def adam(
    learning_rate: Array,
    decays: tuple[Array, Array],
    epsilon: Array,
    *,
    max_grad_norm: Array | None = None,
    weight_decay: Array | None = None,
    decoupled: bool = False,
    decayed: str = "all",
    unit_kernels: bool = False,
    unit_scales: bool = False,
) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015), with what else a configuration asks for, in this order.

    An L2 penalty is part of the gradient. The global-norm clip sees their
    sum, before Adam's moments; its norm is over one network of one lane.
    Decoupled decay (AdamW; Loshchilov & Hutter 2019) bypasses the moments and
    is multiplied by the step size. Projections come last.

    Args:
      learning_rate: scalar.
      decays: of the first and second moment.
      epsilon: outside the root.
      max_grad_norm: scalar, or None for no clip.
      weight_decay: scalar, or None for none.
      decoupled: whether the decay is AdamW's.
      decayed: a key of `DECAYED`.
      unit_kernels: whether there are kernels to project.
      unit_scales: whether the scales and biases of normalisations are projected.
    """
    decay = []
    if weight_decay is not None:
        decay = [optax.add_decayed_weights(weight_decay, mask=DECAYED[decayed])]
    parts = [] if decoupled else decay
    if max_grad_norm is not None:
        parts.append(optax.clip_by_global_norm(max_grad_norm))
    parts.append(optax.scale_by_adam(*decays, epsilon))
    if decoupled:
        parts += decay
    parts.append(optax.scale(-learning_rate))
    if unit_kernels:
        parts.append(project_unit_kernels())
    if unit_scales:
        parts.append(project_unit_scales())
    return optax.chain(*parts)


def _named(condition: Callable[[str], bool]) -> Callable[[Params], Any]:
    """A mask: which leaves have a name that fulfils `condition`."""

    def mask(params: Params) -> Any:
        return jax.tree_util.tree_map_with_path(lambda path, _: condition(path[-1].key), params)

    return mask


DECAYED: dict[str, Callable[[Params], Any] | None] = {
    "all": None,
    "kernels": _named(lambda name: name in _KERNELS),
    "free": _named(lambda name: name != UNIT_KERNEL),
}
"""`OptimizerConfig.decayed` -> mask of the parameters that decay."""


def project_unit_kernels() -> optax.GradientTransformation:
    """Changes updates so that they end on the sphere: unit columns of every `unit_kernel`.

    Lee et al., SimbaV2, ICML 2025. It must come last: the projection is of
    parameters after the step, not of the gradient.
    """

    def update(updates: Params, state: Any, params: Params | None = None) -> tuple[Params, Any]:
        def project(path: tuple, change: Array, param: Array) -> Array:
            if path[-1].key != UNIT_KERNEL:
                return change
            return unit_columns(param + change) - param

        return jax.tree_util.tree_map_with_path(project, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def project_unit_scales() -> optax.GradientTransformation:
    """Changes updates so that each normalisation's scale and bias [..., d] end at norm sqrt(d).

    Kim et al., FlashSAC, 2026: one norm for both; a scale without a bias for itself. Modules with a
    `scale` are normalisations. It must come last, like `project_unit_kernels`.
    """

    def project(changes: Params, params: Params) -> Params:
        if "scale" in params:
            after = jax.tree.map(jnp.add, params, changes)
            square = sum(jnp.sum(x**2, axis=-1, keepdims=True) for x in after.values())
            factor = jnp.sqrt(params["scale"].shape[-1] / (square + 1e-8))
            return {name: factor * after[name] - params[name] for name in params}
        return {
            name: project(changes[name], value) if isinstance(value, dict) else changes[name]
            for name, value in params.items()
        }

    def update(updates: Params, state: Any, params: Params | None = None) -> tuple[Params, Any]:
        return project(updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def schedule(kind: str, progress: Array, warmup: Array, end: Array) -> Array:
    """The factor on every step size.

    Args:
      kind: constant, linear or cosine.
      progress: share of all updates that is done, 0 at the first one; 1
        beyond the horizon.
      warmup: share over which the factor rises linearly from 0.
      end: the factor at the horizon.

    Returns:
      Scalar: progress / warmup during the warm-up, then from 1 to `end`.
    """
    done = jnp.clip((progress - warmup) / jnp.maximum(1.0 - warmup, 1e-8), 0.0, 1.0)
    left = 1.0 - done if kind == "linear" else 0.5 * (1.0 + jnp.cos(jnp.pi * done))
    falling = 1.0 if kind == "constant" else end + (1.0 - end) * left
    return jnp.where(progress < warmup, progress / jnp.maximum(warmup, 1e-8), falling)


def polyak(target: Params, online: Params, tau: Array) -> Params:
    """target + tau (online - target), leaf by leaf; counts are copied."""

    def follow(slow: Array, fast: Array) -> Array:
        if not jnp.issubdtype(fast.dtype, jnp.floating):
            return fast
        return optax.incremental_update(fast, slow, tau)

    return jax.tree.map(follow, target, online)


def hard(target: Params, online: Params, tau: Array) -> Params:
    """A copy of the online network; with a delay, a periodic one (Mnih et al. 2015)."""
    return online


FOLLOWS: dict[str, Callable[[Params, Params, Array], Params]] = {
    "polyak": polyak,
    "hard": hard,
    # Of the critics; a target actor still moves.
    "none": polyak,
}
"""`agent.critic.target_network` -> (target, online, tau) -> target."""

"""Resets: which parameters become new ones, and what follows them.

Nikishin et al., "The primacy bias in deep reinforcement learning", ICML 2022;
D'Oro et al. 2023. Optimiser states of what is reset start afresh: stale Adam
moments would make the first steps from new weights huge. Target networks are
reset with their online networks, or targets would come from a dead critic.
Running statistics of layers start afresh with the layers, also where weights
are only shrunk: they describe activations that are gone.
A rule for hidden layers touches these only, and their entries in optimiser
states, targets and statistics; recycling only some of their units (`recycle.py`).
Replay and normaliser statistics are kept.
"""

from __future__ import annotations

from collections.abc import Callable

import jax

from rr_scale.agents.ingredients import Ingredients
from rr_scale.agents.recycle import names_on, recycle, watch_networks
from rr_scale.agents.state import Learner, TrainState
from rr_scale.config import HyperParams, ResetRule
from rr_scale.core.spheres import UNIT_KERNEL, unit_columns
from rr_scale.errors import UserError
from rr_scale.nets.heads import HEADS
from rr_scale.nets.layout import HiddenLayer, Path, below, layout
from rr_scale.rng import Stream, stream_key
from rr_scale.types import Array, Batch, Params


def _is_head(names: Path) -> bool:
    """Whether a leaf belongs to an output layer, in parameters or in Adam's moments."""
    return any(name in HEADS for name in names)


def _in(layers: dict[str, HiddenLayer]) -> Callable[[Path], bool]:
    """Whether a leaf belongs to one of these hidden layers."""
    modules = [module for layer in layers.values() for module in (layer.dense, *layer.per_unit)]
    return lambda names: any(below(names, module) for module in modules)


def _only(chosen: Callable[[Path], bool], old: Learner, new: Learner) -> Learner:
    """The leaves of `new` that are chosen by their names, and the others of `old`."""

    def pick(path: tuple, old_leaf: Array, new_leaf: Array) -> Array:
        return new_leaf if chosen(names_on(path)) else old_leaf

    # Adam's step count is shared by all layers and stays.
    return jax.tree_util.tree_map_with_path(pick, old, new)


def _reset_learner(
    rule: ResetRule, layers: dict[str, HiddenLayer], old: Learner, new: Learner
) -> Learner:
    """`new` is a freshly initialised learner."""
    fresh = new
    if rule.what == "last_layers":
        fresh = _only(_is_head, old, new)
    elif rule.layers:
        fresh = _only(_in(layers), old, new)
    if rule.how == "reinitialize":
        return fresh

    def mix(path: tuple, o: Array, n: Array) -> Array:
        # A leaf that is not reset stays as it is, bit for bit.
        if n is o:
            return o
        mixed = o + (1.0 - rule.keep) * (n - o)
        # Between two points of the sphere; no optimiser brings a target back to it.
        return unit_columns(mixed) if names_on(path)[-1] == UNIT_KERNEL else mixed

    def mixed(old_params: Params, new_params: Params) -> Params:
        return jax.tree_util.tree_map_with_path(mix, old_params, new_params)

    return fresh._replace(
        params=mixed(old.params, fresh.params),
        target=None if old.target is None else mixed(old.target, fresh.target),
    )


def make_reset(
    parts: Ingredients,
    rules: tuple[ResetRule, ...],
    init: Callable[[Array, HyperParams, Array], TrainState],
) -> Callable[..., TrainState]:
    """Builds `Agent.reset`.

    Args:
      parts: of the agent.
      rules: the configured rules; the agent is told the index of one.
      init: (root key, hp, key for the weights) -> fresh state.
    """
    layouts = {
        name: layout(getattr(parts.config, name).network)
        for name in ("actor", "critic", "explorer")
    }

    def reset(
        hp: HyperParams,
        state: TrainState,
        index: int,
        firing: Array,
        draw: Callable[[], Batch] | None = None,
    ) -> TrainState:
        rule = rules[index]
        # New weights each time: returning to the first ones would tie the
        # phases between resets together (kept only to replicate older code).
        key = (
            stream_key(state.root, Stream.INIT, 0)
            if rule.same_weights
            else stream_key(state.root, Stream.RESET, firing)
        )
        fresh = init(state.root, hp, key)
        seen = {}
        if rule.how == "recycle":
            if draw is None:
                raise UserError(f"resets.{index}.how=recycle looks at data: give `draw` to reset")
            seen = watch_networks(parts, state, draw())
        for name in rule.networks:
            old, new = getattr(state, name), getattr(fresh, name)
            if old is None:
                continue
            layers = {k: v for k, v in layouts[name].items() if not rule.layers or k in rule.layers}
            if rule.how == "recycle":
                learner = recycle(rule, layers, seen[name], old, new)
            else:
                learner = _reset_learner(rule, layers, old, new)
            state = state._replace(**{name: learner})
        if rule.what == "all" and rule.how == "reinitialize" and not rule.layers:
            state = state._replace(duals=fresh.duals)
        return state

    return reset

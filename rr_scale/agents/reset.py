"""Resets: which parameters become new ones, and what follows them.

Nikishin et al., "The primacy bias in deep reinforcement learning", ICML 2022;
D'Oro et al. 2023. Optimiser states of what is reset start afresh: stale Adam
moments would make the first steps from new weights huge. Target networks are
reset with their online networks, or targets would come from a dead critic.
Running statistics of layers start afresh with the layers, also where weights
are only shrunk: they describe activations that are gone.
Replay and normaliser statistics are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from rr_scale.agents.state import Learner, TrainState
from rr_scale.config import HyperParams, ResetRule
from rr_scale.nets.heads import HEADS
from rr_scale.rng import Stream, stream_key
from rr_scale.types import Array


def _is_head(path: tuple) -> bool:
    """Whether a leaf belongs to an output layer, in parameters or in Adam's moments."""
    return any(getattr(entry, "key", None) in HEADS for entry in path)


def _heads_only(old: Any, new: Any) -> Any:
    def pick(path: tuple, old_leaf: Array, new_leaf: Array) -> Array:
        return new_leaf if _is_head(path) else old_leaf

    return jax.tree_util.tree_map_with_path(pick, old, new)


def _reset_learner(rule: ResetRule, old: Learner, new: Learner) -> Learner:
    """`new` is a freshly initialised learner."""
    if rule.what == "last_layers":
        # Adam's step count is shared by all layers and stays.
        fresh = old._replace(
            params=_heads_only(old.params, new.params),
            target=None if old.target is None else _heads_only(old.target, new.target),
            opt_state=_heads_only(old.opt_state, new.opt_state),
            stats=_heads_only(old.stats, new.stats),
            target_stats=_heads_only(old.target_stats, new.target_stats),
        )
    else:
        fresh = new
    if rule.how == "reinitialize":
        return fresh

    # Written so that a leaf which is not reset (n is o) stays as it is, bit for bit.
    def mix(o: Array, n: Array) -> Array:
        return o + (1.0 - rule.keep) * (n - o)

    return fresh._replace(
        params=jax.tree.map(mix, old.params, fresh.params),
        target=None if old.target is None else jax.tree.map(mix, old.target, fresh.target),
    )


def make_reset(
    rules: tuple[ResetRule, ...], init: Callable[[Array, HyperParams, Array], TrainState]
) -> Callable[[HyperParams, TrainState, int, Array], TrainState]:
    """Builds `Agent.reset`.

    Args:
      rules: the configured rules; the agent is told the index of one.
      init: (root key, hp, key for the weights) -> fresh state.
    """

    def reset(hp: HyperParams, state: TrainState, index: int, firing: Array) -> TrainState:
        rule = rules[index]
        # New weights each time: returning to the first ones would tie the
        # phases between resets together (kept only to replicate older code).
        key = (
            stream_key(state.root, Stream.INIT, 0)
            if rule.same_weights
            else stream_key(state.root, Stream.RESET, firing)
        )
        fresh = init(state.root, hp, key)
        networks = {
            "all": ("actor", "critic", "explorer"),
            "last_layers": ("actor", "critic"),
            "actor": ("actor",),
            "critic": ("critic",),
        }[rule.what]
        for name in networks:
            if getattr(state, name) is None:
                continue
            learner = _reset_learner(rule, getattr(state, name), getattr(fresh, name))
            state = state._replace(**{name: learner})
        if rule.what == "all" and rule.how == "reinitialize":
            state = state._replace(duals=fresh.duals)
        return state

    return reset

"""Recycling: units that do nothing begin anew, and only they.

Sokar et al., "The dormant neuron phenomenon in deep reinforcement learning",
ICML 2023 (ReDo). A unit's score is mean |h| over a batch (`score=activation`;
with threshold 0 as in the code of the regularisation study, Nauman et al.
2024), or that divided by its mean over the layer (`score=relative`; with 0.025
as in the paper). Units at or below the threshold get

- new weights and a new bias, drawn as the network's first ones were, and a new
  entry in a normalisation or scaler of the layer, running statistics included:
  it may be what keeps them silent;
- zeros for the weights with which other layers read them. Where such a weight
  leads to a unit that begins anew too, it is drawn: if whole layers were
  dormant, neither could learn otherwise.

First and second moments of all these weights become 0; step counts stay.

The network's output on that batch stays what it was if the units gave exactly
0 and nothing normalises over units (`layer_norm`, `rms_norm`, `spectral_norm`)
or after the activation. Unit kernels that read recycled units are shorter than
1 until the next step projects them.

Target networks change with their online networks: the same units, the same new
weights. Otherwise a target unit would go through mixtures of its old and its
new incoming weights, and be read with what is left of its old outgoing ones.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from rr_scale.agents.ingredients import Ingredients
from rr_scale.agents.state import Learner, TrainState
from rr_scale.config import ResetRule
from rr_scale.nets.layout import HiddenLayer, Path, below
from rr_scale.nets.watched import Watched
from rr_scale.types import Array, Batch


def watch_networks(parts: Ingredients, state: TrainState, batch: Batch) -> dict[str, Watched]:
    """What the hidden units of all networks of an agent do on a batch as it was stored."""
    observation = parts.normalize(state, batch.observation)
    actor, critic = state.actor, state.critic
    seen = {
        "actor": parts.policy.watch(actor.params, actor.stats, observation),
        "critic": parts.critic.watch(critic.params, critic.stats, observation, batch.action),
    }
    if parts.explorer is not None and state.explorer is not None:
        output, _ = parts.policy.apply(actor.params, actor.stats, observation, None, False)
        seen["explorer"] = parts.explorer.watch(state.explorer.params, observation, output.mean)
    return seen


def dormant(rule: ResetRule, activation: Array) -> Array:
    """Which units of a layer to recycle, [..., width] bool, by what they do [..., B, width]."""
    score = jnp.mean(jnp.abs(activation), axis=-2)
    if rule.score == "activation":
        return score <= rule.threshold
    # A product: a layer that is dormant as a whole has nothing to divide by.
    return score <= rule.threshold * jnp.mean(score, axis=-1, keepdims=True)


def recycle(
    rule: ResetRule, layers: dict[str, HiddenLayer], seen: Watched, old: Learner, new: Learner
) -> Learner:
    """A network, or an ensemble of them, with its dormant units begun anew.

    Args:
      rule: says what is dormant.
      layers: those to look at.
      seen: what the units of `old` do.
      old: before.
      new: a freshly initialised learner.
    """
    found = [(layer, dormant(rule, seen.hidden[name])) for name, layer in layers.items()]

    def weights(path: tuple, leaf: Array, fresh: Array) -> Array:
        names = names_on(path)
        for layer, units in found:
            if any(below(names, module) for module in layer.outgoing):
                leaf = _zero_rows(leaf, units)
        for layer, units in found:
            if any(below(names, module) for module in (layer.dense, *layer.per_unit)):
                leaf = _entries(leaf, fresh, units)
        return leaf

    def statistics(path: tuple, leaf: Array, fresh: Array) -> Array:
        for layer, units in found:
            if any(below(names_on(path), module) for module in layer.per_unit):
                leaf = _entries(leaf, fresh, units)
        return leaf

    def mapped(function: Any, before: Any, after: Any) -> Any:
        return jax.tree_util.tree_map_with_path(function, before, after)

    return old._replace(
        params=mapped(weights, old.params, new.params),
        target=None if old.target is None else mapped(weights, old.target, new.target),
        # Moments are found by the names of their parameters, and new ones are 0.
        opt_state=mapped(weights, old.opt_state, new.opt_state),
        stats=mapped(statistics, old.stats, new.stats),
        target_stats=mapped(statistics, old.target_stats, new.target_stats),
    )


def names_on(path: tuple) -> Path:
    """The names of modules and of the parameter on the way to a leaf, or to a moment of it."""
    return tuple(entry.key for entry in path if isinstance(entry, jax.tree_util.DictKey))


def _entries(leaf: Array, fresh: Array, units: Array) -> Array:
    """The last axis [..., width] of a leaf is the units'; counts of a layer are not."""
    if leaf.ndim < units.ndim:
        return leaf
    between = (1,) * (leaf.ndim - units.ndim)
    return jnp.where(units.reshape(*units.shape[:-1], *between, units.shape[-1]), fresh, leaf)


def _zero_rows(leaf: Array, units: Array) -> Array:
    """The rows of a kernel [..., width, outputs] are the units'; biases [..., outputs] are not."""
    return jnp.where(units[..., None], 0.0, leaf) if leaf.ndim > units.ndim else leaf

"""Seeing what hidden units do: activations that a pass hands out when it is asked to.

A module marks an activation with `watch`. An ordinary pass does not know of it
and compiles to the program it was before.
"""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn

from rr_scale.nets.layers import STATS
from rr_scale.types import Array, Params, Stats

_COLLECTION = "watched"
_FEATURES = "features"
TRUNK = "trunk"
"""Name of the trunk in every network."""


class Watched(NamedTuple):
    """What the units of one network, or of an ensemble of them, do on a batch.

    `hidden` has the layers whose units one kernel leads to and others lead away
    from, by their names (`NetworkConfig.layer_names`: hidden_0, hidden_1, ...
    from the input on): every layer of mlp; in residual trunks the inner one of
    each block. What is added to the residual stream belongs to no layer and is
    not there. The numbers are what the activation function gave, before a
    normalisation that follows it (`normalize_after_activation`) and without
    dropout: a relu unit is dead on a sample where its number is 0. With crelu a
    layer has twice its units: relu(x) of all, then relu(-x).

    `features` is what the heads read, of any trunk.
    """

    hidden: dict[str, Array]  # [..., B, width of the layer]
    features: Array  # [..., B, width]


def watch(module: nn.Module, name: str, x: Array) -> None:
    """Marks an activation of `module`; does nothing in a pass that nobody watches."""
    if not module.is_initializing():
        module.sow(_COLLECTION, name, x, reduce_fn=lambda old, new: new, init_fn=lambda: None)


def watch_features(module: nn.Module, x: Array) -> None:
    """Marks what the heads of `module` read."""
    watch(module, _FEATURES, x)


def watched_pass(module: nn.Module, params: Params, stats: Stats, *inputs: Array) -> Watched:
    """One pass in inference: running statistics, no dropout, nothing renewed.

    Args:
      module: a network with a trunk.
      params, stats: its own; stats may be {}.
      inputs: [B, ...] each.
    """
    variables = {"params": params, STATS: stats} if stats else {"params": params}
    _, seen = module.apply(variables, *inputs, mutable=[_COLLECTION])
    found = seen[_COLLECTION]
    return Watched(dict(found.get(TRUNK, {})), found[_FEATURES])

"""Optimisers as optax transformations built around traced hyper-parameters.

A transformation is assembled inside the traced update, so step sizes and
clips may differ between lanes. Which parts it has is structure and is decided
by the caller: an absent clip costs nothing.
"""

from __future__ import annotations

import optax

from rr_scale.config import HyperParams
from rr_scale.types import Array, Params


def adam(
    hp: HyperParams,
    learning_rate: Array,
    max_grad_norm: Array | None = None,
    weight_decay: Array | None = None,
) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015) with optional L2 penalty and global-norm clip.

    The penalty is part of the gradient; the clip sees their sum, before Adam's
    moments. The norm is over one network of one lane.

    Args:
      hp: Adam's decays and epsilon.
      learning_rate: scalar.
      max_grad_norm: scalar, or None for no clip.
      weight_decay: scalar, or None for no penalty.
    """
    parts = []
    if weight_decay is not None:
        parts.append(optax.add_decayed_weights(weight_decay))
    if max_grad_norm is not None:
        parts.append(optax.clip_by_global_norm(max_grad_norm))
    parts.append(optax.scale_by_adam(hp.adam_b1, hp.adam_b2, hp.adam_eps))
    parts.append(optax.scale(-learning_rate))
    return optax.chain(*parts)


def polyak(target: Params, online: Params, tau: Array) -> Params:
    """target + tau (online - target), leaf by leaf."""
    return optax.incremental_update(online, target, tau)

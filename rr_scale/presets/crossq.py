"""Batch normalisation in the critics, with or without target networks."""

from __future__ import annotations

from rr_scale.config import RunConfig
from rr_scale.presets.registry import register, with_settings
from rr_scale.presets.sac import sac

_NORMALIZED = {"normalize_input": True, "normalize_after_activation": True}


@register
def crossq() -> RunConfig:
    """SAC without target networks: wide critics with batch renormalisation.

    Bhatt et al., "CrossQ: batch normalization in deep reinforcement learning
    for greater sample efficiency and simplicity", ICLR 2024, with the numbers
    of the authors' code. Deviations: orthogonal initial weights; epsilon is in
    both roots of the correction, as in the paper on renormalisation.
    """
    return with_settings(
        sac(),
        _in_both_networks(_NORMALIZED | {"normalization": "batch_renorm"})
        | {f"hp.{part}_lr": 1e-3 for part in ("actor", "critic", "temperature")}
        | {"hp.actor_b1": 0.5, "hp.critic_b1": 0.5}
        | {"hp.target_entropy_scale": 1.0, "start_training": 5_000}
        | {"agent.actor.log_sigma_map": "clip", "agent.actor.log_sigma_min": -20.0}
        | {"agent.critic.network.hidden": (2048, 2048), "agent.critic.loss_scale": 0.5}
        | {"agent.critic.target_network": "none", "agent.actor_delay": 3}
        | {"agent.update_order": ("critic", "actor", "temperature")},
    )


@register
def crossq_wn() -> RunConfig:
    """CrossQ with kernels of norm 1, target networks and two updates per step.

    Palenicek et al., "Scaling off-policy reinforcement learning with batch and
    weight normalization", 2025, with the layers of the preset of that name in
    the XQC code: 512 units, a free last layer, weight decay where norms are
    free. A reconstruction in the rest, which is taken from `crossq`.
    """
    return with_settings(
        crossq(),
        _in_both_networks({"normalization": "batch_norm", "kernel": "unit_norm"})
        | {"agent.critic.network.hidden": (512, 512), "updates_per_step": 2.0}
        | {"agent.critic.optimizer.name": "adamw", "agent.critic.optimizer.decayed": "free"}
        | {"hp.critic_weight_decay": 0.01, "agent.critic.target_network": "polyak"}
        | {"agent.update_order": ("critic", "target", "actor", "temperature")},
    )


def _in_both_networks(values: dict[str, object]) -> dict[str, object]:
    return {
        f"agent.{part}.network.{name}": value
        for part in ("actor", "critic")
        for name, value in values.items()
    }

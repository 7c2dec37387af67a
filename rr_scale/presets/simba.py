"""Residual networks that normalise first."""

from __future__ import annotations

from rr_scale.config import RunConfig
from rr_scale.presets.registry import register, with_settings
from rr_scale.presets.sac import sac


@register
def simba() -> RunConfig:
    """SAC with SimBa networks: normalised observations, residual blocks, AdamW.

    Lee et al., "SimBa: simplicity bias for scaling up parameters in deep
    reinforcement learning", ICLR 2025, and the authors' configuration for
    tasks that do not terminate: one critic, action repeat 2. For others they
    have two critics and their minimum. Deviations: orthogonal initial weights
    in all layers, with gain sqrt(2) but for the first.
    """
    return with_settings(
        sac(),
        {"agent.normalize_observations": True, "action_repeat": 2, "updates_per_step": 2.0}
        | {f"agent.{part}.network.trunk": "simba" for part in ("actor", "critic")}
        | {f"agent.{part}.network.normalization": "layer_norm" for part in ("actor", "critic")}
        | {"agent.actor.network.hidden": (128,), "agent.critic.network.hidden": (512, 512)}
        | {f"agent.{part}.optimizer.name": "adamw" for part in ("actor", "critic")}
        | {f"hp.{part}_weight_decay": 0.01 for part in ("actor", "critic")}
        | {f"hp.{part}_lr": 1e-4 for part in ("actor", "critic", "temperature")}
        | {"hp.init_temperature": 0.01, "start_training": 5_000}
        | {"agent.critic.ensemble_size": 1}
        | {"agent.update_order": ("actor", "temperature", "critic", "target")},
    )

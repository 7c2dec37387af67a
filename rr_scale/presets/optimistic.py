"""Optimistic exploration and pessimism that is learned: BRO, DAC, VPL."""

from __future__ import annotations

from rr_scale.config import NetworkConfig, ResetRule, RunConfig
from rr_scale.presets.registry import register, with_settings
from rr_scale.presets.sac import sac

_BRO_RESETS = (15_001, 50_001, 250_001, 500_001, 750_001, 1_000_001, 1_500_001, 2_000_001)
_DAC_RESETS = (50_000, *range(250_000, 1_500_001, 250_000), 2_000_000, 2_500_000)
_EXPLORING = {
    "agent.explorer.kind": "optimistic",
    "agent.update_order": ("critic", "target", "actor", "explorer", "temperature", "optimism"),
    "agent.critic.target_ensemble": "pessimistic",
    "agent.actor.objective_ensemble": "pessimistic",
    "hp.dual_b1": 0.5,
}


def _bronet(*widths: int) -> NetworkConfig:
    return NetworkConfig(trunk="bronet", hidden=widths, normalization="layer_norm")


@register
def bro_fast() -> RunConfig:
    """Large regularised quantile critics, no pessimism, an optimistic explorer; replay ratio 2.

    Nauman et al., "Bigger, regularized, optimistic: scaling for compute and
    sample-efficient continuous control", NeurIPS 2024, and the authors' code.
    Deviations: resets draw new weights, one env step later than theirs.
    """
    settings = _EXPLORING | {
        "updates_per_step": 2.0,
        "start_training": 2500,
        "resets": (ResetRule(unit="env_steps", at=_BRO_RESETS[:1]),),
        "replay.batch_size": 128,
        "agent.actor.network": _bronet(256),
        "agent.actor.optimizer.name": "adamw",
        "agent.critic.network": _bronet(512, 512),
        "agent.critic.optimizer.name": "adamw",
        "agent.critic.value": "quantile",
        "agent.explorer.network": _bronet(256),
        "hp.actor_weight_decay": 1e-4,
        "hp.critic_weight_decay": 1e-4,
        "hp.temperature_b1": 0.5,
        "hp.pessimism": 0.0,
    }
    return with_settings(sac(), settings)


@register
def bro() -> RunConfig:
    """`bro_fast` at replay ratio 10 with eight resets.

    Nauman et al., NeurIPS 2024; the list of resets is that of the authors'
    code.
    """
    resets = (ResetRule(unit="env_steps", at=_BRO_RESETS),)
    return with_settings(bro_fast(), {"updates_per_step": 10.0, "resets": resets})


@register
def dac() -> RunConfig:
    """A pessimistic critic and actor, and an optimistic explorer beside them.

    Nauman & Cygan, "Decoupled policy actor-critic: bridging pessimism and risk
    awareness in reinforcement learning", 2023, in the authors' later form,
    which BRO has too: the explorer is a shift of the actor. Sizes, replay ratio
    and resets of their first code. Deviations: nothing is copied or begun anew
    every 25,000 steps; target KL 0.05 and sigma x 0.75 are those of the later
    form.
    """
    network = NetworkConfig(hidden=(256, 256, 256))
    settings = _EXPLORING | {
        "updates_per_step": 15.0,
        "start_training": 25_000,
        "action_repeat": 2,
        "resets": (ResetRule(unit="env_steps", at=_DAC_RESETS),),
        "replay.capacity": 3_000_000,
        "agent.actor.network": network,
        "agent.critic.network": network,
        "agent.critic.network.normalization": "layer_norm",
        "agent.explorer.network": network,
    }
    return with_settings(sac(), settings)


@register
def vpl() -> RunConfig:
    """SAC whose pessimism is learned from transitions that the critics never learn from.

    A reconstruction after Nauman, Ostaszewski & Cygan, "A case for validation
    buffer in pessimistic actor-critic", 2024, of which only abstract and
    introduction were available: all constants (share of episodes, step size,
    start, range) and the loss, which is that of GPL on other data, are ours.
    """
    settings = {
        "agent.pessimism": "vpl",
        "agent.critic.target_ensemble": "pessimistic",
        "agent.actor.objective_ensemble": "pessimistic",
        "agent.update_order": ("critic", "pessimism", "target", "actor", "temperature"),
        "replay.validation_share": 0.05,
        "hp.dual_b1": 0.5,
    }
    return with_settings(sac(), settings)

"""Everything normalised: SimbaV2, XQC, FlashSAC."""

from __future__ import annotations

from dataclasses import replace

from rr_scale.config import NetworkConfig, RunConfig
from rr_scale.presets.registry import register, with_settings
from rr_scale.presets.sac import sac

# What the three have in common: categorical critics of scaled rewards, a
# temperature from 0.01, step sizes that fall, two frames per decision.
_SCALED = {
    "action_repeat": 2,
    "start_training": 5000,
    "agent.critic.value": "categorical",
    "agent.critic.target_ensemble": "smaller_mean",
    "agent.actor.objective_ensemble": "smaller_mean",
    "agent.lr_schedule": "linear",
    "hp.v_min": -5.0,
    "hp.v_max": 5.0,
    "hp.init_temperature": 0.01,
}
_ACTOR_FIRST = ("actor", "temperature", "critic", "target")


@register
def simba_v2() -> RunConfig:
    """One categorical critic and an actor on unit spheres, rewards and observations scaled.

    Lee et al., "Hyperspherical normalization for scalable deep reinforcement
    learning", ICML 2025, and the authors' code, in the setting of dm_control:
    one critic. Where tasks terminate theirs has two:
    --set agent.critic.ensemble_size=2.
    """
    settings = _SCALED | {
        "updates_per_step": 2.0,
        "agent.actor.network": NetworkConfig(trunk="simba_v2", hidden=(128,)),
        "agent.critic.network": NetworkConfig(trunk="simba_v2", hidden=(512, 512)),
        "agent.critic.ensemble_size": 1,
        "agent.update_order": _ACTOR_FIRST,
        "agent.normalize_observations": True,
        "agent.reward_scale": "return_bound",
        "hp.actor_lr": 1e-4,
        "hp.critic_lr": 1e-4,
        "hp.temperature_lr": 1e-4,
        "hp.lr_end": 0.5,
    }
    return with_settings(sac(), settings)


def _unit_batch_norm(*widths: int) -> NetworkConfig:
    return NetworkConfig(
        hidden=widths,
        normalization="batch_norm",
        normalize_input=True,
        kernel="unit_norm",
        unit_head=True,
        bias=False,
    )


@register
def xqc() -> RunConfig:
    """Batch normalisation, unit weights and cross-entropy: small networks, replay ratio 2.

    Palenicek et al., "XQC: well-conditioned optimization accelerates deep
    reinforcement learning", ICLR 2026, and the authors' code. Deviation: the
    schedule of the actor's step size follows the clock, as the paper says; in
    the code it may run three times slower.
    """
    settings = _SCALED | {
        "updates_per_step": 2.0,
        "agent.actor.network": _unit_batch_norm(256, 256, 256, 256),
        "agent.actor.log_sigma_map": "clip",
        "agent.critic.network": _unit_batch_norm(512, 512, 512, 512),
        "agent.actor_delay": 3,
        "agent.reward_scale": "return_std",
    }
    return with_settings(sac(), settings)


def _flash(*widths: int) -> NetworkConfig:
    network = _unit_batch_norm(*widths)
    return replace(network, trunk="flash", batch_epsilon=1e-5, unit_scales=True)


@register
def flash_sac() -> RunConfig:
    """Small batch-normalised networks, repeated noise, one update per step on large batches.

    Kim et al., "FlashSAC", 2026, in its setting for one simulated environment,
    layers as in public copies of the authors' code. Deviations: the actor's
    batch is s alone; its step size follows the clock; the action repeat is an
    assumption.
    """
    settings = _SCALED | {
        "start_training": 10_000,
        "replay.batch_size": 512,
        "agent.actor.network": _flash(128, 128),
        "agent.critic.network": _flash(256, 256),
        "agent.critic.loss_scale": 0.5,
        "agent.update_order": _ACTOR_FIRST,
        "agent.actor_delay": 2,
        "agent.lr_schedule": "cosine",
        "agent.noise_repeat": 16,
        "agent.reward_scale": "return_bound",
        "hp.lr_end": 0.5,
        "hp.tau": 0.01,
        # The entropy of a Gaussian with sigma 0.15, per dimension: -0.478182.
        "hp.target_entropy_scale": 0.478182,
    }
    return with_settings(sac(), settings)

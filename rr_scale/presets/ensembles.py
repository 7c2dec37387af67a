"""SAC with more critics, or with more to say: REDQ and TQC."""

from __future__ import annotations

from rr_scale.config import RunConfig
from rr_scale.presets.registry import register, with_settings
from rr_scale.presets.sac import sac


@register
def redq() -> RunConfig:
    """Ten critics, two random ones in each target, twenty updates per step.

    Chen et al., "Randomized ensembled double Q-learning", ICLR 2021, table 2
    and the authors' code. Deviations: the actor moves on the first of every 20
    critic updates, not on the last; target entropy -A/2, alpha form and start
    of the temperature, and initialisation as in jaxrl.
    """
    return with_settings(
        sac(),
        {
            "updates_per_step": 20.0,
            "start_training": 5000,
            "agent.critic.ensemble_size": 10,
            "agent.critic.target_subset": 2,
            "agent.actor.objective_ensemble": "mean",
            "agent.actor_delay": 20,
        },
    )


@register
def tqc() -> RunConfig:
    """Five critics of 25 quantiles; the largest two per critic are left out of the target.

    Kuznetsov et al., "Controlling overestimation bias with truncated mixture
    of continuous distributional quantile critics", ICML 2020. Two are dropped
    on every task (the paper: 0 on HalfCheetah, 5 on Hopper). Deviations: what
    `sac` has otherwise (initialisation, log sigma, warm-up). From the paper,
    not compared with the authors' code.
    """
    return with_settings(
        sac(),
        {
            "agent.critic.network.hidden": (512, 512, 512),
            "agent.critic.ensemble_size": 5,
            "agent.critic.value": "quantile",
            "agent.critic.num_quantiles": 25,
            "agent.critic.target_ensemble": "truncated",
            "agent.critic.dropped_quantiles": 2,
            "agent.actor.objective_ensemble": "mean",
            # The mean over critics and quantiles, where ours are sums.
            "agent.critic.loss_scale": 1 / (5 * 25),
            "hp.target_entropy_scale": 1.0,
        },
    )

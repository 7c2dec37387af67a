"""Ensemble rules and pessimism, and the critics that they read."""

from __future__ import annotations

from rr_scale.config import AgentConfig, RunConfig
from rr_scale.errors import require
from rr_scale.validation.steps import check_step

# Rules that compare critics point by point, which probabilities of atoms do not allow.
_POINTWISE = ("min", "mean", "truncated")
_LEARNED_PESSIMISM = ("gpl", "vpl")


def check_rules(agent: AgentConfig) -> None:
    """Checks the ensemble rules of target and actor against what a critic says."""
    critic = agent.critic
    rules = {
        "agent.critic.target_ensemble": critic.target_ensemble,
        "agent.actor.objective_ensemble": agent.actor.objective_ensemble,
    }
    points = critic.num_quantiles if critic.value == "quantile" else 1
    for path, rule in rules.items():
        require(
            critic.value != "categorical" or rule not in _POINTWISE,
            f"{path} must be first, smaller_mean, mixture or pessimistic for "
            f"agent.critic.value=categorical, got '{rule}'",
        )
        require(
            rule != "truncated" or critic.dropped_quantiles < points,
            f"agent.critic.dropped_quantiles must be below the {points} a critic has for "
            f"{path}=truncated, got {critic.dropped_quantiles}",
        )
    require(
        critic.target_subset <= critic.ensemble_size,
        f"agent.critic.target_subset must be at most agent.critic.ensemble_size "
        f"({critic.ensemble_size}), got {critic.target_subset}",
    )


def check_pessimism(config: RunConfig) -> None:
    """Checks where pessimism comes from, and the loss of the critics."""
    agent = config.agent
    rules = (agent.critic.target_ensemble, agent.actor.objective_ensemble)
    require(
        agent.pessimism == "fixed" or "pessimistic" in rules,
        f"agent.pessimism={agent.pessimism} needs agent.critic.target_ensemble=pessimistic (or "
        f"agent.actor.objective_ensemble), got '{agent.critic.target_ensemble}'",
    )
    require(
        agent.pessimism != "vpl" or config.replay.validation_share > 0,
        f"agent.pessimism=vpl learns from validation episodes: replay.validation_share must be "
        f"above 0, got {config.replay.validation_share}",
    )
    require(
        agent.critic.loss == "squared" or agent.critic.value == "scalar",
        f"agent.critic.loss={agent.critic.loss} needs agent.critic.value=scalar, "
        f"got '{agent.critic.value}'",
    )
    compared = agent.critic.target_subset or agent.critic.ensemble_size
    require(
        agent.pessimism == "fixed" or compared > 1,
        f"agent.pessimism={agent.pessimism} needs critics that can disagree: "
        f"agent.critic.ensemble_size must be at least 2 (and agent.critic.target_subset not 1), "
        f"got {agent.critic.ensemble_size} ({agent.critic.target_subset})",
    )
    learned = agent.pessimism in _LEARNED_PESSIMISM
    check_step(agent, "pessimism", "critic", learned, f"agent.pessimism={agent.pessimism}")
    for hp in config.variant_hps():
        require(
            not learned or hp.pessimism_min <= hp.pessimism <= hp.pessimism_max,
            f"hp.pessimism must be from hp.pessimism_min to hp.pessimism_max "
            f"({hp.pessimism_min} to {hp.pessimism_max}), got {hp.pessimism}",
        )


def check_return_range(config: RunConfig) -> None:
    """Checks the returns that atoms stand for, and that rewards are scaled to."""
    agent = config.agent
    for hp in config.variant_hps():
        require(
            agent.critic.value != "categorical" or hp.v_min < hp.v_max,
            f"hp.v_min must be below hp.v_max ({hp.v_max}) for agent.critic.value=categorical, "
            f"got {hp.v_min}",
        )
        require(
            agent.reward_scale != "return_bound" or hp.v_max > 0,
            f"hp.v_max must be above 0 for agent.reward_scale=return_bound, got {hp.v_max}",
        )

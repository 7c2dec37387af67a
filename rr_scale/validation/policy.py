"""The policy, and what only a policy with a sigma can have."""

from __future__ import annotations

from rr_scale.config import AgentConfig
from rr_scale.errors import require


def check_policy(agent: AgentConfig) -> None:
    """Checks the policy's distribution, its temperature and its exploration."""
    actor = agent.actor
    require(
        actor.log_sigma_min < actor.log_sigma_max,
        f"agent.actor.log_sigma_min must be below agent.actor.log_sigma_max "
        f"({actor.log_sigma_max}), got {actor.log_sigma_min}",
    )
    stochastic = actor.distribution == "tanh_gaussian"
    require(
        stochastic or agent.temperature == "none",
        f"agent.temperature must be none for a deterministic policy "
        f"(agent.actor.distribution), got '{agent.temperature}'",
    )
    require(
        stochastic or agent.exploration != "policy",
        "agent.exploration must be gaussian or ou for a deterministic policy "
        "(agent.actor.distribution), got 'policy'",
    )

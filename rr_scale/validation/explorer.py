"""The optimistic explorer, and the actor and critics that it needs."""

from __future__ import annotations

import math

from rr_scale.config import RunConfig
from rr_scale.errors import require
from rr_scale.validation.steps import check_step

# What e^x with x from -10 to 7.5 can be; see core/duals.py.
_LEAST_DUAL, _GREATEST_DUAL = math.exp(-10.0), math.exp(7.5)


def check_explorer(config: RunConfig) -> None:
    """Checks its steps, its network, and the policy and critics beside it."""
    agent, explorer = config.agent, config.agent.explorer
    optimistic = explorer.kind == "optimistic"
    cause = f"agent.explorer.kind={explorer.kind}"
    check_step(agent, "explorer", None, optimistic, cause)
    check_step(agent, "optimism", "explorer", optimistic, cause)
    if not optimistic:
        return
    require(
        agent.actor.distribution != "deterministic",
        f"{cause} needs a policy with a sigma, got "
        f"agent.actor.distribution={agent.actor.distribution}",
    )
    require(
        agent.critic.ensemble_size > 1,
        f"{cause} needs critics that can disagree: agent.critic.ensemble_size must be at least 2, "
        f"got {agent.critic.ensemble_size}",
    )
    network = explorer.network
    require(
        not network.has_batch_statistics and network.kernel != "spectral_norm",
        f"{cause} needs a network without running statistics, got agent.explorer.network."
        f"normalization={network.normalization} and kernel={network.kernel}",
    )
    for hp in config.variant_hps():
        for name in ("init_optimism", "init_kl_weight"):
            value = getattr(hp, name)
            require(
                _LEAST_DUAL < value < _GREATEST_DUAL,
                f"hp.{name} must be above e^-10 and below e^7.5 (bounds of the learned value), "
                f"got {value}",
            )

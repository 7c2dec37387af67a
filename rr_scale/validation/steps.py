"""The order of an update's steps: each is there if it is needed, and after what it uses."""

from __future__ import annotations

from rr_scale.config import AgentConfig
from rr_scale.errors import require

LEARNED_TEMPERATURES = ("alpha", "log")


def check_order(agent: AgentConfig) -> None:
    """Checks the steps that every agent has: critic, target, actor, temperature."""
    order, path, shown = agent.update_order, "agent.update_order", ",".join(agent.update_order)
    require(len(set(order)) == len(order), f"{path} must not repeat a step, got {shown}")
    for step in ("critic", "actor"):
        require(step in order, f"{path} must contain '{step}', got {shown}")
    _check_target_step(agent, path, shown)
    learned = agent.temperature in LEARNED_TEMPERATURES
    # It uses the entropy that the actor step measured.
    check_step(agent, "temperature", "actor", learned, f"agent.temperature={agent.temperature}")


def _check_target_step(agent: AgentConfig, path: str, shown: str) -> None:
    critic = agent.critic
    needed = critic.target_network != "none" or critic.bootstrap_policy != "current"
    if needed:
        require("target" in agent.update_order, f"{path} must contain 'target', got {shown}")
    else:
        require(
            "target" not in agent.update_order,
            f"{path} must not contain 'target' while agent.critic.target_network is none and "
            f"agent.critic.bootstrap_policy is current, got {shown}",
        )


def check_step(agent: AgentConfig, step: str, source: str | None, wanted: bool, cause: str) -> None:
    """Checks that a step is there if and only if it is wanted, and after what it uses.

    Args:
      agent: has the order.
      step: its name.
      source: the step whose numbers it uses, in the same update; None if there is none.
      wanted: whether it should be there.
      cause: the setting that says so.
    """
    order, shown = agent.update_order, ",".join(agent.update_order)
    relation = "contain" if wanted else "not contain"
    require(
        (step in order) == wanted,
        f"agent.update_order must {relation} '{step}' while {cause}, got {shown}",
    )
    if not wanted or source is None:
        return
    between = order[order.index(source) : order.index(step)] if source in order else ()
    require(
        bool(between) and all(agent.delay(each) == agent.delay(step) for each in between),
        f"agent.update_order must have '{step}' after '{source}' with no step of another delay "
        f"between them, got {shown}",
    )

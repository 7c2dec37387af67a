"""Resets of layers and units, and the networks that have them."""

from __future__ import annotations

from rr_scale.config import AgentConfig, NetworkConfig, ResetRule, RunConfig
from rr_scale.errors import require

# Activations that give exactly 0 for half of their arguments.
_CAN_DIE = ("relu",)


def check_resets(config: RunConfig) -> None:
    """Checks that the layers that resets name exist, and that units can be recycled."""
    for index, rule in enumerate(config.resets):
        _check_reset(config.agent, rule, f"resets.{index}")


def _check_reset(agent: AgentConfig, rule: ResetRule, path: str) -> None:
    recycles = rule.how == "recycle"
    cause = f"{path}.how=recycle" if recycles else f"{path}.layers={','.join(rule.layers)}"
    if not recycles and not rule.layers:
        return
    require(
        rule.what != "last_layers",
        f"{cause} is about hidden layers: {path}.what must be all, actor or critic, "
        f"got 'last_layers'",
    )
    for part in rule.networks:
        if part == "explorer" and agent.explorer.kind == "none":
            continue
        network = getattr(agent, part).network
        where = f"agent.{part}.network"
        unknown = [name for name in rule.layers if name not in network.layer_names]
        require(
            not unknown,
            f"{path}.layers must be names of layers that {where}.hidden has "
            f"({', '.join(network.layer_names) or 'none'}), got '{''.join(unknown[:1])}'",
        )
        if recycles:
            _check_recycled(network, rule, path, where)


def _check_recycled(network: NetworkConfig, rule: ResetRule, path: str, where: str) -> None:
    refused = {
        "trunk": ("simba_v2", "keeps activations on a sphere, where no unit can leave alone"),
        "kernel": ("weight_norm", "lengthens the other weights where some become 0"),
        "activation": ("crelu", "has no unit that is silent"),
    }
    for name, (value, reason) in refused.items():
        require(
            getattr(network, name) != value,
            f"{path}.how=recycle does not go with {where}.{name}={value}, which {reason}",
        )
    require(
        rule.threshold > 0 or network.activation in _CAN_DIE,
        f"{path}.threshold must be above 0 for {where}.activation={network.activation}, whose "
        f"units are never exactly 0",
    )

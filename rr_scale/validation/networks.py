"""Checking the settings of networks against each other."""

from __future__ import annotations

from rr_scale.config import AgentConfig, NetworkConfig
from rr_scale.errors import UserError

_RESIDUAL = ("bronet", "simba", "simba_v2", "flash")
# What the hyperspherical trunk brings along, and what else it could be told.
_OWN_LAYERS = {
    "normalization": "none",
    "normalize_input": False,
    "unit_scales": False,
    "dropout": 0.0,
    "kernel": "free",
    "unit_head": False,
}


def check_networks(agent: AgentConfig) -> None:
    """Checks the networks of actor and critics, and the passes through the critics.

    Raises:
      UserError: the first thing that is wrong, in one line.
    """
    parts = ["actor", "critic"] + ["explorer"] * (agent.explorer.kind != "none")
    for part in parts:
        _check_network(getattr(agent, part).network, f"agent.{part}.network")
    for part in ("actor", "critic", "explorer"):
        network = getattr(agent, part).network
        if network.trunk == "flash" and network.activation == "crelu":
            raise UserError(
                f"agent.{part}.network.activation=crelu doubles the features, which "
                f"agent.{part}.network.trunk=flash adds to those before it"
            )
    critic = agent.critic
    if critic.target_network == "none" and not critic.has_joint_pass:
        raise UserError(
            "agent.critic.target_network=none needs one pass over (s, a) and (s', a'): "
            "agent.critic.network.normalization=batch_norm or batch_renorm (got "
            f"{critic.network.normalization}), or agent.critic.next_pass=joint (got "
            f"{critic.next_pass})"
        )


def _check_network(network: NetworkConfig, path: str) -> None:
    if network.dropout >= 1:
        raise UserError(f"{path}.dropout must be below 1, got {network.dropout}")
    if network.trunk in _RESIDUAL and len(set(network.hidden)) != 1:
        shown = ",".join(map(str, network.hidden))
        raise UserError(
            f"{path}.hidden must be one width, repeated for each block, for {path}.trunk="
            f"{network.trunk}, got {shown or 'nothing'}"
        )
    if network.trunk == "simba_v2":
        for name, own in _OWN_LAYERS.items():
            if getattr(network, name) != own:
                raise UserError(
                    f"{path}.{name} must be {str(own).lower()}: {path}.trunk=simba_v2 has layers "
                    f"of its own, got {getattr(network, name)}"
                )
        if network.activation == "crelu":
            raise UserError(f"{path}.activation must not be crelu with {path}.trunk=simba_v2")
    if network.trunk != "mlp" and network.normalize_after_activation:
        raise UserError(
            f"{path}.normalize_after_activation is for {path}.trunk=mlp, got {network.trunk}"
        )
    if network.normalization == "none":
        for name in ("normalize_input", "normalize_after_activation", "unit_scales"):
            if getattr(network, name):
                raise UserError(f"{path}.{name} needs {path}.normalization, which is none")
    if network.kernel == "spectral_norm" and network.trunk == "mlp" and len(network.hidden) < 2:
        raise UserError(
            f"{path}.kernel=spectral_norm leaves the first layer alone and needs two widths in "
            f"{path}.hidden, got {','.join(map(str, network.hidden))}"
        )

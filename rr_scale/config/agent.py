"""Settings of the agent: policy, critics, and how one update goes."""

from __future__ import annotations

import dataclasses

from rr_scale.config.network import NetworkConfig
from rr_scale.setting import setting


@dataclasses.dataclass(frozen=True)
class ActorConfig:
    """The policy."""

    network: NetworkConfig = NetworkConfig()
    distribution: str = setting(
        "tanh_gaussian", "what the policy head says", choices=("tanh_gaussian", "deterministic")
    )
    log_sigma_map: str = setting(
        "tanh",
        "how the head reaches [log_sigma_min, log_sigma_max]: smoothly or by a hard clip",
        choices=("tanh", "clip"),
    )
    log_sigma_min: float = setting(-10.0, "lower end of log sigma")
    log_sigma_max: float = setting(2.0, "upper end of log sigma")
    log_prob: str = setting(
        "stable",
        "tanh correction: exact, or log(1 - a^2 + 1e-6) as in older code",
        choices=("stable", "epsilon"),
    )
    objective_ensemble: str = setting(
        "min", "Q that the actor ascends, over the critics", choices=("min", "mean", "first")
    )


@dataclasses.dataclass(frozen=True)
class CriticConfig:
    """The action-value ensemble and its target."""

    network: NetworkConfig = NetworkConfig()
    ensemble_size: int = setting(2, "number of critics N", low=1)
    target_ensemble: str = setting(
        "min", "value of the next state, over the target critics", choices=("min", "mean", "first")
    )
    bootstrap_policy: str = setting(
        "current",
        "who picks the next action: the actor, its target, or its target plus clipped noise",
        choices=("current", "target", "target_noise"),
    )
    loss_scale: float = setting(
        1.0, "factor on the sum over critics of the mean squared error", above=0
    )


@dataclasses.dataclass(frozen=True)
class AgentConfig:
    """Structure of the agent: changing any of this compiles another program."""

    actor: ActorConfig = ActorConfig()
    critic: CriticConfig = CriticConfig()
    temperature: str = setting(
        "alpha",
        "entropy coefficient: learned by alpha*(H-target) or log alpha*(H-target), fixed, or none",
        choices=("alpha", "log", "fixed", "none"),
    )
    update_order: tuple[str, ...] = setting(
        ("critic", "target", "actor", "temperature"),
        "the steps of one update, in order",
        choices=("critic", "target", "actor", "temperature"),
    )
    actor_delay: int = setting(1, "critic updates per actor (and temperature) update", low=1)
    target_delay: int = setting(1, "critic updates per target-network update", low=1)
    exploration: str = setting(
        "policy",
        "what acting adds: nothing (sample from the policy), gaussian, or ou noise",
        choices=("policy", "gaussian", "ou"),
    )
    normalize_observations: bool = setting(
        False, "running mean and variance of observations seen while acting"
    )

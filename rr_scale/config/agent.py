"""Settings of the agent: policy, critics, and how one update goes."""

from __future__ import annotations

import dataclasses

from rr_scale.config.network import NetworkConfig
from rr_scale.config.optimizer import OptimizerConfig
from rr_scale.setting import setting

_RULES = ("min", "mean", "first", "pessimistic", "smaller_mean", "mixture", "truncated")


@dataclasses.dataclass(frozen=True)
class ActorConfig:
    """The policy."""

    network: NetworkConfig = NetworkConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
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
        "min", "Q that the actor ascends, over the critics; rules as for the target", choices=_RULES
    )
    num_samples: int = setting(1, "actions per state in the actor's loss", low=1)


@dataclasses.dataclass(frozen=True)
class CriticConfig:
    """The action-value ensemble and its target."""

    network: NetworkConfig = NetworkConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    ensemble_size: int = setting(2, "number of critics N", low=1)
    value: str = setting(
        "scalar",
        "what a critic says about the return: its mean, probabilities of num_atoms values from "
        "hp.v_min to hp.v_max, or num_quantiles quantiles",
        choices=("scalar", "categorical", "quantile"),
    )
    loss: str = setting(
        "squared",
        "loss of a scalar critic: the squared error, or half of it and linear beyond 1 (for "
        "replay.sampling=lap)",
        choices=("squared", "huber"),
    )
    num_atoms: int = setting(101, "atoms of a categorical critic", low=2)
    num_quantiles: int = setting(100, "quantiles of a quantile critic", low=1)
    target_ensemble: str = setting(
        "min",
        "value of the next state, over the target critics: point by point the min, the mean or "
        "mean - pessimism x spread; the first; the distribution with the smaller mean; the mean "
        "of the distributions; or all quantiles without the largest (truncated)",
        choices=_RULES,
    )
    target_subset: int = setting(
        0, "target critics drawn at random in every update, for the rule to act on (0: all)", low=0
    )
    dropped_quantiles: int = setting(
        2, "largest quantiles per critic that the rule truncated leaves out", low=0
    )
    bootstrap_policy: str = setting(
        "current",
        "who picks the next action: the actor, its target, or its target plus clipped noise",
        choices=("current", "target", "target_noise"),
    )
    target_network: str = setting(
        "polyak",
        "slow copy of the critics that targets come from: follows by hp.tau, copied whole (every "
        "target_delay updates), or none: targets come from the critics themselves",
        choices=("polyak", "hard", "none"),
    )
    next_pass: str = setting(
        "auto",
        "(s, a) and (s', a') go through the critics in one pass or in two (auto: in one if their "
        "network normalises by the batch)",
        choices=("auto", "joint", "separate"),
    )
    loss_scale: float = setting(1.0, "factor on the sum over critics of the mean loss", above=0)

    @property
    def has_joint_pass(self) -> bool:
        """Whether one pass serves (s, a) and (s', a')."""
        if self.next_pass == "auto":
            return self.network.has_batch_statistics
        return self.next_pass == "joint"


@dataclasses.dataclass(frozen=True)
class ExplorerConfig:
    """A second policy that only explores."""

    kind: str = setting(
        "none",
        "who acts in training: the actor, or a policy beside it that ascends an optimistic value "
        "and is held near the actor by its KL divergence",
        choices=("none", "optimistic"),
    )
    network: NetworkConfig = NetworkConfig()


@dataclasses.dataclass(frozen=True)
class AgentConfig:
    """Structure of the agent: changing any of this compiles another program."""

    actor: ActorConfig = ActorConfig()
    critic: CriticConfig = CriticConfig()
    explorer: ExplorerConfig = ExplorerConfig()
    temperature: str = setting(
        "alpha",
        "entropy coefficient: learned by alpha*(H-target) or log alpha*(H-target), fixed, or none",
        choices=("alpha", "log", "fixed", "none"),
    )
    pessimism: str = setting(
        "fixed",
        "factor of the spread in the rule pessimistic: hp.pessimism; learned from training batches "
        "(gpl) or from validation batches (vpl); or 0 or hp.pessimism, as a bandit chooses (top)",
        choices=("fixed", "gpl", "vpl", "top"),
    )
    update_order: tuple[str, ...] = setting(
        ("critic", "target", "actor", "temperature"),
        "the steps of one update, in order",
        choices=(
            "critic",
            "target",
            "actor",
            "explorer",
            "temperature",
            "optimism",
            "pessimism",
        ),
    )
    actor_delay: int = setting(
        1, "critic updates per update of actor, explorer, temperature and optimism", low=1
    )
    target_delay: int = setting(1, "critic updates per target-network update", low=1)
    lr_schedule: str = setting(
        "constant",
        "how all step sizes go to hp.lr_end of themselves, over all updates until the horizon",
        choices=("constant", "linear", "cosine"),
    )
    exploration: str = setting(
        "policy",
        "what acting adds: nothing (sample from the policy), gaussian, or ou noise",
        choices=("policy", "gaussian", "ou"),
    )
    normalize_observations: bool = setting(
        False, "running mean and variance of observations seen while acting"
    )
    noise_repeat: int = setting(
        1, "the most env steps that exploration repeats its random numbers (1: never)", low=1
    )
    reward_scale: str = setting(
        "none",
        "what rewards of a batch are divided by: the standard deviation of discounted returns seen "
        "while acting, or that and more so that the largest is at most hp.v_max",
        choices=("none", "return_std", "return_bound"),
    )

    def delay(self, step: str) -> int:
        """Critic updates per run of a step of `update_order`."""
        fixed = {"critic": 1, "pessimism": 1, "target": self.target_delay}
        return fixed.get(step, self.actor_delay)

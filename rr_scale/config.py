"""Every setting of a run: frozen dataclasses, one default, in one place.

Each field says what it is, which values are legal and whether it may change
when a run is resumed. `configure.py` reads these declarations to set, check,
compare and store configurations; nothing else repeats a default.

The defaults are those of the `sr_sac` preset.
"""

from __future__ import annotations

import dataclasses
import math

from rr_scale.setting import setting


@dataclasses.dataclass(frozen=True)
class HyperParams:
    """Numbers that are traced, one set per lane: changing one never recompiles."""

    actor_lr: float = setting(3e-4, "Adam step size of the actor", low=0)
    critic_lr: float = setting(3e-4, "Adam step size of the critics", low=0)
    temperature_lr: float = setting(3e-4, "Adam step size of the temperature", low=0)
    discount: float = setting(0.99, "discount factor gamma", low=0, high=1)
    tau: float = setting(0.005, "Polyak step towards the online network", low=0, high=1)
    init_temperature: float = setting(1.0, "initial (or fixed) entropy coefficient", low=0)
    target_entropy_scale: float = setting(
        0.5, "target entropy is minus this times the number of action dimensions"
    )
    noise_start: float = setting(0.1, "exploration noise at the first step", low=0)
    noise_end: float = setting(0.1, "exploration noise at the horizon", low=0)
    ou_theta: float = setting(0.15, "mean reversion of Ornstein-Uhlenbeck noise", low=0)
    ou_dt: float = setting(0.01, "time step of Ornstein-Uhlenbeck noise", above=0)
    target_noise: float = setting(0.2, "target policy smoothing, standard deviation", low=0)
    target_noise_clip: float = setting(0.5, "target policy smoothing, clip", low=0)
    adam_b1: float = setting(0.9, "Adam, first moment decay", low=0, high=1)
    adam_b2: float = setting(0.999, "Adam, second moment decay", low=0, high=1)
    adam_eps: float = setting(1e-8, "Adam, epsilon outside the root", above=0)
    actor_max_grad_norm: float = setting(
        math.inf, "global-norm clip of the actor's raw gradient (inf: off)", above=0
    )
    critic_max_grad_norm: float = setting(
        math.inf, "global-norm clip of the critics' raw gradient (inf: off)", above=0
    )
    critic_weight_decay: float = setting(
        0.0, "L2 penalty added to the critics' raw gradient (DDPG 2015: 1e-2)", low=0
    )


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """A trunk and how its weights start."""

    trunk: str = setting("mlp", "architecture between input and head", choices=("mlp",))
    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers", low=1)
    activation: str = setting("relu", "after each hidden layer", choices=("relu", "tanh", "elu"))
    initializer: str = setting(
        "orthogonal",
        "kernel initialiser: orthogonal (gain sqrt 2), xavier_uniform, or fan_in_uniform",
        choices=("orthogonal", "xavier_uniform", "fan_in_uniform"),
    )


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


@dataclasses.dataclass(frozen=True)
class ReplayConfig:
    """What is remembered and how it is drawn."""

    capacity: int = setting(1_000_000, "transitions kept per lane", low=1)
    storage: str = setting(
        "plain",
        "two observations per transition, or each observation once: the same samples from half the "
        "memory (large observations), but fewer transitions if episodes average under 8 steps",
        choices=("plain", "compact"),
        free=True,
    )
    batch_size: int = setting(256, "transitions per update", low=1)
    n_step: int = setting(1, "rewards summed before bootstrapping", low=1)
    bootstrap_on_truncation: bool = setting(
        True, "a time limit is not death; false replicates code that stores the raw `done`"
    )


@dataclasses.dataclass(frozen=True)
class ResetRule:
    """When a reset fires, what it touches and how.

    With a non-empty `at` it fires at those counts; otherwise whenever the
    count passes a multiple of `interval`. Counts run from env step 0 and
    depend on nothing else.
    """

    unit: str = setting(
        "updates",
        "what is counted: env_steps, or updates read as env_steps x replay ratio",
        choices=("updates", "env_steps"),
    )
    interval: int = setting(2_560_000, "count between two firings", low=1)
    at: tuple[int, ...] = setting((), "exact counts to fire at, instead of the interval", low=1)
    what: str = setting(
        "all",
        "all networks (reinitialized: the temperature too), or only a part",
        choices=("all", "actor", "critic", "last_layers"),
    )
    how: str = setting(
        "reinitialize",
        "new weights, or keep*old + (1-keep)*new",
        choices=("reinitialize", "shrink_perturb"),
    )
    keep: float = setting(0.5, "share of the old weights in shrink_perturb", low=0, high=1)
    same_weights: bool = setting(
        False, "return to the initial weights every time (replicates older code)"
    )


@dataclasses.dataclass(frozen=True)
class Variant:
    """Lanes with other hyper-parameters, in a folder of their own (Python only)."""

    name: str = setting("", "folder below save_dir and suffix of exp_name")
    overrides: tuple[tuple[str, float], ...] = setting((), "HyperParams field and value")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """One run: lanes, task, budget, and where the files go."""

    env_name: str = setting("cheetah-run", "task: cheetah-run, Ant-v5, probe-...")
    preset: str = setting("sr_sac", "the recipe that the other fields started from")
    exp_name: str = setting("", "name in result rows ('': the preset)")
    seed: int = setting(0, "seed of the first lane", low=0, high=2**31 - 1)
    num_seeds: int = setting(1, "lanes seed ... seed + num_seeds - 1", low=1)
    updates_per_step: float = setting(
        32.0, "replay ratio: gradient updates per environment step", low=0
    )
    max_steps: int = setting(1_000_000, "agent decisions per lane", low=1, free=True)
    start_training: int = setting(10_000, "random warm-up steps before the first update", low=1)
    action_repeat: int = setting(1, "frames per agent decision", low=1)
    agent: AgentConfig = AgentConfig()
    hp: HyperParams = HyperParams()
    replay: ReplayConfig = ReplayConfig()
    resets: tuple[ResetRule, ...] = setting((ResetRule(),), "reset rules")
    variants: tuple[Variant, ...] = setting((), "lanes x variants (Python only)")
    noise_horizon: int = setting(
        0, "env steps over which noise goes from start to end (0: the first budget)", low=0
    )
    eval_interval: int = setting(5_000, "env steps between evaluations", low=1)
    eval_episodes: int = setting(10, "deterministic episodes per evaluation and lane", low=1)
    eval_envs: int = setting(32, "simulators kept for evaluation, at most", low=1, free=True)
    env_workers: int = setting(
        0, "processes stepping environments (0: one by one)", low=0, free=True
    )
    background_eval: bool = setting(
        True, "evaluate beside training; the numbers are the same", free=True
    )
    overlap: bool = setting(
        False, "choose each action before the updates of the step before it: another algorithm"
    )
    devices: int = setting(
        0, "devices that lanes are dealt out to (0: all; on a CPU one per core)", low=0
    )
    lanes_per_group: int = setting(
        0, "lanes computed as one batch on a device (0: one on a CPU, else all)", low=0
    )
    matmul_precision: str = setting(
        "",
        "arithmetic of float32 matrix products ('': as jax is set)",
        choices=("", "bfloat16", "tensorfloat32", "float32"),
    )
    log_interval: int = setting(1_000, "env steps between rows of metrics.csv", low=1)
    checkpoint_freq: int = setting(
        25_000, "env steps between checkpoints (0: only at the end)", low=0, free=True
    )
    save_dir: str = setting("", "folder of the run ('': derived from the experiment)", free=True)
    resume: str = setting(
        "auto",
        "continue what save_dir holds if anything; insist on it; or discard it and start over",
        choices=("auto", "must", "never"),
        free=True,
    )
    fallback: bool = setting(
        False, "if the newest checkpoint is damaged, use the one before it", free=True
    )
    require_exact: bool = setting(
        False, "refuse to resume where bit-exactness cannot hold", free=True
    )
    nan_policy: str = setting(
        "auto",
        "a lane turned non-finite: drop it, stop the run, or continue (auto: drop if several)",
        choices=("auto", "drop", "stop", "continue"),
        free=True,
    )
    track: bool = setting(False, "also log to Weights & Biases", free=True)
    tqdm: bool = setting(True, "show a progress bar", free=True)

    @property
    def schedule_horizon(self) -> int:
        """Env steps over which schedules run, as decided at the first start."""
        return self.noise_horizon or self.max_steps

    def variant_hps(self) -> list[HyperParams]:
        """The hyper-parameters of each variant, or of the run if it has none."""
        if not self.variants:
            return [self.hp]
        return [dataclasses.replace(self.hp, **dict(v.overrides)) for v in self.variants]

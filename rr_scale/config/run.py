"""Settings of a run."""

from __future__ import annotations

import dataclasses

from rr_scale.config.agent import AgentConfig
from rr_scale.config.hyperparams import HyperParams
from rr_scale.config.replay import ReplayConfig
from rr_scale.config.resets import ResetRule
from rr_scale.setting import setting


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
    diagnose_interval: int = setting(
        0,
        "env steps between diagnostics of the networks in metrics.csv; with them, evaluations "
        "compare Q with returns (0: neither)",
        low=0,
        free=True,
    )
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

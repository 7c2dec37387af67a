"""Numbers that may differ between lanes."""

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
    v_min: float = setting(-10.0, "least return that a categorical critic knows")
    v_max: float = setting(10.0, "greatest return that a categorical critic knows")
    pessimism: float = setting(
        1.0, "initial (or fixed) pessimism, in standard deviations over the critics (1: min of two)"
    )
    pessimism_lr: float = setting(3e-4, "Adam step size of a learned pessimism", low=0)
    pessimism_min: float = setting(-1.0, "least pessimism that is learned")
    pessimism_max: float = setting(5.0, "greatest pessimism that is learned")
    init_optimism: float = setting(
        1.0, "initial optimism of the explorer, in standard deviations over the critics", above=0
    )
    init_kl_weight: float = setting(0.25, "initial weight of the explorer's KL divergence", above=0)
    optimism_lr: float = setting(3e-5, "Adam step size of optimism and KL weight", low=0)
    target_kl: float = setting(
        0.05, "KL divergence of the explorer from the actor per action dimension", low=0
    )
    explorer_std: float = setting(
        0.75, "sigma of the explorer as a multiple of the actor's", above=0
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
    actor_b1: float = setting(-1.0, "adam_b1 of the actor (-1: hp.adam_b1)", low=-1)
    actor_b2: float = setting(-1.0, "adam_b2 of the actor (-1: hp.adam_b2)", low=-1)
    critic_b1: float = setting(-1.0, "adam_b1 of the critics (-1: hp.adam_b1)", low=-1)
    critic_b2: float = setting(-1.0, "adam_b2 of the critics (-1: hp.adam_b2)", low=-1)
    temperature_b1: float = setting(-1.0, "adam_b1 of the temperature (-1: hp.adam_b1)", low=-1)
    temperature_b2: float = setting(-1.0, "adam_b2 of the temperature (-1: hp.adam_b2)", low=-1)
    dual_b1: float = setting(-1.0, "adam_b1 of other dual variables (-1: hp.adam_b1)", low=-1)
    dual_b2: float = setting(-1.0, "adam_b2 of other dual variables (-1: hp.adam_b2)", low=-1)
    lr_warmup: float = setting(
        0.0, "share of all updates over which step sizes rise from 0", low=0, high=1
    )
    lr_end: float = setting(
        0.1, "step sizes at the end of agent.lr_schedule, as a share of the first ones", low=0
    )
    actor_max_grad_norm: float = setting(
        math.inf, "global-norm clip of the actor's raw gradient (inf: off)", above=0
    )
    critic_max_grad_norm: float = setting(
        math.inf, "global-norm clip of the critics' raw gradient (inf: off)", above=0
    )
    actor_weight_decay: float = setting(
        0.0, "weight decay of the actor (how it enters: agent.actor.optimizer.name)", low=0
    )
    critic_weight_decay: float = setting(
        0.0, "weight decay of the critics; as L2 penalty, DDPG 2015 has 1e-2", low=0
    )
    priority_exponent: float = setting(
        0.6, "how much priorities count, alpha: 0 draws uniformly (LAP: 0.4)", low=0
    )
    priority_epsilon: float = setting(1e-6, "added to |TD error| (prioritized)", above=0)
    importance_start: float = setting(
        0.4, "importance weights, beta at the first step (prioritized)", low=0
    )
    importance_end: float = setting(
        1.0, "importance weights, beta at the horizon (prioritized)", low=0
    )
    hindsight_share: float = setting(
        0.8,
        "share of transitions that are given another goal (0.8: 4 for each real one)",
        low=0,
        high=1,
    )
    lap_floor: float = setting(1.0, "smallest |TD error| that counts (lap)", above=0)

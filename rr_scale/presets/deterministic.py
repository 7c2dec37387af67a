"""Deterministic policy gradients."""

from __future__ import annotations

from dataclasses import replace

from rr_scale.config import RunConfig
from rr_scale.presets.registry import register
from rr_scale.presets.sac import sac


@register
def td3() -> RunConfig:
    """Twin delayed deep deterministic policy gradient.

    Fujimoto et al., "Addressing function approximation error in actor-critic
    methods", ICML 2018, table 3 and the authors' second version (256x256,
    3e-4). The delay counts critic updates, not env steps, so that it keeps its
    meaning at any replay ratio; the first delayed update is the first update.
    """
    base = sac()
    actor = replace(base.agent.actor, distribution="deterministic", objective_ensemble="first")
    critic = replace(base.agent.critic, bootstrap_policy="target_noise")
    agent = replace(
        base.agent,
        actor=actor,
        critic=critic,
        temperature="none",
        update_order=("critic", "actor", "target"),
        actor_delay=2,
        target_delay=2,
        exploration="gaussian",
    )
    return replace(base, agent=agent)


@register
def ddpg() -> RunConfig:
    """Deep deterministic policy gradient with one critic.

    Lillicrap et al., "Continuous control with deep reinforcement learning",
    ICLR 2016, with today's sizes and step sizes. Deviations: Gaussian instead
    of Ornstein-Uhlenbeck noise, falling linearly from 0.4 to 0.1 over the
    budget; no L2 penalty (`hp.critic_weight_decay`); Polyak step 0.005.
    """
    base = td3()
    critic = replace(base.agent.critic, ensemble_size=1, bootstrap_policy="target")
    agent = replace(base.agent, critic=critic, actor_delay=1, target_delay=1)
    return replace(base, agent=agent, hp=replace(base.hp, noise_start=0.4, noise_end=0.1))

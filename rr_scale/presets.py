"""Published recipes as configurations: each is a `replace` on another one.

A preset holds no code. What it does not mention is as in `RunConfig`, whose
defaults are those of SR-SAC.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rr_scale.config import RunConfig
from rr_scale.errors import UserError, nearest

PRESETS: dict[str, Callable[[], RunConfig]] = {}


def _register(recipe: Callable[[], RunConfig]) -> Callable[[], RunConfig]:
    PRESETS[recipe.__name__] = recipe
    return recipe


def preset(name: str, **overrides: object) -> RunConfig:
    """The configuration of a named recipe.

    Args:
      name: a key of `PRESETS`.
      **overrides: top-level fields of `RunConfig`.

    Raises:
      UserError: no such preset; the message names the nearest.
    """
    if name not in PRESETS:
        raise UserError(f"unknown preset '{name}'{nearest(name, PRESETS)}")
    return replace(PRESETS[name](), preset=name, **overrides)  # type: ignore[arg-type]


@_register
def sr_sac() -> RunConfig:
    """SAC with full periodic resets at a high replay ratio.

    D'Oro et al., "Sample-efficient reinforcement learning by breaking the
    replay ratio barrier", ICLR 2023: everything is reset every 2,560,000
    updates, the replay buffer stays. Deviations: new weights at every reset
    (their code returns to the first ones); the reset clock counts from env
    step 0 and does not wait for an evaluation.
    """
    return RunConfig()


@_register
def sac() -> RunConfig:
    """Soft actor-critic, one update per step, no resets.

    Haarnoja et al., "Soft actor-critic algorithms and applications", 2018, in
    the form of jaxrl. Deviations from the paper: target entropy -A/2 instead
    of -A, critic loss without the factor 1/2, smooth bounds on log sigma.
    """
    return replace(sr_sac(), updates_per_step=1.0, resets=())


@_register
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


@_register
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


@_register
def sac_manipulation() -> RunConfig:
    """SAC for manipulation: temperature starts at 0.2, target entropy -A.

    A practitioner's recipe, not a paper's; no benchmark stands behind it.
    """
    base = sac()
    return replace(base, hp=replace(base.hp, init_temperature=0.2, target_entropy_scale=1.0))


@_register
def sac_locomotion() -> RunConfig:
    """SAC for locomotion: slow actor, long horizon, temperature from 0.5.

    A practitioner's recipe, not a paper's; no benchmark stands behind it.
    """
    base = sac()
    hp = replace(base.hp, actor_lr=1e-4, critic_lr=3e-4, init_temperature=0.5, discount=0.995)
    return replace(base, hp=hp)


@_register
def sac_sparse() -> RunConfig:
    """SAC for sparse rewards: temperature from 1, a buffer of five million.

    A practitioner's recipe, not a paper's; no benchmark stands behind it.
    """
    base = sac()
    return replace(base, replay=replace(base.replay, capacity=5_000_000))


def _learning_rates(rate: float, tau: float) -> RunConfig:
    base = sac()
    hp = replace(base.hp, actor_lr=rate, critic_lr=rate, temperature_lr=rate, tau=tau)
    return replace(base, hp=hp)


@_register
def sac_conservative() -> RunConfig:
    """SAC with all step sizes 1e-4 and tau 0.001: slow and steady."""
    return _learning_rates(1e-4, 0.001)


@_register
def sac_standard() -> RunConfig:
    """SAC with all step sizes 3e-4 and tau 0.005: the same numbers as `sac`."""
    return _learning_rates(3e-4, 0.005)


@_register
def sac_aggressive() -> RunConfig:
    """SAC with all step sizes 1e-3 and tau 0.01: fast where it does not diverge."""
    return _learning_rates(1e-3, 0.01)

"""Soft actor-critic with numbers that practitioners use."""

from __future__ import annotations

from dataclasses import replace

from rr_scale.config import RunConfig
from rr_scale.presets.registry import register
from rr_scale.presets.sac import sac


@register
def sac_manipulation() -> RunConfig:
    """SAC for manipulation: temperature starts at 0.2, target entropy -A.

    A practitioner's recipe, not a paper's; no benchmark stands behind it.
    """
    base = sac()
    return replace(base, hp=replace(base.hp, init_temperature=0.2, target_entropy_scale=1.0))


@register
def sac_locomotion() -> RunConfig:
    """SAC for locomotion: slow actor, long horizon, temperature from 0.5.

    A practitioner's recipe, not a paper's; no benchmark stands behind it.
    """
    base = sac()
    hp = replace(base.hp, actor_lr=1e-4, critic_lr=3e-4, init_temperature=0.5, discount=0.995)
    return replace(base, hp=hp)


@register
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


@register
def sac_conservative() -> RunConfig:
    """SAC with all step sizes 1e-4 and tau 0.001: slow and steady."""
    return _learning_rates(1e-4, 0.001)


@register
def sac_standard() -> RunConfig:
    """SAC with all step sizes 3e-4 and tau 0.005: the same numbers as `sac`."""
    return _learning_rates(3e-4, 0.005)


@register
def sac_aggressive() -> RunConfig:
    """SAC with all step sizes 1e-3 and tau 0.01: fast where it does not diverge."""
    return _learning_rates(1e-3, 0.01)

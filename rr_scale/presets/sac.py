"""Soft actor-critic, with and without resets."""

from __future__ import annotations

from dataclasses import replace

from rr_scale.config import RunConfig
from rr_scale.presets.registry import register


@register
def sr_sac() -> RunConfig:
    """SAC with full periodic resets at a high replay ratio.

    D'Oro et al., "Sample-efficient reinforcement learning by breaking the
    replay ratio barrier", ICLR 2023: everything is reset every 2,560,000
    updates, the replay buffer stays. Deviations: new weights at every reset
    (their code returns to the first ones); the reset clock counts from env
    step 0 and does not wait for an evaluation.
    """
    return RunConfig()


@register
def sac() -> RunConfig:
    """Soft actor-critic, one update per step, no resets.

    Haarnoja et al., "Soft actor-critic algorithms and applications", 2018, in
    the form of jaxrl. Deviations from the paper: target entropy -A/2 instead
    of -A, critic loss without the factor 1/2, smooth bounds on log sigma.
    """
    return replace(sr_sac(), updates_per_step=1.0, resets=())

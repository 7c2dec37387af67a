"""Dropout Q-functions."""

from __future__ import annotations

from rr_scale.config import RunConfig
from rr_scale.presets.registry import register, with_settings
from rr_scale.presets.sac import sac


@register
def droq() -> RunConfig:
    """SAC with dropout and layer normalisation in two critics, 20 updates per step.

    Hiraoka et al., "Dropout Q-functions for doubly efficient reinforcement
    learning", ICLR 2022, in the form of sbx: the actor ascends the mean of the
    critics on every 20th update. Deviations: one dropout rate for all tasks,
    where the paper has one per task; target entropy -A/2 as in `sac`; the
    actor moves on the first update of each twenty and not on the last.
    """
    return with_settings(
        sac(),
        {
            "updates_per_step": 20.0,
            "agent.actor_delay": 20,
            "agent.actor.objective_ensemble": "mean",
            "agent.critic.network.normalization": "layer_norm",
            "agent.critic.network.dropout": 0.01,
        },
    )

"""The regularisation study: every combination of three kinds of regularisation.

Nauman et al., "Overestimation, overfitting, and plasticity in actor-critic: the
bitter lesson of reinforcement learning", ICML 2024. One preset per cell, named
`reg_<critic>_<network>_<plasticity>`. docs/algorithms.md says which levels are
the study's and which are others of their family.
"""

from __future__ import annotations

import itertools
from typing import Any

from rr_scale.config import ResetRule, RunConfig
from rr_scale.presets.registry import register, with_settings
from rr_scale.presets.sac import sac


def _rule(name: str) -> dict[str, Any]:
    """The same rule in the target and in the actor's objective."""
    return {"agent.critic.target_ensemble": name, "agent.actor.objective_ensemble": name}


def _every(env_steps: int, **values: Any) -> dict[str, Any]:
    return {"resets": (ResetRule(unit="env_steps", interval=env_steps, **values),)}


CRITIC: dict[str, dict[str, Any]] = {
    "none": _rule("mean"),
    "min": _rule("min"),
    "top": _rule("pessimistic") | {"agent.pessimism": "top"},
    "gpl": _rule("pessimistic")
    | {
        "agent.pessimism": "gpl",
        "agent.update_order": ("critic", "pessimism", "target", "actor", "temperature"),
        # Theirs is 3e-4 in units of the distance of two critics.
        "hp.pessimism_lr": 6e-4,
        "hp.dual_b1": 0.5,
    },
}
NETWORK: dict[str, dict[str, Any]] = {
    "none": {},
    "layer_norm": {"agent.critic.network.normalization": "layer_norm"},
    "spectral_norm": {"agent.critic.network.kernel": "spectral_norm"},
    "weight_decay": {"agent.critic.optimizer.name": "adamw", "hp.critic_weight_decay": 1e-4},
    "weight_norm": {"agent.critic.network.kernel": "unit_norm"},
    "dropout": {"agent.critic.network.dropout": 0.01},
}
PLASTICITY: dict[str, dict[str, Any]] = {
    "none": {},
    "resets": _every(80_000),
    "shrink": _every(80_000, how="shrink_perturb"),
    "redo": _every(100_000, how="recycle"),
}


def _register(critic: str, network: str, plasticity: str) -> str:
    """Enters one cell into the table of presets and returns its name."""

    def recipe() -> RunConfig:
        levels = CRITIC[critic] | NETWORK[network] | PLASTICITY[plasticity]
        return with_settings(sac(), {"updates_per_step": 2.0} | levels)

    recipe.__name__ = f"reg_{critic}_{network}_{plasticity}"
    recipe.__doc__ = (
        f"Regularisation study: critic {critic}, network {network}, plasticity {plasticity}."
    )
    register(recipe)
    return recipe.__name__


STUDY = {_register(*levels): levels for levels in itertools.product(CRITIC, NETWORK, PLASTICITY)}
"""Name of the preset -> its levels of critic, network and plasticity."""

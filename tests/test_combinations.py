"""Ingredients that do not fit each other are refused, in one line that names both settings."""

from __future__ import annotations

import pytest

from helpers import tiny
from rr_scale.config import ResetRule
from rr_scale.errors import UserError
from rr_scale.validation import validate

ORDER = "agent.update_order"
EXPLORE = {
    "agent.explorer.kind": "optimistic",
    ORDER: ("critic", "target", "actor", "explorer", "temperature", "optimism"),
}
GPL = {
    "agent.pessimism": "gpl",
    "agent.critic.target_ensemble": "pessimistic",
    ORDER: ("critic", "pessimism", "target", "actor", "temperature"),
}
CATEGORICAL = {
    "agent.critic.value": "categorical",
    "agent.critic.target_ensemble": "smaller_mean",
    "agent.actor.objective_ensemble": "smaller_mean",
}


def reset(**values):
    return {"resets": (ResetRule(), ResetRule(**({"how": "recycle"} | values)))}


LAYERS = reset(how="reinitialize", layers=("hidden_0",))
SIMBA_V2 = {"agent.critic.network.trunk": "simba_v2"}


@pytest.mark.parametrize(
    "values", [EXPLORE, GPL, CATEGORICAL, CATEGORICAL | EXPLORE, reset(), LAYERS]
)
def test_what_fits_is_accepted(values):
    validate(tiny("sac", values))


@pytest.mark.parametrize(
    ("values", "first", "second"),
    [
        (
            GPL | {"agent.critic.ensemble_size": 1},
            "agent.pessimism",
            "agent.critic.ensemble_size",
        ),
        ({"replay.relabel_terminates": True}, "replay.relabel_terminates", "replay.hindsight"),
        (
            {"agent.critic.network.unit_scales": True},
            "agent.critic.network.unit_scales",
            "agent.critic.network.normalization",
        ),
        (
            {"agent.actor.network.trunk": "flash", "agent.actor.network.activation": "crelu"},
            "agent.actor.network.activation",
            "agent.actor.network.trunk",
        ),
        (
            CATEGORICAL | {"agent.critic.target_ensemble": "min"},
            "agent.critic.target_ensemble",
            "agent.critic.value",
        ),
        (
            CATEGORICAL | {"agent.actor.objective_ensemble": "mean"},
            "agent.actor.objective_ensemble",
            "agent.critic.value",
        ),
        (CATEGORICAL | {"hp.v_min": 10.0}, "hp.v_min", "hp.v_max"),
        (
            {"agent.reward_scale": "return_bound", "hp.v_max": 0.0},
            "hp.v_max",
            "agent.reward_scale",
        ),
        (
            {"agent.critic.target_ensemble": "truncated"},
            "agent.critic.dropped_quantiles",
            "agent.critic.target_ensemble",
        ),
        (
            {"agent.critic.target_subset": 3},
            "agent.critic.target_subset",
            "agent.critic.ensemble_size",
        ),
        ({"agent.pessimism": "top"}, "agent.pessimism", "agent.critic.target_ensemble"),
        (GPL | {ORDER: ("critic", "target", "actor", "temperature")}, ORDER, "agent.pessimism"),
        (
            {ORDER: ("critic", "target", "actor", "temperature", "pessimism")},
            ORDER,
            "agent.pessimism",
        ),
        (
            GPL | {ORDER: ("pessimism", "critic", "target", "actor", "temperature")},
            ORDER,
            "'critic'",
        ),
        (
            GPL
            | {
                ORDER: ("critic", "actor", "temperature", "pessimism", "target"),
                "agent.actor_delay": 2,
            },
            ORDER,
            "'critic'",
        ),
        (GPL | {"agent.pessimism": "vpl"}, "agent.pessimism", "replay.validation_share"),
        (GPL | {"hp.pessimism": 9.0}, "hp.pessimism", "hp.pessimism_max"),
        (
            EXPLORE | {ORDER: ("critic", "target", "actor", "explorer", "temperature")},
            ORDER,
            "agent.explorer.kind",
        ),
        (
            EXPLORE | {ORDER: ("critic", "target", "actor", "optimism", "explorer", "temperature")},
            ORDER,
            "'explorer'",
        ),
        (EXPLORE | {"agent.explorer.kind": "none"}, ORDER, "agent.explorer.kind"),
        (
            EXPLORE | {"agent.critic.ensemble_size": 1},
            "agent.explorer.kind",
            "agent.critic.ensemble_size",
        ),
        (
            EXPLORE
            | {
                "agent.actor.distribution": "deterministic",
                "agent.temperature": "none",
                "agent.exploration": "gaussian",
                ORDER: ("critic", "target", "actor", "explorer", "optimism"),
            },
            "agent.explorer.kind",
            "agent.actor.distribution",
        ),
        (
            EXPLORE | {"agent.explorer.network.normalization": "batch_norm"},
            "agent.explorer.kind",
            "agent.explorer.network.normalization",
        ),
        (EXPLORE | {"hp.init_optimism": 1e4}, "hp.init_optimism", "e^7.5"),
        (SIMBA_V2 | reset(), "resets.1.how", "agent.critic.network.trunk"),
        (
            {"agent.actor.network.activation": "crelu"} | reset(),
            "resets.1.how",
            "agent.actor.network.activation",
        ),
        (
            {"agent.critic.network.kernel": "weight_norm"} | reset(),
            "resets.1.how",
            "agent.critic.network.kernel",
        ),
        (
            {"agent.critic.network.activation": "tanh"} | reset(),
            "resets.1.threshold",
            "agent.critic.network.activation",
        ),
        (reset(what="last_layers"), "resets.1.how", "resets.1.what"),
        (
            reset(how="shrink_perturb", what="last_layers", layers=("hidden_0",)),
            "resets.1.layers",
            "resets.1.what",
        ),
        (reset(layers=("hidden_1",)), "resets.1.layers", "agent.actor.network.hidden"),
        (
            EXPLORE | {"agent.explorer.network.kernel": "weight_norm"} | reset(),
            "resets.1.how",
            "agent.explorer.network.kernel",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line_that_names_both(values, first, second):
    with pytest.raises(UserError) as caught:
        validate(tiny("sac", values))
    message = str(caught.value)
    assert first in message and second in message and "\n" not in message

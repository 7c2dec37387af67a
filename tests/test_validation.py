"""Checking configurations: each complaint names the setting and its value."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from rr_scale import configure
from rr_scale.config import ResetRule, RunConfig, Variant
from rr_scale.errors import UserError
from rr_scale.presets import preset
from rr_scale.validation import validate


def with_value(thing: Any, path: str, value: Any) -> Any:
    """`thing` with the setting at `path` replaced, without any check."""
    name, _, rest = path.partition(".")
    if isinstance(thing, tuple):
        inner = with_value(thing[int(name)], rest, value)
        return (*thing[: int(name)], inner, *thing[int(name) + 1 :])
    inner = with_value(getattr(thing, name), rest, value) if rest else value
    return replace(thing, **{name: inner})


BAD_VALUES = [
    ("num_seeds", 0, "num_seeds must be at least 1, got 0"),
    ("updates_per_step", -1.0, "updates_per_step must be at least 0, got -1.0"),
    ("updates_per_step", math.nan, "finite"),
    ("updates_per_step", math.inf, "finite"),
    ("hp.actor_max_grad_norm", math.nan, "finite"),
    ("hp.actor_max_grad_norm", 0.0, "above 0"),
    ("hp.discount", 1.5, "hp.discount must be at most 1, got 1.5"),
    ("hp.adam_b2", 1.0, "hp.adam_b2 must be below 1"),
    ("seed", 1.5, "seed: expected an integer, got 1.5"),
    ("seed", True, "an integer"),
    ("seed", 2**31 - 1, None),
    ("hp.tau", "0.1", "hp.tau: expected a number, got '0.1'"),
    ("tqdm", 1, "true or false"),
    ("agent.critic.network.hidden", [256], "list"),
    ("agent.critic.network.hidden", (256, 0), "at least 1, got 0"),
    ("agent.critic.network.hidden", (256, 1.0), "list"),
    ("agent.critic.network.trunk", "resnet", "one of mlp, bronet, "),
    ("agent", None, "agent: expected AgentConfig, got None"),
    ("resets", (1,), "ResetRule"),
    ("resets", [ResetRule()], "ResetRule"),
    ("resets.0.interval", 0, "resets.0.interval must be at least 1"),
    ("resets.0.at", (5, 0), "resets.0.at must be at least 1"),
    ("exp_name", "two\nlines", "exp_name must be one line"),
    ("exp_name", "a,b", "comma"),
    ("env_name", "", "env_name must not be empty"),
    ("start_training", 255, "start_training must be at least replay.batch_size (256)"),
    ("replay.capacity", 255, "replay.capacity must be at least replay.batch_size (256)"),
    ("replay.n_step", 2_000_000, "replay.n_step (2000000), got 1000000"),
    ("agent.actor.log_sigma_min", 2.0, "log_sigma_min must be below"),
    ("agent.update_order", ("critic", "critic", "target", "actor"), "repeat"),
    ("agent.update_order", ("target", "actor", "temperature"), "contain 'critic'"),
    ("agent.update_order", ("critic", "actor", "temperature"), "contain 'target'"),
    ("agent.update_order", ("critic", "target", "temperature"), "contain 'actor'"),
    ("agent.update_order", ("critic", "target", "actor"), "contain 'temperature'"),
    ("agent.update_order", ("critic", "target", "actor", "x"), "one of"),
    ("agent.temperature", "fixed", "not contain 'temperature'"),
    ("agent.actor.distribution", "deterministic", "agent.temperature must be none"),
    ("variants", (Variant(),), "variants.0.name must be usable as a folder"),
    ("variants", (Variant("../up"),), "usable"),
    ("variants", (Variant("Checkpoints"),), "usable"),
    ("variants", (Variant("a"), Variant("A")), "variants.1.name must be unique"),
    ("variants", (Variant("a", (("tua", 0.1),)),), "'tua'; did you mean 'tau'?"),
    ("variants", (Variant("a", (("tau", 2.0),)),), "variants.0.overrides.tau must be at most 1"),
    ("variants", (Variant("a", (("tau", math.nan),)),), "finite"),
    ("variants", (Variant("a", (("tau", 0.1), ("tau", 0.2))),), "twice"),
]


@pytest.mark.parametrize(("path", "value", "words"), BAD_VALUES)
def test_validate_names_the_setting_and_the_value(path: str, value: Any, words: str | None) -> None:
    config = with_value(RunConfig(), path, value)
    if words is None:
        validate(config)
        return
    with pytest.raises(UserError) as caught:
        validate(config)
    message = str(caught.value)
    assert words in message
    assert "\n" not in message


def test_validate_counts_the_last_seed() -> None:
    with pytest.raises(UserError, match="seed \\+ num_seeds"):
        validate(replace(RunConfig(), seed=2**31 - 1, num_seeds=2))


def test_deterministic_policy_needs_noise() -> None:
    config = configure.set_path(preset("td3"), "agent.exploration", "policy")
    with pytest.raises(UserError, match=r"agent\.exploration must be gaussian or ou"):
        validate(config)


def test_stochastic_policy_may_add_noise() -> None:
    validate(configure.set_path(preset("sac"), "agent.exploration", "gaussian"))

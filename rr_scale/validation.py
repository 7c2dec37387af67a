"""Checking a configuration before anything is written or compiled.

Every complaint is one line that names the setting by its path and its value.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

from rr_scale import fields
from rr_scale.combinations import check_combinations
from rr_scale.config import AgentConfig, HyperParams, RunConfig, Variant
from rr_scale.errors import UserError, nearest
from rr_scale.validation_networks import check_networks

_LARGEST_SEED = 2**31 - 1
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]*")
_RESERVED = ("checkpoints", "lock", "policies", "replay", "run.json")
_LEARNED = ("alpha", "log")
_MOMENT_DECAYS = tuple(
    f"{part}_{moment}" for part in ("adam", "actor", "critic", "dual") for moment in ("b1", "b2")
)


def validate(config: RunConfig) -> None:
    """Checks every setting on its own and then those that depend on each other.

    Raises:
      UserError: the first thing that is wrong, in one line.
    """
    for leaf in fields.leaves(config):
        check_leaf(leaf)
    _check_sizes(config)
    _check_agent(config)
    _check_variants(config)
    _check_numbers(config)
    check_combinations(config)


def check_leaf(leaf: fields.Leaf) -> None:
    """Checks one value against its annotation, bounds and choices.

    Infinity is legal only where the default is infinite, which means "off".
    """
    path, value = leaf.path, leaf.value
    if not fields.fits(value, leaf.kind):
        raise fields.wrong_type(path, value, leaf.kind)
    rule = leaf.field.metadata
    for one in _scalars(value):
        if isinstance(one, str):
            _check_choice(path, one, rule.get("choices"))
        elif not isinstance(one, bool) and not dataclasses.is_dataclass(one):
            _check_bounds(path, one, rule, may_be_infinite=leaf.field.default == math.inf)


def _scalars(value: Any) -> list[Any]:
    if not isinstance(value, tuple):
        return [value]
    return [scalar for entry in value for scalar in _scalars(entry)]


def _check_choice(path: str, word: str, choices: tuple[str, ...] | None) -> None:
    if choices is not None and word not in choices:
        raise UserError(f"{path} must be one of {', '.join(choices)}, got '{word}'")
    if not word.isprintable():
        raise UserError(f"{path} must be one line of printable text, got {word!r}")


def _check_bounds(path: str, number: float, rule: Any, *, may_be_infinite: bool) -> None:
    if number != number or (math.isinf(number) and not (may_be_infinite and number > 0)):
        raise UserError(f"{path} must be a finite number, got {number}")
    low, high, above = rule.get("low"), rule.get("high"), rule.get("above")
    if low is not None and number < low:
        raise UserError(f"{path} must be at least {low}, got {number}")
    if high is not None and number > high:
        raise UserError(f"{path} must be at most {high}, got {number}")
    if above is not None and number <= above:
        raise UserError(f"{path} must be above {above}, got {number}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(message)


def _check_sizes(config: RunConfig) -> None:
    replay, batch = config.replay, config.replay.batch_size
    _require(
        config.start_training >= batch,
        f"start_training must be at least replay.batch_size ({batch}): the first update needs "
        f"a full batch, got {config.start_training}",
    )
    _require(
        replay.capacity >= batch,
        f"replay.capacity must be at least replay.batch_size ({batch}), got {replay.capacity}",
    )
    _require(
        replay.capacity >= replay.n_step,
        f"replay.capacity must be at least replay.n_step ({replay.n_step}), got {replay.capacity}",
    )
    last = config.seed + config.num_seeds - 1
    _require(
        last <= _LARGEST_SEED,
        f"seed + num_seeds - 1 must be at most {_LARGEST_SEED}, got {last}",
    )
    _require(
        not set(config.exp_name) & set(',"'),
        f"exp_name must not contain a comma or a quote (it is a column of results.csv), "
        f"got '{config.exp_name}'",
    )
    _require(bool(config.env_name), "env_name must not be empty")


def _check_agent(config: RunConfig) -> None:
    agent, actor = config.agent, config.agent.actor
    _require(
        actor.log_sigma_min < actor.log_sigma_max,
        f"agent.actor.log_sigma_min must be below agent.actor.log_sigma_max "
        f"({actor.log_sigma_max}), got {actor.log_sigma_min}",
    )
    check_networks(agent)
    _check_order(agent)
    stochastic = actor.distribution == "tanh_gaussian"
    _require(
        stochastic or agent.temperature == "none",
        f"agent.temperature must be none for a deterministic policy "
        f"(agent.actor.distribution), got '{agent.temperature}'",
    )
    _require(
        stochastic or agent.exploration != "policy",
        "agent.exploration must be gaussian or ou for a deterministic policy "
        "(agent.actor.distribution), got 'policy'",
    )


def _check_numbers(config: RunConfig) -> None:
    for hp in config.variant_hps():
        for name in _MOMENT_DECAYS:
            decay = getattr(hp, name)
            _require(decay < 1, f"hp.{name} must be below 1 (Adam divides by 1 - it), got {decay}")
        _require(
            hp.init_temperature > 0 or config.agent.temperature not in _LEARNED,
            "hp.init_temperature must be above 0 for a learned agent.temperature "
            "(its logarithm is learned), got 0",
        )


def _check_order(agent: AgentConfig) -> None:
    order, temperature = agent.update_order, agent.temperature
    path, shown = "agent.update_order", ",".join(order)
    _require(len(set(order)) == len(order), f"{path} must not repeat a step, got {shown}")
    for step in ("critic", "actor"):
        _require(step in order, f"{path} must contain '{step}', got {shown}")
    _check_target_step(agent, path, shown)
    learned = temperature in _LEARNED
    relation = "contain" if learned else "not contain"
    _require(
        ("temperature" in order) == learned,
        f"{path} must {relation} 'temperature' while agent.temperature is '{temperature}', "
        f"got {shown}",
    )
    if learned:
        # The temperature step uses the entropy that the actor step measured.
        between = order[order.index("actor") + 1 : order.index("temperature")]
        _require(
            order.index("actor") < order.index("temperature")
            and all(agent.delay(step) == agent.actor_delay for step in between),
            f"{path} must have 'temperature' after 'actor' with no step of another delay "
            f"between them, got {shown}",
        )


def _check_target_step(agent: AgentConfig, path: str, shown: str) -> None:
    critic = agent.critic
    needed = critic.target_network != "none" or critic.bootstrap_policy != "current"
    if needed:
        _require("target" in agent.update_order, f"{path} must contain 'target', got {shown}")
    else:
        _require(
            "target" not in agent.update_order,
            f"{path} must not contain 'target' while agent.critic.target_network is none and "
            f"agent.critic.bootstrap_policy is current, got {shown}",
        )


def _check_variants(config: RunConfig) -> None:
    seen: set[str] = set()
    for index, variant in enumerate(config.variants):
        path = f"variants.{index}"
        # Compared without case: some file systems cannot keep `a` and `A` apart.
        name = variant.name.casefold()
        _require(
            _FILE_NAME.fullmatch(variant.name) is not None and name not in _RESERVED,
            f"{path}.name must be usable as a folder (letters, digits, . _ = + -; not "
            f"{', '.join(_RESERVED)}), got '{variant.name}'",
        )
        _require(name not in seen, f"{path}.name must be unique, got '{variant.name}' again")
        seen.add(name)
        _check_overrides(variant, f"{path}.overrides")


def _check_overrides(variant: Variant, path: str) -> None:
    known = {field.name: field for field in dataclasses.fields(HyperParams)}
    seen: set[str] = set()
    for name, value in variant.overrides:
        _require(name in known, f"{path}: unknown hyper-parameter '{name}'{nearest(name, known)}")
        _require(name not in seen, f"{path}: '{name}' is given twice")
        seen.add(name)
        kind = fields.hints(HyperParams)[name]
        check_leaf(fields.Leaf(f"{path}.{name}", value, kind, known[name]))

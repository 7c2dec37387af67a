"""Sizes, numbers and variants of a run."""

from __future__ import annotations

import dataclasses
import re

from rr_scale import fields
from rr_scale.config import HyperParams, RunConfig, Variant
from rr_scale.errors import nearest, require
from rr_scale.validation.steps import LEARNED_TEMPERATURES
from rr_scale.validation.values import check_leaf

_LARGEST_SEED = 2**31 - 1
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]*")
_RESERVED = ("checkpoints", "lock", "policies", "replay", "run.json")
_MOMENT_DECAYS = tuple(
    f"{part}_{moment}"
    for part in ("adam", "actor", "critic", "temperature", "dual")
    for moment in ("b1", "b2")
)


def check_sizes(config: RunConfig) -> None:
    """Checks the replay, the seeds and the names."""
    replay, batch = config.replay, config.replay.batch_size
    require(
        config.start_training >= batch,
        f"start_training must be at least replay.batch_size ({batch}): the first update needs "
        f"a full batch, got {config.start_training}",
    )
    require(
        replay.capacity >= batch,
        f"replay.capacity must be at least replay.batch_size ({batch}), got {replay.capacity}",
    )
    require(
        replay.capacity >= replay.n_step,
        f"replay.capacity must be at least replay.n_step ({replay.n_step}), got {replay.capacity}",
    )
    require(
        not replay.relabel_terminates or replay.hindsight != "none",
        "replay.relabel_terminates=true is about goals of hindsight: replay.hindsight must not be "
        "none",
    )
    last = config.seed + config.num_seeds - 1
    require(
        last <= _LARGEST_SEED,
        f"seed + num_seeds - 1 must be at most {_LARGEST_SEED}, got {last}",
    )
    require(
        not set(config.exp_name) & set(',"'),
        f"exp_name must not contain a comma or a quote (it is a column of results.csv), "
        f"got '{config.exp_name}'",
    )
    require(bool(config.env_name), "env_name must not be empty")


def check_numbers(config: RunConfig) -> None:
    """Checks numeric hyper-parameters of every variant."""
    for hp in config.variant_hps():
        for name in _MOMENT_DECAYS:
            decay = getattr(hp, name)
            require(decay < 1, f"hp.{name} must be below 1 (Adam divides by 1 - it), got {decay}")
        require(
            hp.init_temperature > 0 or config.agent.temperature not in LEARNED_TEMPERATURES,
            "hp.init_temperature must be above 0 for a learned agent.temperature "
            "(its logarithm is learned), got 0",
        )


def check_variants(config: RunConfig) -> None:
    """Checks the names of variants and what they override."""
    seen: set[str] = set()
    for index, variant in enumerate(config.variants):
        path = f"variants.{index}"
        # Compared without case: some file systems cannot keep `a` and `A` apart.
        name = variant.name.casefold()
        require(
            _FILE_NAME.fullmatch(variant.name) is not None and name not in _RESERVED,
            f"{path}.name must be usable as a folder (letters, digits, . _ = + -; not "
            f"{', '.join(_RESERVED)}), got '{variant.name}'",
        )
        require(name not in seen, f"{path}.name must be unique, got '{variant.name}' again")
        seen.add(name)
        _check_overrides(variant, f"{path}.overrides")


def _check_overrides(variant: Variant, path: str) -> None:
    known = {field.name: field for field in dataclasses.fields(HyperParams)}
    seen: set[str] = set()
    for name, value in variant.overrides:
        require(name in known, f"{path}: unknown hyper-parameter '{name}'{nearest(name, known)}")
        require(name not in seen, f"{path}: '{name}' is given twice")
        seen.add(name)
        kind = fields.hints(HyperParams)[name]
        check_leaf(fields.Leaf(f"{path}.{name}", value, kind, known[name]))

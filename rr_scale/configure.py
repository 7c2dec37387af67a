"""What can be done with a configuration: set, store, compare, name, split into lanes.

All of it is derived from the declarations in `config/`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from typing import Any

from rr_scale import fields
from rr_scale.config import RunConfig
from rr_scale.errors import UserError, nearest
from rr_scale.types import Lane


def set_path(config: RunConfig, path: str, text: str) -> RunConfig:
    """A configuration with one setting replaced, typed by its declaration.

    Args:
      config: the configuration to start from; it stays as it is.
      path: `agent.critic.ensemble_size`, `resets.0.interval`, or a whole list.
      text: the value as typed: `4`, `1e-3`, `inf`, `256,256`, or JSON for lists.

    Raises:
      UserError: no such path (the message names the nearest), or a wrong type.
    """
    return _replaced(config, RunConfig, path.split("."), text, config, path)


def _replaced(
    value: Any, kind: Any, names: list[str], text: str, config: RunConfig, path: str
) -> Any:
    if not names:
        if dataclasses.is_dataclass(kind):
            inner = next(iter(fields.hints(kind)))
            raise UserError(f"{path} is a group of settings: set one of them, e.g. {path}.{inner}")
        return fields.from_text(text, kind, path)
    name, rest = names[0], names[1:]
    if dataclasses.is_dataclass(kind) and name in fields.hints(kind):
        inner = _replaced(getattr(value, name), fields.hints(kind)[name], rest, text, config, path)
        return dataclasses.replace(value, **{name: inner})
    if fields.is_tuple(kind) and name.isdecimal():
        index = int(name)
        kinds = fields.element_kinds(kind, len(value))
        if kinds is None or index >= len(value):
            raise UserError(f"{path}: there are {len(value)} entries, counted from 0")
        inner = _replaced(value[index], kinds[index], rest, text, config, path)
        return (*value[:index], inner, *value[index + 1 :])
    raise UserError(f"unknown setting '{path}'{nearest_path(config, path)}")


def nearest_path(config: RunConfig, path: str) -> str:
    """`; did you mean '...'?` with the closest full path, or an empty string."""
    known = [leaf.path for leaf in fields.leaves(config)]
    known += [field.name for field in dataclasses.fields(config) if field.name not in known]
    last = path.rpartition(".")[2]
    same_name = [one for one in known if one.rpartition(".")[2] == last]
    return nearest(path, same_name) or nearest(path, known)


def to_dict(config: RunConfig) -> dict[str, Any]:
    """The configuration as JSON can hold it; infinity is the string `"inf"`."""
    stored: dict[str, Any] = fields.to_json(config, RunConfig)
    return stored


def from_dict(stored: dict[str, Any]) -> RunConfig:
    """The configuration that `to_dict` stored; what it does not name takes its default.

    Raises:
      UserError: a setting that does not exist, or a wrong type.
    """
    config: RunConfig = fields.from_json(stored, RunConfig, "")
    return config


def flatten(config: RunConfig) -> dict[str, Any]:
    """Every setting by its full path."""
    return {leaf.path: leaf.value for leaf in fields.leaves(config)}


def free_fields(config: RunConfig) -> dict[str, Any]:
    """The settings that a resumed run may change, as JSON can hold them, by path."""
    found = (leaf for leaf in fields.leaves(config) if leaf.free)
    return {leaf.path: fields.to_json(leaf.value, leaf.kind) for leaf in found}


def differences(a: RunConfig, b: RunConfig) -> list[tuple[str, Any, Any]]:
    """What makes two configurations different experiments: (path, value in a, value in b).

    Fields that are free on resume do not count. Lists of rules of different
    length are one difference.
    """
    lists = [
        name
        for name, kind in fields.hints(RunConfig).items()
        if fields.is_list_of_groups(kind) and len(getattr(a, name)) != len(getattr(b, name))
    ]
    left, right = _fixed(a), _fixed(b)
    found = [
        (path, left[path].value, right[path].value)
        for path in left
        if path.partition(".")[0] not in lists and left[path].value != right[path].value
    ]
    return found + [(name, getattr(a, name), getattr(b, name)) for name in lists]


def _fixed(config: RunConfig) -> dict[str, fields.Leaf]:
    return {leaf.path: leaf for leaf in fields.leaves(config) if not leaf.free}


def fixed_digest(config: RunConfig) -> str:
    """Ten hexadecimal digits that name the experiment: a hash of the fixed fields."""
    fixed = _fixed(_named(config))
    stored = {path: fields.to_json(leaf.value, leaf.kind) for path, leaf in fixed.items()}
    text = json.dumps(stored, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _named(config: RunConfig) -> RunConfig:
    return dataclasses.replace(config, exp_name=config.exp_name or config.preset)


def default_save_dir(config: RunConfig) -> str:
    """Where a run goes if nobody says: one folder per experiment, the same every time."""
    name = f"{config.env_name}-{config.exp_name or config.preset}"
    safe = re.sub(r"[^A-Za-z0-9._=+-]+", "-", name).strip("-.")
    return f"runs/{safe}-{fixed_digest(config)}"


def resolve(config: RunConfig) -> RunConfig:
    """The configuration with derived values filled in: `exp_name` and `save_dir`.

    The last thing to do to a configuration before a run; doing it twice
    changes nothing.
    """
    return dataclasses.replace(_named(config), save_dir=config.save_dir or default_save_dir(config))


def lanes(config: RunConfig) -> tuple[Lane, ...]:
    """The independent runs of a configuration: for each variant, for each seed.

    Without variants all lanes share `save_dir` itself (folder '').
    """
    config = _named(config)
    seeds = range(config.seed, config.seed + config.num_seeds)
    if not config.variants:
        return tuple(Lane(seed, config.hp, config.exp_name, "") for seed in seeds)
    return tuple(
        Lane(seed, hp, f"{config.exp_name}_{variant.name}", variant.name)
        for variant, hp in zip(config.variants, config.variant_hps(), strict=True)
        for seed in seeds
    )

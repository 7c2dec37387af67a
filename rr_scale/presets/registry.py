"""The table of presets, and how a recipe gets into it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from rr_scale.config import RunConfig

PRESETS: dict[str, Callable[[], RunConfig]] = {}


def register(recipe: Callable[[], RunConfig]) -> Callable[[], RunConfig]:
    """Decorator: the function's name becomes the preset's."""
    PRESETS[recipe.__name__] = recipe
    return recipe


def with_settings(config: Any, values: dict[str, Any]) -> Any:
    """`config` with the settings at dotted paths replaced, one `dataclasses.replace` each.

    Args:
      config: a configuration, or a group of settings inside one.
      values: `{"agent.critic.ensemble_size": 10, ...}`, the paths of `--set`.

    Raises:
      TypeError: a group has no such field.
    """
    for path, value in values.items():
        name, _, rest = path.partition(".")
        inner = with_settings(getattr(config, name), {rest: value}) if rest else value
        config = dataclasses.replace(config, **{name: inner})
    return config

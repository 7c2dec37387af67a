"""Published recipes as configurations: each is a change of another one.

A preset holds no code. What it does not mention is as in `RunConfig`, whose
defaults are those of SR-SAC. Every module of this package is a family of
presets and is found by being here: a new preset touches no other file.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace

from rr_scale.config import RunConfig
from rr_scale.errors import UserError, nearest
from rr_scale.presets.registry import PRESETS

__all__ = ["PRESETS", "preset"]

for _module in sorted(found.name for found in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_module}")


def preset(name: str, **overrides: object) -> RunConfig:
    """The configuration of a named recipe.

    Args:
      name: a key of `PRESETS`.
      **overrides: top-level fields of `RunConfig`.

    Raises:
      UserError: no such preset; the message names the nearest.
    """
    if name not in PRESETS:
        raise UserError(f"unknown preset '{name}'{nearest(name, PRESETS)}")
    return replace(PRESETS[name](), preset=name, **overrides)  # type: ignore[arg-type]

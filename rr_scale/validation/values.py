"""One value against its annotation, its bounds and its choices."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from rr_scale import fields
from rr_scale.errors import UserError


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

"""Reading the declarations of `config/`: leaves, paths, and typed values.

A *path* names a setting from the top: `agent.critic.ensemble_size`,
`resets.0.interval`. A *leaf* is a setting that holds a value and not further
settings. Everything here is generic over dataclasses: no field is named.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import typing
from collections.abc import Iterator
from typing import Any, NamedTuple

from rr_scale.errors import UserError, nearest

_TRUE = ("true", "1", "yes")
_FALSE = ("false", "0", "no")
_NAMES = {int: "an integer", float: "a number", bool: "true or false", str: "text"}


class Leaf(NamedTuple):
    """One setting: where it is, what it holds, and what was declared about it."""

    path: str
    value: Any
    kind: Any  # the annotation, resolved
    field: dataclasses.Field[Any]

    @property
    def free(self) -> bool:
        """Whether a resumed run may change it."""
        return bool(self.field.metadata.get("free", False))


def hints(kind: Any) -> dict[str, Any]:
    """The resolved annotations of a dataclass, by field name."""
    return _cached_hints(kind)


@functools.cache
def _cached_hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def element_kinds(kind: Any, length: int) -> list[Any] | None:
    """The annotation of each element of a tuple of that length, or None if it cannot be."""
    arguments = typing.get_args(kind)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return [arguments[0]] * length
    return list(arguments) if len(arguments) == length else None


def is_tuple(kind: Any) -> bool:
    """Whether an annotation is a tuple of anything."""
    return typing.get_origin(kind) is tuple


def is_list_of_groups(kind: Any) -> bool:
    """Whether an annotation is a tuple of dataclasses."""
    return is_tuple(kind) and dataclasses.is_dataclass(typing.get_args(kind)[0])


def leaves(group: Any, path: str = "") -> Iterator[Leaf]:
    """All settings of a dataclass instance, in order of declaration.

    Entries of a tuple of dataclasses are walked by index; an empty one, like
    a value of the wrong type, is a leaf.
    """
    for field in dataclasses.fields(group):
        kind, value = hints(type(group))[field.name], getattr(group, field.name)
        here = f"{path}.{field.name}" if path else field.name
        if dataclasses.is_dataclass(kind) and isinstance(value, typing.cast(type, kind)):
            yield from leaves(value, here)
        elif is_list_of_groups(kind) and value and fits(value, kind):
            for index, entry in enumerate(value):
                yield from leaves(entry, f"{here}.{index}")
        else:
            yield Leaf(here, value, kind, field)


def fits(value: Any, kind: Any) -> bool:
    """Whether a Python value is of the annotated type (a bool is no number; an int is a float)."""
    if is_tuple(kind):
        kinds = element_kinds(kind, len(value)) if isinstance(value, tuple) else None
        return kinds is not None and all(map(fits, value, kinds))
    if kind in (int, float):
        return isinstance(value, int if kind is int else (int, float)) and type(value) is not bool
    return isinstance(value, kind)


def expected(kind: Any) -> str:
    """What an annotation asks for, in words."""
    if is_list_of_groups(kind):
        return f"a JSON list of {typing.get_args(kind)[0].__name__} objects"
    if is_tuple(kind):
        first = typing.get_args(kind)[0]
        example = {int: "256,256", str: "critic,actor"}.get(first)
        return f"a list such as {example}" if example else "a JSON list"
    if dataclasses.is_dataclass(kind):
        return typing.cast(str, typing.cast(type, kind).__name__)
    return _NAMES[kind]


def wrong_type(path: str, value: Any, kind: Any) -> UserError:
    """The error for a value that is not what its annotation asks for."""
    return UserError(f"{path}: expected {expected(kind)}, got {value!r}")


def to_json(value: Any, kind: Any) -> Any:
    """A value as JSON can hold it: lists for tuples, `"inf"` for infinity."""
    if dataclasses.is_dataclass(kind):
        kinds = hints(kind)
        return {name: to_json(getattr(value, name), kinds[name]) for name in kinds}
    if is_tuple(kind):
        kinds_of = element_kinds(kind, len(value)) or []
        return [to_json(entry, each) for entry, each in zip(value, kinds_of, strict=True)]
    if kind is float:
        number = float(value)
        return number if math.isfinite(number) else str(number)
    return value


def from_json(value: Any, kind: Any, path: str) -> Any:
    """The inverse of `to_json`; fields that an object does not name take their default.

    Args:
      value: what `json.loads` returned.
      kind: the annotation.
      path: where it stands, for messages.

    Raises:
      UserError: a wrong type, or a field that does not exist.
    """
    if dataclasses.is_dataclass(kind):
        return _group_from_json(value, kind, path)
    if is_tuple(kind):
        kinds = element_kinds(kind, len(value)) if isinstance(value, (list, tuple)) else None
        if kinds is None:
            raise wrong_type(path, value, kind)
        each = enumerate(zip(value, kinds, strict=True))
        return tuple(from_json(entry, one, f"{path}.{index}") for index, (entry, one) in each)
    if kind is float and value in ("inf", "-inf"):
        return float(value)
    if kind is int and type(value) is float and value.is_integer():
        return int(value)
    if not fits(value, kind) or value != value:
        raise wrong_type(path, value, kind)
    return _as_float(value, path) if kind is float else value


def _as_float(value: float, path: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise UserError(f"{path}: {str(value)[:12]}... is too large for a number") from None


def _group_from_json(value: Any, kind: Any, path: str) -> Any:
    if not isinstance(value, dict):
        raise wrong_type(path or "configuration", value, kind)
    kinds = hints(kind)
    given = {}
    for name, entry in value.items():
        here = f"{path}.{name}" if path else name
        if name not in kinds:
            raise UserError(f"unknown setting '{here}'{nearest(name, kinds)}")
        given[name] = from_json(entry, kinds[name], here)
    return kind(**given)


def from_text(text: str, kind: Any, path: str) -> Any:
    """A value as people type it: `1e6` for an integer, `256,256` or JSON for a tuple.

    Raises:
      UserError: it is not what the annotation asks for.
    """
    word = text.strip()
    if is_tuple(kind):
        return _tuple_from_text(word, kind, path)
    if kind is bool and word.lower() in _TRUE + _FALSE:
        return word.lower() in _TRUE
    if kind is str:
        return text
    number = _number(word) if kind in (int, float) else None
    if number is not None:
        return from_json(number, kind, path)
    raise wrong_type(path, text, kind)


def _number(word: str) -> int | float | None:
    for read in (int, float):
        try:
            return read(word)
        except ValueError:
            continue
    return None


def _tuple_from_text(word: str, kind: Any, path: str) -> Any:
    if word.startswith("["):
        try:
            return from_json(json.loads(word), kind, path)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}: not valid JSON ({error}): {word}") from None
    words = word.split(",") if word else []
    kinds = element_kinds(kind, len(words))
    if kinds is None or not all(one in (int, float, bool, str) for one in kinds):
        raise wrong_type(path, word, kind)
    return tuple(from_text(one.strip(), each, path) for one, each in zip(words, kinds, strict=True))

"""What a sweep is asked to cover, and reading that from a TOML file."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rr_scale import fields
from rr_scale.errors import UserError, nearest
from rr_scale.setting import setting
from rr_scale.sweep import suites
from rr_scale.validation import check_leaf

Assignments = tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class SlurmOptions:
    """What every job asks of Slurm."""

    minutes: int = setting(1440, "time limit of a job; a longer run is requeued and resumed", low=1)
    partition: str = setting("", "partition ('': the cluster's default)")
    account: str = setting("", "account to charge ('': the user's default)")
    gpus: int = setting(0, "accelerators of a job", low=0, high=1)
    memory_gb: float = setting(0.0, "memory of a job (0: the cluster's default)", low=0)
    parallel: int = setting(256, "jobs that may run at once", low=1)
    signal_delay_s: int = setting(
        120, "seconds before the time limit at which a job writes its checkpoint and stops", low=1
    )
    setup: tuple[str, ...] = setting((), "shell lines to run before a job")
    extra: tuple[tuple[str, str], ...] = setting((), "other options of sbatch, by long name")


@dataclasses.dataclass(frozen=True)
class Grid:
    """tasks x presets x replay ratios x axes x seeds, and how jobs are started."""

    suite: tuple[str, ...] = setting((), "named suites whose tasks are added")
    tasks: tuple[str, ...] = setting((), "names of environments")
    presets: tuple[str, ...] = setting(("sr_sac",), "recipes")
    replay_ratios: tuple[float, ...] = setting((), "replay ratios (none: each preset's)", low=0)
    seeds: int = setting(1, "seeds of every combination", low=1)
    first_seed: int = setting(0, "the first of them", low=0)
    max_lanes: int = setting(0, "seeds x hyper-parameters of a job, at most (0: any)", low=0)
    cpus: int = setting(0, "CPUs of a job (0: a share of this machine's)", low=0)
    retries: int = setting(2, "times that a failed job is started again", low=0)
    workers: int = setting(0, "local jobs at once (0: one per accelerator, or as CPUs go)", low=0)
    settings: Assignments = ()  # path, value as typed: the same for all runs
    grid: tuple[tuple[str, tuple[str, ...]], ...] = ()  # paths joined by commas, values
    slurm: SlurmOptions = SlurmOptions()


def read_grid(path: Path) -> Grid:
    """The grid that a file declares.

    Raises:
      UserError: no such file, not TOML, an unknown key or a wrong type; one
        line that names the file.
    """
    try:
        with path.open("rb") as stream:
            stored = tomllib.load(stream)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid TOML ({error})") from None
    try:
        return from_tables(stored)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def from_tables(stored: Mapping[str, Any]) -> Grid:
    """The grid that the tables of a file declare; what they do not name takes its default.

    Raises:
      UserError: an unknown key or a wrong type.
    """
    given = dict(stored)
    settings = _table(given, "settings")
    axes = _table(given, "grid")
    slurm = _table(given, "slurm")
    slurm["extra"] = [[key, as_text(value)] for key, value in _table(slurm, "extra").items()]
    for name in ("suite", "tasks", "presets"):
        if isinstance(given.get(name), str):
            given[name] = [given[name]]
    known = fields.hints(Grid)
    for name in given:
        if name not in known:
            raise UserError(f"unknown key '{name}'{nearest(name, known)}")
    values = {name: fields.from_json(value, known[name], name) for name, value in given.items()}
    grid = Grid(
        **values,
        settings=tuple((path, as_text(value)) for path, value in settings.items()),
        grid=tuple((paths, _values(paths, value)) for paths, value in axes.items()),
        slurm=fields.from_json(slurm, SlurmOptions, "slurm"),
    )
    check(grid)
    return grid


def from_flags(grid: Grid, given: Mapping[str, Any]) -> Grid:
    """A grid with what a command line says in place of what it said.

    Args:
      grid: from a file, or the defaults.
      given: texts by the names of fields, None where nothing was said; `minutes`
        and `partition` are those of `slurm`; `set` and `grid` are lists of
        `path=value` and `path=value,value`.

    Raises:
      UserError: a wrong type, or an assignment without `=`.
    """
    kinds = fields.hints(Grid)
    changed: dict[str, Any] = {
        name: fields.from_text(given[name], kinds[name], f"--{name}")
        for name in kinds
        if name not in ("settings", "grid", "slurm") and given.get(name) is not None
    }
    slurm = {
        name: fields.from_text(given[name], kind, f"--{name}")
        for name, kind in fields.hints(SlurmOptions).items()
        if given.get(name) is not None
    }
    settings = dict(grid.settings) | dict(_split("--set", one) for one in given["set"])
    axes = dict(grid.grid)
    for path, text in (_split("--grid", one) for one in given["grid"]):
        axes[path] = tuple(one.strip() for one in text.split(","))
    grid = dataclasses.replace(
        grid,
        **changed,
        settings=tuple(settings.items()),
        grid=tuple(axes.items()),
        slurm=dataclasses.replace(grid.slurm, **slurm),
    )
    check(grid)
    return grid


def _split(flag: str, text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not equals or not path.strip() or not value.strip():
        raise UserError(f"{flag} needs path=value, got '{text}'")
    return path.strip(), value


def check(grid: Grid) -> None:
    """Checks types and bounds of everything but `settings` and `grid`.

    Raises:
      UserError: the first thing that is wrong.
    """
    for leaf in fields.leaves(grid):
        if leaf.path not in ("settings", "grid"):
            check_leaf(leaf)


def tasks_of(grid: Grid) -> tuple[str, ...]:
    """Tasks of the suites and tasks named one by one, each once, in that order.

    Raises:
      UserError: an unknown suite, or no task at all.
    """
    found = [task for name in grid.suite for task in suites.find(name).tasks]
    tasks = tuple(dict.fromkeys([*found, *grid.tasks]))
    if not tasks:
        raise UserError("no tasks: name some, or a suite")
    return tasks


def as_text(value: Any) -> str:
    """A value of a file as one types it after `--set path=`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, dict)):
        return json.dumps(value)
    return str(value)


def _table(given: dict[str, Any], name: str) -> dict[str, Any]:
    """Takes a table out; dotted keys that TOML nested are joined again, but for lists."""
    table = given.pop(name, {})
    if not isinstance(table, dict):
        raise UserError(f"{name} must be a table: [{name}]")
    return _flat(table, "") if name in ("settings", "grid") else dict(table)


def _flat(table: dict[str, Any], prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        path = f"{prefix}{key}"
        found |= _flat(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return found


def _values(paths: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise UserError(f"grid: {paths} must be a list of values")
    return tuple(as_text(one) for one in value)

"""From a grid to jobs: what shares a compiled program is one job.

Seeds and hyper-parameters (`hp.*`) are lanes of one job; everything else makes
another program and another job.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rr_scale import configure, fields
from rr_scale.config import RunConfig, Variant
from rr_scale.envs.suites import check_name
from rr_scale.errors import UserError
from rr_scale.presets import preset
from rr_scale.sweep import suites
from rr_scale.sweep.grid import Assignments, Grid, tasks_of
from rr_scale.validation import validate

_LONGEST = 40

# Settings that the grid states in another way, or that a job decides itself.
_ELSEWHERE = {
    "env_name": "use tasks",
    "preset": "use presets",
    "updates_per_step": "use replay_ratios",
    "seed": "use first_seed",
    "num_seeds": "use seeds",
    "variants": "use hp.* in the grid",
    "exp_name": "it is made from the combination",
    "save_dir": "it is below the folder of the sweep",
    "resume": "a sweep always continues what is there",
}


class Job(NamedTuple):
    """One process on one device."""

    name: str  # of its folders; unique in a sweep
    config: RunConfig  # valid; save_dir is empty

    @property
    def num_lanes(self) -> int:
        """Seeds x hyper-parameter settings."""
        return self.config.num_seeds * max(1, len(self.config.variants))


class _Axis(NamedTuple):
    paths: tuple[str, ...]
    label: str
    values: tuple[str, ...]

    @property
    def is_traced(self) -> bool:
        return all(path.startswith("hp.") for path in self.paths)


def make_jobs(grid: Grid) -> list[Job]:
    """All jobs of a grid, valid and with distinct names.

    Raises:
      UserError: an unknown task, suite, preset or setting, a value that is
        not legal, or a combination that occurs twice; one line.
    """
    axes = _axes(grid)
    traced = [axis for axis in axes if axis.is_traced]
    structural = [axis for axis in axes if not axis.is_traced]
    tasks = tasks_of(grid)
    for task in tasks:
        check_name(task)
    jobs = [
        Job(f"{_safe(task)}-{config.exp_name}{part}", config)
        for task, name, ratio in itertools.product(
            tasks, grid.presets, grid.replay_ratios or (None,)
        )
        for base in _structures(grid, task, name, ratio, structural)
        for part, config in _parts(base, _variants(base, traced), grid)
    ]
    seen: set[str] = set()
    for job in jobs:
        if job.name in seen:
            raise UserError(f"'{job.name}' occurs twice: a task, preset, ratio or value repeats")
        seen.add(job.name)
        validate(job.config)
    return jobs


def _axes(grid: Grid) -> list[_Axis]:
    found: list[_Axis] = []
    fixed = {path for path, _ in grid.settings}
    for path in fixed:
        _check_path(path)
    for key, values in grid.grid:
        paths = tuple(path.strip() for path in key.split(","))
        for path in paths:
            _check_path(path)
            if path in fixed or any(path in axis.paths for axis in found):
                raise UserError(f"'{path}' is set twice in the grid and settings")
        if len({path.startswith("hp.") for path in paths}) > 1:
            raise UserError(f"grid: '{key}' mixes hp.* with structure: make two axes of it")
        label = "+".join(dict.fromkeys(path.rpartition(".")[2] for path in paths))
        found.append(_Axis(paths, label, values))
    labels = [axis.label for axis in found]
    return [
        axis._replace(label="+".join(axis.paths)) if labels.count(axis.label) > 1 else axis
        for axis in found
    ]


def _check_path(path: str) -> None:
    first = path.partition(".")[0]
    if first in _ELSEWHERE:
        raise UserError(f"'{path}' cannot be set in a sweep: {_ELSEWHERE[first]}")


def _structures(
    grid: Grid, task: str, name: str, ratio: float | None, axes: Sequence[_Axis]
) -> Iterator[RunConfig]:
    config = dataclasses.replace(preset(name), env_name=task, tqdm=False)
    budgets = [one.max_steps for one in map(suites.find, grid.suite) if task in one.tasks]
    if budgets:
        config = dataclasses.replace(config, max_steps=max(budgets))
    if ratio is not None:
        config = dataclasses.replace(config, updates_per_step=float(ratio))
    config = dataclasses.replace(config, seed=grid.first_seed, num_seeds=grid.seeds)
    config = _with(config, grid.settings)
    free = configure.free_fields(config)
    for axis in axes:
        for path in axis.paths:
            if path in free:
                raise UserError(f"grid: '{path}' makes no other experiment: put it in settings")
    exp_name = f"{name}-rr{config.updates_per_step:g}"
    for values in itertools.product(*(axis.values for axis in axes)):
        chosen = list(zip(axes, values, strict=True))
        names = [exp_name, *(f"{axis.label}={_safe(value)}" for axis, value in chosen)]
        pairs = tuple((path, value) for axis, value in chosen for path in axis.paths)
        yield dataclasses.replace(_with(config, pairs), exp_name="-".join(names))


def _with(config: RunConfig, assignments: Assignments) -> RunConfig:
    for path, text in assignments:
        config = configure.set_path(config, path, text)
    return config


def _variants(config: RunConfig, axes: Sequence[_Axis]) -> tuple[Variant, ...]:
    if not axes:
        return ()
    found = []
    for values in itertools.product(*(axis.values for axis in axes)):
        chosen = list(zip(axes, values, strict=True))
        overrides = tuple(
            (path.removeprefix("hp."), _number(config, path, value))
            for axis, value in chosen
            for path in axis.paths
        )
        found.append(Variant("_".join(f"{a.label}={_safe(v)}" for a, v in chosen), overrides))
    return tuple(found)


def _number(config: RunConfig, path: str, text: str) -> float:
    changed = configure.set_path(config, path, text)
    leaves = {leaf.path: leaf.value for leaf in fields.leaves(changed)}
    return float(leaves[path])


def _parts(
    config: RunConfig, variants: tuple[Variant, ...], grid: Grid
) -> Iterator[tuple[str, RunConfig]]:
    """Splits lanes over jobs where `max_lanes` asks for it: variants first, then seeds."""
    seeds, limit = grid.seeds, grid.max_lanes or grid.seeds * max(1, len(variants))
    seeds_each, variants_each = min(seeds, limit), max(1, limit // seeds)
    groups: list[tuple[Variant, ...]] = [
        variants[start : start + variants_each]
        for start in range(0, max(1, len(variants)), variants_each)
    ]
    starts = range(0, seeds, seeds_each)
    parts = list(itertools.product(groups, starts))
    for index, (group, start) in enumerate(parts):
        yield (
            f"-part{index}" if len(parts) > 1 else "",
            dataclasses.replace(
                config,
                variants=group,
                seed=config.seed + start,
                num_seeds=min(seeds_each, seeds - start),
            ),
        )


def _safe(text: str) -> str:
    """Text as part of a file name and of `exp_name`."""
    safe = re.sub(r"[^A-Za-z0-9._+=-]+", "x", text.strip("[](){} \"'")) or "empty"
    if len(safe) > _LONGEST:
        safe = f"{safe[:_LONGEST]}.{hashlib.sha256(text.encode()).hexdigest()[:6]}"
    return safe

"""What does not fit together in a set of curves, said instead of averaged over."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from rr_scale.analysis.curves import Curve, Curves, Problem, Run
from rr_scale.errors import UserError

_SHOWN = 4
_SIMULATORS = ("mujoco", "dm_control", "gymnasium")


def refuse_contradictions(curves: Curves) -> None:
    """Refuses data in which one name means two things.

    Raises:
      UserError: runs of one experiment and task differ in their configuration,
        or a seed occurs in two places.
    """
    for (exp_name, env_name), runs in _grouped(curves.runs).items():
        for first, second in itertools.combinations(runs, 2):
            differing = _differences(first, second)
            if differing:
                raise UserError(
                    f"two experiments are called '{exp_name}' on {env_name}: "
                    f"{first.folder} and {second.folder} differ in {_some(differing)}; "
                    f"give one another name, as in NAME={second.folder}"
                )
    places: dict[tuple, Curve] = {}
    for curve in curves:
        first = places.setdefault(curve.key, curve)
        if first is not curve:
            where = f"{first.source} and {curve.source}"
            raise UserError(
                f"{curve.label} is there twice: {where}; leave one out, or give one experiment "
                f"another name, as in NAME={curve.source}"
            )


def find(curves: Curves) -> list[Problem]:
    """Everything else that a reader has to know, one line each."""
    return [
        *_non_finite(curves),
        *_gaps(curves),
        *_unequal_seeds(curves),
        *_unequal_ends(curves),
        *_missing_seeds(curves),
        *_mixed_units(curves),
        *_mixed_configurations(curves),
        *_mixed_simulators(curves),
    ]


def _non_finite(curves: Curves) -> Iterator[Problem]:
    for curve in curves:
        bad = ~np.isfinite(curve.values)
        if bad.any():
            first = int(curve.env_steps[np.argmax(bad)])
            text = f"{curve.label}: {int(bad.sum())} values of {curve.metric} are not finite"
            yield Problem("non-finite", f"{text}, the first at env step {first}")


def _gaps(curves: Curves) -> Iterator[Problem]:
    """Evaluations that are missing between others, by the usual distance of the curve."""
    for curve in curves:
        if len(curve.env_steps) < 4 or curve.seed is None or "/" in curve.metric:
            continue
        distances = np.diff(curve.env_steps)
        usual = Counter(distances.tolist()).most_common(1)[0]
        # Evaluations at no fixed distance have no gaps.
        if usual[1] * 2 <= len(distances):
            continue
        wide = np.flatnonzero(distances > usual[0])
        if len(wide):
            first, last = curve.env_steps[wide[0]], curve.env_steps[wide[0] + 1]
            text = f"{curve.label}: {len(wide)} gaps in {curve.metric}, the first between env step"
            yield Problem("gap", f"{text} {first} and {last} (usually {usual[0]} apart)")


def _unequal_seeds(curves: Curves) -> Iterator[Problem]:
    for metric, exp_name in _metrics_and_experiments(curves):
        counts = {
            env_name: len(group) for env_name, group in _by_task(curves, metric, exp_name).items()
        }
        if len(set(counts.values())) > 1:
            shown = _some(f"{count} on {env_name}" for env_name, count in counts.items())
            yield Problem("unequal", f"{exp_name}: unequal numbers of seeds: {shown}")


def _unequal_ends(curves: Curves) -> Iterator[Problem]:
    for metric, exp_name in _metrics_and_experiments(curves):
        for env_name, group in _by_task(curves, metric, exp_name).items():
            ends = {curve.seed: int(curve.env_steps[-1]) for curve in group if len(curve.env_steps)}
            if len(set(ends.values())) > 1:
                last = max(ends.values())
                early = _some(f"{s} at {end}" for s, end in sorted(ends.items()) if end < last)
                text = f"{exp_name} on {env_name}: seeds end before env step {last}: {early}"
                yield Problem("unequal", text)


def _missing_seeds(curves: Curves) -> Iterator[Problem]:
    for run in curves.runs:
        seen = {curve.seed for curve in curves if curve.source == run.folder}
        absent = [str(seed) for seed in run.seeds if seed not in seen]
        if absent and len(absent) < len(run.seeds):
            text = f"{run.folder}: seeds {_some(absent)} were started and have no evaluations"
            yield Problem("unfinished", text)


def _mixed_units(curves: Curves) -> Iterator[Problem]:
    for env_name in curves.tasks:
        repeats: dict[str, set[str]] = defaultdict(set)
        for curve in curves.where(env_name=env_name):
            known = curve.action_repeat
            if known is not None or curve.frames is None:
                repeats["unknown" if known is None else f"{known:g}"].add(curve.exp_name)
        numbers = [repeat for repeat in repeats if repeat != "unknown"]
        if len(numbers) > 1:
            shown = _some(f"{repeat} in {_some(sorted(repeats[repeat]))}" for repeat in numbers)
            text = f"{env_name}: the action repeat differs ({shown}): compare on frames"
            yield Problem("units", text)
        elif "unknown" in repeats and numbers and numbers != ["1"]:
            named = _some(sorted(repeats["unknown"]))
            text = f"{env_name}: {named} without frames beside action repeat {numbers[0]}"
            yield Problem("units", text)


def _mixed_configurations(curves: Curves) -> Iterator[Problem]:
    for exp_name in curves.experiments:
        runs = [run for run in curves.runs if run.exp_name == exp_name]
        found = {name for run in runs[1:] for name in _names(_differences(runs[0], run))}
        if found:
            text = f"{exp_name}: settings differ between its tasks: {_some(sorted(found))}"
            yield Problem("mixed", text)


def _mixed_simulators(curves: Curves) -> Iterator[Problem]:
    for library in _SIMULATORS:
        versions = {
            session["versions"][library]
            for run in curves.runs
            for session in run.sessions
            if library in session.get("versions", {})
        }
        if len(versions) > 1:
            text = f"the runs used {library} {_some(sorted(versions))}: other tasks, strictly"
            yield Problem("mixed", text)


def _differences(first: Run, second: Run) -> list[str]:
    """Settings that make two runs different experiments, with their values."""
    ignored = first.free | second.free
    both = [path for path in first.config if path in second.config and path not in ignored]
    return [
        f"{path} ({_short(first.config[path])} and {_short(second.config[path])})"
        for path in both
        if first.config[path] != second.config[path]
    ]


def _names(differences: Sequence[str]) -> Iterator[str]:
    return (text.partition(" ")[0] for text in differences)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 30 else f"{text[:27]}..."


def _some(texts: Iterable[str]) -> str:
    every = list(texts)
    rest = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + rest


def _grouped(runs: Iterable[Run]) -> dict[tuple[str, str], list[Run]]:
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.exp_name, run.env_name), []).append(run)
    return groups


def _metrics_and_experiments(curves: Curves) -> Iterator[tuple[str, str]]:
    # Training metrics share the fate of their runs: evaluations speak for them.
    evaluated = [metric for metric in curves.metrics if "/" not in metric]
    return itertools.product(evaluated[:1], curves.experiments)


def _by_task(curves: Curves, metric: str, exp_name: str) -> dict[str, list[Curve]]:
    groups: dict[str, list[Curve]] = {}
    for curve in curves.where(metric=metric, exp_name=exp_name):
        if curve.seed is not None:
            groups.setdefault(curve.env_name, []).append(curve)
    return groups

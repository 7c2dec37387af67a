"""From times to laws: the workflow of Rybkin et al. (2025) on any set of runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rr_scale.analysis.curves import Problem
from rr_scale.analysis.scaling_choice import Pairs, best_values, tabulate_times
from rr_scale.analysis.scaling_laws import (
    Compute,
    DataLaw,
    Line,
    Optimum,
    PowerLaw,
    cheapest,
    fit_data_law,
    fit_line,
    fit_power_law,
)
from rr_scale.analysis.scaling_times import Times
from rr_scale.errors import UserError

_GRID = 2001
_BEYOND = 4.0  # replay ratios are searched this far beyond the measured ones


class HeldOut(NamedTuple):
    """A prediction for what was left out of the fit."""

    what: str
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        """Relative error of the prediction."""
        return abs(self.predicted - self.measured) / abs(self.measured)


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """Everything that was fitted. K replay ratios, J thresholds."""

    thresholds: np.ndarray  # [J]
    ratios: np.ndarray  # [K]
    tasks: tuple[str, ...]
    chosen: tuple[Times, ...]  # per task and ratio the setting that counts
    times: np.ndarray  # [K, J] mean over tasks, each divided by its median
    spread: np.ndarray  # [resamples, K, J] the same of resampled seeds
    unit: float  # env steps that a normalised time of 1 stands for
    data: tuple[DataLaw | None, ...]  # per threshold
    exponents: tuple[float, float] | None  # of the last threshold that has a law: 95 % interval
    batch: PowerLaw | None
    rate: PowerLaw | None
    batch_points: Pairs  # what the two laws went through
    rate_points: Pairs
    optima: tuple[Optimum | None, ...]  # per threshold
    best_ratio: Line | None  # sigma*(F), fitted without the held-out thresholds
    frontier: Line | None  # C as a function of D
    held_out: tuple[HeldOut, ...]
    problems: tuple[Problem, ...]


def fit(
    measured: Sequence[Times],
    *,
    parameters: float | None = None,
    delta: float = 0.0,
    baseline: float | None = None,
    held_out_ratios: int = 1,
    held_out_thresholds: int = 2,
) -> Fit:
    """Fits all laws that the data can bear.

    Args:
      measured: what `scaling_times.measure` found.
      parameters: of the critics; None: no compute and no budget.
      delta: FLOPs that an env step is worth in the budget F = C + delta D.
      baseline: take for all replay ratios the batch size and learning rate
        that were best at this one, instead of the best at each.
      held_out_ratios: how many of the largest replay ratios are predicted from
        the others, to see how far extrapolation goes.
      held_out_thresholds: how many of the highest thresholds are left out of
        sigma*(F) and predicted by it.

    Raises:
      UserError: fewer than three replay ratios.
    """
    tasks = tuple(sorted({times.setting.task for times in measured}))
    ratios = np.array(sorted({times.setting.ratio for times in measured}))
    thresholds = measured[0].thresholds
    if len(ratios) < 3:
        found = ", ".join(f"{ratio:g}" for ratio in ratios)
        raise UserError(f"scaling laws need at least three replay ratios, found {found}")
    chosen, normalized, spread, unit, problems = tabulate_times(measured, tasks, ratios, baseline)
    data = _data_laws(ratios, normalized, unit, problems)
    rates = best_values(measured, lambda setting: setting.rate)
    batches = best_values(measured, lambda setting: setting.batch)
    laws = {name: _power_law(points) for name, points in (("rate", rates), ("batch", batches))}
    held_out = _predicted_times(ratios, normalized, thresholds, unit, held_out_ratios)
    for name, points in (("learning rate", rates), ("batch size", batches)):
        held_out += _predicted_values(name, points)
    sizes = laws["batch"] or _constant_batch(measured)
    optima: list[Optimum | None] = [None] * len(data)
    if parameters is not None and sizes is not None:
        optima = _optima(data, Compute(parameters, sizes, delta), ratios, thresholds, problems)
    elif parameters is not None:
        known = all(times.setting.batch is not None for times in measured)
        text = "differ and there is no law for them" if known else "are not in these files"
        problems.append(Problem("unfinished", f"no compute: batch sizes {text}"))
    best_ratio, frontier, predicted = _budget_lines(optima, thresholds, held_out_thresholds)
    return Fit(
        thresholds,
        ratios,
        tasks,
        chosen,
        normalized,
        spread,
        unit,
        tuple(data),
        _exponent_interval(ratios, spread, data),
        laws["batch"],
        laws["rate"],
        batches,
        rates,
        tuple(optima),
        best_ratio,
        frontier,
        tuple(held_out + predicted),
        tuple(problems),
    )


def _data_laws(
    ratios: np.ndarray, times: np.ndarray, unit: float, problems: list[Problem]
) -> list[DataLaw | None]:
    laws: list[DataLaw | None] = []
    for column in times.T:
        try:
            laws.append(fit_data_law(ratios, column, unit))
        except UserError:
            laws.append(None)
    loose = sum(law is not None and not law.determined for law in laws)
    if loose:
        text = f"{loose} of {len(laws)} laws have an exponent at a limit of the search"
        problems.append(Problem("undetermined", f"{text}: these data do not determine them"))
    if None in laws:
        text = f"{laws.count(None)} of {len(laws)} thresholds are reached by all tasks at fewer"
        problems.append(Problem("unfinished", f"{text} than three replay ratios: no law for them"))
    return laws


def _power_law(points: Pairs) -> PowerLaw | None:
    try:
        return fit_power_law(points) if points else None
    except UserError:
        return None


def _constant_batch(measured: Sequence[Times]) -> Callable[[float], float] | None:
    sizes = {times.setting.batch for times in measured}
    size = sizes.pop() if len(sizes) == 1 else None
    return None if size is None else lambda _: float(size)


def _predicted_times(
    ratios: np.ndarray, times: np.ndarray, thresholds: np.ndarray, unit: float, count: int
) -> list[HeldOut]:
    found = []
    for threshold, column in zip(thresholds, times.T, strict=True):
        try:
            law = fit_data_law(ratios[:-count], column[:-count], unit) if count else None
        except UserError:
            continue
        for ratio, time in zip(ratios[-count:], column[-count:], strict=True):
            if law is not None and np.isfinite(time):
                what = f"env steps to {threshold:.0f} at replay ratio {ratio:g}"
                found.append(HeldOut(what, float(law(ratio)), float(time * unit)))
    return found


def _predicted_values(name: str, points: Pairs) -> list[HeldOut]:
    """The value at the largest replay ratio of each task from the smaller ones."""
    largest = max((ratio for pairs in points.values() for ratio, _ in pairs), default=0.0)
    rest = {task: [p for p in pairs if p[0] < largest] for task, pairs in points.items()}
    law = _power_law({task: pairs for task, pairs in rest.items() if pairs})
    if law is None:
        return []
    return [
        HeldOut(f"{name} on {task} at replay ratio {ratio:g}", law(ratio, task), value)
        for task, pairs in points.items()
        for ratio, value in pairs
        if ratio == largest and task in law.at_one
    ]


def _optima(
    data: Sequence[DataLaw | None],
    compute: Compute,
    ratios: np.ndarray,
    thresholds: np.ndarray,
    problems: list[Problem],
) -> list[Optimum | None]:
    grid = np.geomspace(ratios[0] / _BEYOND, ratios[-1] * _BEYOND, _GRID)
    found: list[Optimum | None] = []
    for threshold, law in zip(thresholds, data, strict=True):
        best = None if law is None else cheapest(law, compute, grid)
        if best is not None and best.sigma in (grid[0], grid[-1]):
            text = f"the cheapest replay ratio for {threshold:.0f} is beyond {best.sigma:g}"
            problems.append(Problem("unfinished", f"{text}, {_BEYOND:g} x what was measured"))
            best = None
        found.append(best)
    return found


def _budget_lines(
    optima: Sequence[Optimum | None], thresholds: np.ndarray, held_out: int
) -> tuple[Line | None, Line | None, list[HeldOut]]:
    known = [(t, best) for t, best in zip(thresholds, optima, strict=True) if best is not None]
    fitted = known[: len(known) - held_out]
    if len(fitted) < 2:
        return None, None, []
    ratio = fit_line([best.budget for _, best in fitted], [best.sigma for _, best in fitted])
    frontier = fit_line([best.steps for _, best in fitted], [best.flops for _, best in fitted])
    predicted = [
        HeldOut(f"best replay ratio for {t:.0f}", float(ratio(best.budget)), best.sigma)
        for t, best in known[len(fitted) :]
    ]
    return ratio, frontier, predicted


def _exponent_interval(
    ratios: np.ndarray, spread: np.ndarray, data: Sequence[DataLaw | None]
) -> tuple[float, float] | None:
    fitted = [index for index, law in enumerate(data) if law is not None]
    found = []
    for times in spread[:, :, fitted[-1]] if fitted else ():
        if np.isfinite(times).sum() >= 3:
            found.append(fit_data_law(ratios, times).exponent)
    if len(found) < 2:
        return None
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def to_json(found: Fit) -> Mapping[str, object]:
    """The laws as JSON values."""
    laws = {
        name: None if law is None else dataclasses.asdict(law)
        for name, law in (("batch", found.batch), ("rate", found.rate))
    }
    return {
        "thresholds": found.thresholds.tolist(),
        "ratios": found.ratios.tolist(),
        "tasks": list(found.tasks),
        "unit": found.unit,
        "data": [None if law is None else law._asdict() for law in found.data],
        "exponent_interval": found.exponents,
        **laws,
        "optima": [None if best is None else best._asdict() for best in found.optima],
        "best_ratio": None if found.best_ratio is None else found.best_ratio._asdict(),
        "frontier": None if found.frontier is None else found.frontier._asdict(),
        "held_out": [{**item._asdict(), "error": item.error} for item in found.held_out],
        "problems": [str(problem) for problem in found.problems],
    }

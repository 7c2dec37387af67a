"""The laws that data, batch size, learning rate and compute follow over replay ratios.

Forms and constants after Rybkin et al., "Value-Based Deep RL Scales
Predictably" (2025). sigma is the replay ratio, B the batch size, eta the
learning rate, D_J the env steps to threshold J, C_J the FLOPs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from rr_scale.errors import UserError

FLOPS_PER_PARAMETER = 10
"""Of one sample in one update: critic forward and backward, target and actor passes."""

BATCH_MULTIPLE = 16

# Nearer to 0 the law is a logarithm, whose scale and floor grow without bound.
_SMALLEST = 0.05
_EXPONENTS = np.concatenate([-np.geomspace(4, _SMALLEST, 50), np.geomspace(_SMALLEST, 8, 80)])


@dataclasses.dataclass(frozen=True)
class PowerLaw:
    """value(sigma) = at_one x sigma ** slope, with one slope and a factor per task."""

    slope: float
    at_one: Mapping[str, float]  # task -> value at sigma = 1

    def __call__(self, sigma: float, task: str | None = None) -> float:
        """The value for a task; None: the mean over tasks."""
        if task is not None and task not in self.at_one:
            raise UserError(f"no fit for task '{task}'; there is one for {', '.join(self.at_one)}")
        factors = list(self.at_one.values()) if task is None else [self.at_one[task]]
        return float(np.mean(factors)) * sigma**self.slope


class DataLaw(NamedTuple):
    """t(sigma) = floor + (sigma / scale) ** -exponent, in units of `unit` env steps.

    The published code prints X (1 + (sigma/b)^-a), which is another function
    unless c = 1; D = X (c + (sigma/b)^-a) is meant.
    """

    exponent: float  # a, or alpha_J
    scale: float  # b; beta_J is b in units of data
    floor: float  # c; D_min = unit x floor
    unit: float  # X: env steps

    @property
    def determined(self) -> bool:
        """Whether the data decide on the exponent: it is none of the limits of the search."""
        limits = _EXPONENTS[[0, -1]], (-_SMALLEST, _SMALLEST)
        return not np.isclose(self.exponent, np.concatenate(limits), rtol=1e-4).any()

    def __call__(self, sigma: np.ndarray | float) -> np.ndarray:
        """Env steps to the threshold at replay ratios."""
        sigma = np.asarray(sigma, dtype=np.float64)
        return self.unit * (self.floor + (sigma / self.scale) ** -self.exponent)


class Line(NamedTuple):
    """log10 y = slope log10 x + intercept."""

    slope: float
    intercept: float

    def __call__(self, x: np.ndarray | float) -> np.ndarray:
        """y at x, both on their own scales."""
        return 10 ** (self.slope * np.log10(x) + self.intercept)


def fit_power_law(points: Mapping[str, Sequence[tuple[float, float]]]) -> PowerLaw:
    """One slope for all tasks by least squares in log10, with an intercept per task.

    Args:
      points: task -> (sigma, value) pairs.

    Raises:
      UserError: no task with two different replay ratios.
    """
    x = np.concatenate([np.log10([s for s, _ in pairs]) for pairs in points.values()])
    y = np.concatenate([np.log10([v for _, v in pairs]) for pairs in points.values()])
    task = np.repeat(np.arange(len(points)), [len(pairs) for pairs in points.values()])
    centred_x, centred_y = x.copy(), y.copy()
    for index in range(len(points)):
        centred_x[task == index] -= x[task == index].mean()
        centred_y[task == index] -= y[task == index].mean()
    spread = float(centred_x @ centred_x)
    if spread < 1e-12:
        raise UserError("a slope over replay ratios needs a task with at least two of them")
    slope = float(centred_x @ centred_y) / spread
    factors = {
        name: float(10 ** (y[task == index] - slope * x[task == index]).mean())
        for index, name in enumerate(points)
    }
    return PowerLaw(slope, factors)


def fit_data_law(sigma: Sequence[float], times: Sequence[float], unit: float = 1.0) -> DataLaw:
    """The data law of least squares through times [in units of `unit` env steps].

    For a given exponent the other two constants are a linear least-squares
    problem, so only the exponent is searched: on a grid, then refined. The
    published code starts 125 three-dimensional searches for the same minimum.

    Raises:
      UserError: fewer than three replay ratios that reach the threshold.
    """
    known = np.isfinite(times)
    x, y = np.asarray(sigma, float)[known], np.asarray(times, float)[known]
    if len(np.unique(x)) < 3:
        raise UserError(
            f"a fit of data against replay ratio needs three of them; {len(np.unique(x))} reach "
            f"the threshold"
        )

    def error(exponent: float) -> float:
        factor, floor = _linear(x, y, exponent)
        return float(np.mean((floor + factor * x**-exponent - y) ** 2))

    errors = [error(exponent) for exponent in _EXPONENTS]
    best = int(np.argmin(errors))
    around = _EXPONENTS[max(best - 1, 0)], _EXPONENTS[min(best + 1, len(_EXPONENTS) - 1)]
    found = minimize_scalar(error, bounds=around, method="bounded", options={"xatol": 1e-10})
    better = found.fun <= errors[best] and abs(found.x) >= _SMALLEST
    exponent = float(found.x if better else _EXPONENTS[best])
    factor, floor = _linear(x, y, exponent)
    return DataLaw(exponent, float(factor ** (1 / exponent)), floor, unit)


def _linear(x: np.ndarray, y: np.ndarray, exponent: float) -> tuple[float, float]:
    """Factor > 0 and floor of y = floor + factor x^-exponent by least squares."""
    basis = x**-exponent
    centred = basis - basis.mean()
    variance = float(centred @ centred)
    factor = float(centred @ (y - y.mean())) / variance if variance > 0 else 0.0
    # A negative factor has no scale b: the law would not fall towards its floor.
    factor = max(factor, 1e-12)
    return factor, float(y.mean() - factor * basis.mean())


class Compute(NamedTuple):
    """What turns data into compute and budget."""

    parameters: float  # N: parameters of the critics
    batch: Callable[[float], float]  # B*(sigma), mean over tasks
    delta: float = 0.0  # FLOPs that an env step is worth in the budget

    def flops(self, sigma: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """C = 10 sigma D B*(sigma) N, of replay ratios and env steps, one for one."""
        sizes = np.array([self.batch(float(s)) for s in np.atleast_1d(sigma)]).reshape(
            np.shape(sigma)
        )
        return FLOPS_PER_PARAMETER * sigma * steps * sizes * self.parameters


class Optimum(NamedTuple):
    """The replay ratio that reaches a threshold with the smallest budget."""

    sigma: float
    steps: float  # D
    flops: float  # C
    budget: float  # F = C + delta D


def cheapest(law: DataLaw, compute: Compute, sigma: np.ndarray) -> Optimum:
    """The best of the replay ratios `sigma` for one threshold."""
    steps = law(sigma)
    flops = compute.flops(sigma, steps)
    budget = np.where(steps > 0, flops + compute.delta * steps, np.inf)
    best = int(np.argmin(budget))
    return Optimum(float(sigma[best]), float(steps[best]), float(flops[best]), float(budget[best]))


def fit_line(x: Sequence[float], y: Sequence[float]) -> Line:
    """Least squares in log10-log10; UserError with fewer than two different x."""
    if len(set(x)) < 2:
        raise UserError("a line needs at least two points")
    slope, intercept = np.polyfit(np.log10(x), np.log10(y), 1)
    return Line(float(slope), float(intercept))


def rounded_batch(batch: float) -> int:
    """The nearest multiple of 16, at least 16; ties go to the even multiple."""
    return max(BATCH_MULTIPLE, BATCH_MULTIPLE * round(batch / BATCH_MULTIPLE))


def neighbours(value: float) -> tuple[float, float]:
    """The two values beside a proposal that are worth a run: half a doubling down and up."""
    return value * math.sqrt(0.5), value * math.sqrt(2)

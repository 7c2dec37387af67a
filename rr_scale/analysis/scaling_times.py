"""How much data a setting needs: env steps until the mean return reaches a threshold.

The first part of the workflow of Rybkin et al., "Value-Based Deep RL Scales
Predictably" (2025): the mean over seeds, made monotone, crosses thresholds;
seeds are resampled for the spread.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression

from rr_scale.analysis.curves import Curve, Curves, Run
from rr_scale.analysis.score_scales import Scale, scale_of
from rr_scale.errors import UserError

RESAMPLES = 100
FULL = 1000.0
"""What a score of 1 is in the units of thresholds."""


class Setting(NamedTuple):
    """What a group of seeds was trained with."""

    task: str
    ratio: float  # sigma: updates per env step
    batch: int | None  # B
    rate: float | None  # eta: learning rate


@dataclasses.dataclass(frozen=True, eq=False)
class Times:
    """Env steps to J thresholds, NaN where one is not reached."""

    setting: Setting
    thresholds: np.ndarray  # [J], increasing
    steps: np.ndarray  # [J] of the mean over all seeds
    resampled: np.ndarray  # [resamples, J] of the mean over resampled seeds
    seeds: int


def default_thresholds(count: int = 10, low: float = 200.0, high: float = 800.0) -> np.ndarray:
    """Thresholds from `low` to `high`, denser towards the top: FULL - logspace."""
    spread = np.logspace(np.log10(FULL - low), np.log10(FULL - high), count)
    return FULL - spread


def measure(
    curves: Curves,
    thresholds: np.ndarray,
    *,
    metric: str,
    rate_path: str = "hp.critic_lr",
    suite: str = "auto",
    scales: dict[str, Scale] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Times]:
    """Times to thresholds for every setting in the data, sorted by setting.

    Args:
      curves: with runs (then settings are read from their configuration), or
        named by replay ratio, as in `sr_sac_rr16`.
      thresholds: scores x 1000 [J], increasing.
      metric: the return; the paper uses that of training episodes.
      rate_path: the setting that is the learning rate.
      suite, scales: how returns become scores.
      resamples: of seeds, per setting.
      seed: of the resamples.

    Raises:
      UserError: nothing to measure, or a curve without a known replay ratio.
    """
    groups: dict[Setting, list[Curve]] = {}
    for curve in curves.where(metric=metric):
        if curve.seed is not None:
            setting = _setting(curves, curve, rate_path)
            groups.setdefault(setting, []).append(curve)
    if not groups:
        raise UserError(f"no {metric} of any seed: nothing to fit")
    ordered = sorted(groups.items(), key=lambda item: tuple(map(_sortable, item[0])))
    sources = np.random.SeedSequence(seed).spawn(len(ordered))
    found = []
    for (setting, group), source in zip(ordered, sources, strict=True):
        steps, returns = _aligned(group)
        returns = scale_of(setting.task, suite, scales)(returns) * FULL
        resets = {step for curve in group for step in _resets(curves.run_of(curve))}
        kept = recovered(steps, returns.mean(axis=0), sorted(resets))
        steps, returns = steps[kept], returns[:, kept]
        rng = np.random.default_rng(source)
        found.append(
            Times(
                setting,
                thresholds,
                crossings(steps, returns.mean(axis=0), thresholds),
                _resampled(steps, returns, thresholds, resamples, rng),
                len(group),
            )
        )
    return found


def crossings(steps: np.ndarray, returns: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The first step at which the monotone fit of a curve reaches each threshold [J].

    Args:
      steps: env steps [T], increasing.
      returns: of one curve [T].
      thresholds: [J].

    Returns:
      Env steps as float64, NaN where the fit stays below.
    """
    monotone = isotonic_regression(returns, increasing=True).x
    places = np.searchsorted(monotone, thresholds, side="left")
    reached = places < len(steps)
    found = np.full(len(thresholds), np.nan)
    found[reached] = steps[places[reached]]
    return found


def recovered(steps: np.ndarray, mean: np.ndarray, resets: Sequence[int]) -> np.ndarray:
    """Which points are not in the dip after a reset [T].

    From each reset on, points are left out until the mean is back at the level
    of the last evaluation before it (an evaluation at the step of a reset
    comes before the reset).
    """
    kept = np.ones(len(steps), dtype=bool)
    for reset in resets:
        before = int(np.searchsorted(steps, reset, side="right"))
        if before == 0:
            continue
        back = np.flatnonzero(mean[before:] >= mean[before - 1])
        kept[before : before + back[0] if len(back) else len(steps)] = False
    return kept


def _resampled(
    steps: np.ndarray,
    returns: np.ndarray,
    thresholds: np.ndarray,
    resamples: int,
    rng: np.random.Generator,
) -> np.ndarray:
    drawn = rng.integers(0, len(returns), size=(resamples, len(returns)))
    return np.array([crossings(steps, returns[rows].mean(axis=0), thresholds) for rows in drawn])


def _aligned(group: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray]:
    """The steps that all seeds have [T], and finite returns [seeds, T]."""
    steps = group[0].env_steps
    for curve in group:
        steps = np.intersect1d(steps, curve.env_steps[np.isfinite(curve.values)])
    if not len(steps):
        raise UserError(f"{group[0].exp_name} on {group[0].env_name}: seeds share no evaluation")
    values = [curve.values[np.searchsorted(curve.env_steps, steps)] for curve in group]
    return steps, np.array(values)


def _setting(curves: Curves, curve: Curve, rate_path: str) -> Setting:
    run = curves.run_of(curve)
    if run is None:
        ratio = curves.replay_ratio(curve.exp_name)
        if ratio is None:
            raise UserError(
                f"the replay ratio of '{curve.exp_name}' is not known: name it in the experiment, "
                f"as in NAME_rr16={curve.source}"
            )
        return Setting(curve.env_name, ratio, None, None)
    ratio, rate = run.replay_ratio, run.config.get(rate_path)
    if ratio is None:
        raise UserError(f"{run.folder}: no run.json that tells the replay ratio")
    batch = run.config.get("replay.batch_size")
    return Setting(
        curve.env_name,
        ratio,
        None if batch is None else int(batch),
        None if rate is None else float(rate),
    )


def _resets(run: Run | None) -> tuple[int, ...]:
    return () if run is None else run.reset_steps


def _sortable(value: object) -> tuple[bool, object]:
    return (value is not None, 0 if value is None else value)

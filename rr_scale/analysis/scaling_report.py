"""A scaling fit in words: what was found, and settings for a replay ratio."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rr_scale.analysis.scaling import Fit
from rr_scale.analysis.scaling_laws import Line, PowerLaw, neighbours, rounded_batch
from rr_scale.analysis.scaling_times import default_thresholds
from rr_scale.errors import UserError


def parse_thresholds(text: str) -> np.ndarray:
    """`LOW:HIGH:COUNT` or `A,B,C` as thresholds; raises UserError for anything else."""
    try:
        if ":" in text:
            low, high, count = text.split(":")
            found = default_thresholds(int(count), float(low), float(high))
        else:
            found = np.array([float(part) for part in text.split(",")])
    except ValueError:
        found = np.array([])
    if not len(found) or not np.isfinite(found).all() or (np.diff(found) <= 0).any():
        raise UserError(f"thresholds are LOW:HIGH:COUNT below 1000 or A,B,C rising, not '{text}'")
    return found


def describe(found: Fit) -> str:
    """All laws as text."""
    ratios = ", ".join(f"{ratio:g}" for ratio in found.ratios)
    lines = [f"replay ratios {ratios} on {', '.join(found.tasks)}", ""]
    lines.append("env steps D to a threshold: D = unit (c + (ratio / b)^-a)")
    lines.append(f"{'threshold':>9}  {'a':>7}  {'b':>8}  {'c':>7}  {'unit':>9}")
    for threshold, law in zip(found.thresholds, found.data, strict=True):
        numbers = "no law: too few replay ratios reach it"
        if law is not None:
            numbers = f"{law.exponent:7.3f}  {law.scale:8.4g}  {law.floor:7.3f}  {law.unit:9.4g}"
        lines.append(f"{threshold:9.0f}  {numbers}")
    if found.exponents is not None:
        low, high = found.exponents
        lines.append(f"a of the last law, 95 % of resampled seeds: {low:.3f} to {high:.3f}")
    for name, law in (("batch size", found.batch), ("learning rate", found.rate)):
        lines.append("")
        if law is None:
            lines.append(f"{name}: no law (it takes several values at two replay ratios or more)")
            continue
        lines.append(f"best {name} = value at ratio 1 x ratio^{law.slope:.4f}")
        lines += [f"  {task}: {value:.4g}" for task, value in law.at_one.items()]
    if found.best_ratio is not None and found.frontier is not None:
        lines.append("")
        lines.append(f"best ratio for budget F: {_power(found.best_ratio, 'F')}")
        lines.append(f"FLOPs C at the best ratio: {_power(found.frontier, 'D')}")
    if found.held_out:
        lines += ["", "left out of its fit, then predicted:"]
        lines += [
            f"  {item.what}: {item.predicted:.4g}, measured {item.measured:.4g} "
            f"({100 * item.error:.0f} % off)"
            for item in found.held_out
        ]
    return "\n".join(lines)


def read_laws(path: Path) -> Mapping[str, Any]:
    """The content of a `scaling.json`; raises UserError if it is none."""
    try:
        laws = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a fit ({error})") from None
    if not isinstance(laws, dict) or not {"batch", "rate", "best_ratio"} <= set(laws):
        raise UserError(f"{path}: is not a scaling.json of fit_scaling.py")
    return laws


def suggest(
    laws: Mapping[str, Any],
    replay_ratio: float | None = None,
    task: str | None = None,
    budget: float | None = None,
) -> str:
    """Settings that the laws propose for a replay ratio, or for a budget.

    Raises:
      UserError: neither or both given, not positive, or no law to ask.
    """
    if (replay_ratio is None) == (budget is None):
        raise UserError("suggest needs --replay_ratio or --budget, one of them")
    lines = []
    if budget is not None:
        if laws["best_ratio"] is None:
            raise UserError("this fit has no law of budgets: fit with --parameters")
        if budget <= 0:
            raise UserError(f"a budget is positive, not {budget:g}")
        replay_ratio = float(Line(**laws["best_ratio"])(budget))
        lines.append(f"replay ratio   {replay_ratio:.3g}")
    assert replay_ratio is not None
    if replay_ratio <= 0:
        raise UserError(f"a replay ratio is positive, not {replay_ratio:g}")
    batch, rate = (
        None if laws[name] is None else PowerLaw(**laws[name])(replay_ratio, task)
        for name in ("batch", "rate")
    )
    if batch is None and rate is None and budget is None:
        raise UserError("this fit has no law of batch sizes or learning rates: nothing to suggest")
    if batch is not None:
        low, high = map(rounded_batch, neighbours(batch))
        lines.append(f"batch size     {rounded_batch(batch)} ({batch:.4g}; also {low}, {high})")
    if rate is not None:
        low, high = neighbours(rate)
        lines.append(f"learning rate  {rate:.3g} (also {low:.3g}, {high:.3g})")
    measured = laws["ratios"]
    if not measured[0] <= replay_ratio <= measured[-1]:
        lines.append(f"beyond the measured replay ratios, {measured[0]:g} to {measured[-1]:g}")
    return "\n".join(lines)


def _power(line: Line, name: str) -> str:
    return f"{10**line.intercept:.3g} x {name}^{line.slope:.3f}"

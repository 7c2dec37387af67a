"""When things happen: exact arithmetic on step counts, on the host.

A replay ratio is a rational number here (0.1 is one tenth, not the nearest
double), so a run of any length does exactly floor(n * ratio) updates.
"""

from __future__ import annotations

from fractions import Fraction

from rr_scale.config import ResetRule


class ReplayRatio:
    """Updates as a function of environment steps.

    Args:
      updates_per_step: gradient updates per environment step; read as the
        decimal number it prints as.
      start_training: environment steps before the first update.
    """

    def __init__(self, updates_per_step: float, start_training: int):
        self.ratio = Fraction(repr(float(updates_per_step)))
        self.start_training = start_training

    def total(self, env_step: int) -> int:
        """Updates done once `env_step` steps are complete."""
        return int(max(env_step - self.start_training, 0) * self.ratio)

    def due(self, env_step: int) -> int:
        """Updates that follow the step which completed `env_step` steps."""
        return self.total(env_step) - self.total(env_step - 1)

    def reset_count(self, env_step: int, unit: str) -> int:
        """What a reset rule counts: env steps, or env steps x replay ratio.

        Warm-up steps count as well: the published schedules do (at replay
        ratio 32, 2,560,000 updates mean every 80,000 steps from step 0).
        """
        return env_step if unit == "env_steps" else int(env_step * self.ratio)


def fires(rule: ResetRule, ratio: ReplayRatio, env_step: int) -> bool:
    """Whether `rule` fires after the step that completed `env_step` steps."""
    before = ratio.reset_count(env_step - 1, rule.unit)
    now = ratio.reset_count(env_step, rule.unit)
    if rule.at:
        return any(before < count <= now for count in rule.at)
    return now // rule.interval > before // rule.interval


def firing_steps(rules: tuple[ResetRule, ...], ratio: ReplayRatio, env_step: int) -> list[int]:
    """All steps <= env_step after which a rule fires, ascending, each once.

    Computed from the rules alone, not from a log, so that it holds for a run
    that was resumed and for one that is only planned.
    """
    steps: set[int] = set()
    for rule in rules:
        reached = ratio.reset_count(env_step, rule.unit)
        if rule.at:
            marks = [mark for mark in rule.at if mark <= reached]
        else:
            marks = list(range(rule.interval, reached + 1, rule.interval))
        # The first step at which floor(step * ratio) reaches the mark.
        per_step = 1 if rule.unit == "env_steps" else ratio.ratio
        steps.update(int(-(-mark // per_step)) for mark in marks)
    return sorted(steps)


def every(env_step: int, interval: int) -> bool:
    """Whether a periodic job is due; an interval of 0 means never."""
    return interval > 0 and env_step % interval == 0

"""Returns as scores that tasks share: what counts as 0 and what as 1, per suite."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from rr_scale.errors import UserError, nearest


class Scale(NamedTuple):
    """The returns that become 0 and 1."""

    zero: float
    one: float

    def __call__(self, returns: np.ndarray) -> np.ndarray:
        """Returns as scores, same shape."""
        return (returns - self.zero) / (self.one - self.zero)


UNIT = Scale(0.0, 1.0)
_DMC = Scale(0.0, 1000.0)

# Random policy and TD3 after 1M steps, as the SimbaV2 paper (Lee et al. 2025) normalises by.
_MUJOCO = {
    "HalfCheetah": Scale(-289.415, 10574.0),
    "Hopper": Scale(18.791, 3226.0),
    "Walker2d": Scale(2.791, 3946.0),
    "Ant": Scale(-70.288, 3942.0),
    "Humanoid": Scale(120.423, 5165.0),
}
# Random policy and success threshold, as the BRC paper (Nauman et al. 2025) normalises by.
_HUMANOID_BENCH = {
    "h1-walk": Scale(2.377, 700.0),
    "h1-run": Scale(2.02, 700.0),
    "h1-stand": Scale(10.545, 800.0),
    "h1-reach": Scale(260.3, 12000.0),
}
_DMC_DOMAINS = re.compile(
    r"(acrobot|ball_in_cup|cartpole|cheetah|dog|finger|fish|hopper|humanoid|humanoid_CMU|lqr|"
    r"manipulator|pendulum|point_mass|quadruped|reacher|stacker|swimmer|walker)-\w+"
)

SUITES: dict[str, str] = {
    "auto": "the suite that the name of each task says",
    "none": "returns as they are",
    "dmc": "dm_control: return / 1000",
    "mujoco": "Gymnasium's MuJoCo: 0 is a random policy, 1 is TD3 after 1M steps",
    "humanoid_bench": "0 is a random policy, 1 the threshold of success",
    "success": "success rates as they are (MetaWorld, MyoSuite)",
}
"""Ways to normalise, and what they do."""


def scale_of(task: str, suite: str = "auto", given: Mapping[str, Scale] | None = None) -> Scale:
    """The scale of a task.

    Args:
      task: its name.
      suite: a key of `SUITES`.
      given: scales by task that come before those of the suite.

    Raises:
      UserError: an unknown suite, or a task for which it has no scale.
    """
    check_suite(suite)
    if given and task in given:
        return given[task]
    found = _suite_of(task) if suite == "auto" else suite
    if found in ("none", "success"):
        return UNIT
    plain = _plain(task)
    if found == "dmc":
        return _DMC
    table = {"mujoco": _MUJOCO, "humanoid_bench": _HUMANOID_BENCH}.get(found or "", {})
    if plain not in table:
        raise UserError(
            f"no scale for '{task}' (suite {found or 'unknown'}): name its returns that are 0 and "
            f"1, as in {task}=0:1000, or do not normalise (none)"
        )
    return table[plain]


def check_suite(suite: str) -> None:
    """Refuses what is no key of `SUITES` with a UserError that names them."""
    if suite not in SUITES:
        known = ", ".join(SUITES)
        raise UserError(f"unknown suite '{suite}'{nearest(suite, SUITES)}; one of {known}")


def parse_scale(text: str) -> tuple[str, Scale]:
    """`TASK=ZERO:ONE` as task and scale; raises UserError for anything else."""
    task, _, numbers = text.rpartition("=")
    try:
        zero, one = map(float, numbers.split(":"))
    except ValueError:
        zero = one = 0.0
    if not task or not np.isfinite([zero, one]).all() or zero == one:
        raise UserError(f"a scale is TASK=ZERO:ONE with two different returns, not '{text}'")
    return task, Scale(zero, one)


def _plain(task: str) -> str:
    return re.sub(r"-v\d+$", "", task.removeprefix("dm_control/"))


def _suite_of(task: str) -> str | None:
    plain = _plain(task)
    if plain in _MUJOCO:
        return "mujoco"
    if plain.startswith(("h1-", "h1hand-")):
        return "humanoid_bench"
    return "dmc" if _DMC_DOMAINS.fullmatch(plain) else None

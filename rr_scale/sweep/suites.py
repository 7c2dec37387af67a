"""Named sets of tasks with a budget.

Where the lists come from:

- `dmc15-500k`: the table of running times in the authors' README (D'Oro et al.
  2023; proceduralia/high_replay_ratio_continuous_control).
- `dmc-easy`, `dmc-medium`: which task is which is what the code of DrQ-v2 says,
  a file per task (facebookresearch/drqv2, `cfgs/task/`). Its manipulation task
  `reach_duplo` is left out and `fish-swim`, which it does not have, is added as
  a medium one. So both together are the 21 tasks of `DMC-Easy` in SimbaV2 (Lee
  et al. 2025; dojeon-ai/SimbaV2, `analysis/table/dmc_easy_results.tex`), and but
  for `ball_in_cup-catch` the 20 of `DMC_EASY_MEDIUM` in SimBa (Lee et al. 2024;
  SonyResearch/simba, `scale_rl/envs/dmc.py`).
- `dmc-hard`: `DMC_HARD` there; dog and humanoid are its two halves.
- `mujoco-5`: the five tasks of SimbaV2's `analysis/table/simba_mujoco_results.tex`,
  there in version 4.

Budgets are in agent decisions. That of `dmc15-500k` is published, at action
repeat 1. One million for `dmc-hard` is that of BRO (Nauman et al. 2024), at
action repeat 1, and for `mujoco-5` that of SimbaV2; those of `dmc-easy` and
`dmc-medium` are ours.
"""

from __future__ import annotations

from typing import NamedTuple

from rr_scale.errors import UserError, nearest

_DOG = ("dog-run", "dog-stand", "dog-trot", "dog-walk")
_HUMANOID = ("humanoid-run", "humanoid-stand", "humanoid-walk")


class Suite(NamedTuple):
    """Tasks that are reported together."""

    tasks: tuple[str, ...]
    max_steps: int  # agent decisions per seed, unless the sweep says otherwise
    about: str  # one line: who uses it


SUITES: dict[str, Suite] = {
    "dmc15-500k": Suite(
        (
            "acrobot-swingup",
            "cheetah-run",
            "finger-turn_hard",
            "fish-swim",
            "hopper-hop",
            "hopper-stand",
            *_HUMANOID,
            "pendulum-swingup",
            "quadruped-run",
            "quadruped-walk",
            "reacher-hard",
            "swimmer-swimmer6",
            "walker-run",
        ),
        500_000,
        "the replay-ratio benchmark of D'Oro et al. 2023: mean over tasks at 500k steps",
    ),
    "dmc-easy": Suite(
        (
            "ball_in_cup-catch",
            "cartpole-balance",
            "cartpole-balance_sparse",
            "cartpole-swingup",
            "finger-spin",
            "hopper-stand",
            "pendulum-swingup",
            "walker-stand",
            "walker-walk",
        ),
        500_000,
        "the easy tasks of DrQ-v2 (Yarats et al. 2022)",
    ),
    "dmc-medium": Suite(
        (
            "acrobot-swingup",
            "cartpole-swingup_sparse",
            "cheetah-run",
            "finger-turn_easy",
            "finger-turn_hard",
            "fish-swim",
            "hopper-hop",
            "quadruped-run",
            "quadruped-walk",
            "reacher-easy",
            "reacher-hard",
            "walker-run",
        ),
        1_000_000,
        "the medium tasks of DrQ-v2, with fish-swim in place of its manipulation task",
    ),
    "dmc-hard": Suite(
        (*_DOG, *_HUMANOID),
        1_000_000,
        "dog and humanoid, the hard tasks of SimBa and SimbaV2 (Lee et al. 2024, 2025)",
    ),
    "dog": Suite(_DOG, 1_000_000, "the dog tasks of dmc-hard"),
    "humanoid": Suite(_HUMANOID, 1_000_000, "the humanoid tasks of dmc-hard"),
    "mujoco-5": Suite(
        ("Ant-v5", "HalfCheetah-v5", "Hopper-v5", "Humanoid-v5", "Walker2d-v5"),
        1_000_000,
        "Gymnasium's locomotion tasks; most published numbers are of v4",
    ),
}


def find(name: str) -> Suite:
    """The suite of a name, in any case.

    Raises:
      UserError: no such suite; the message names the nearest.
    """
    suite = SUITES.get(name.lower())
    if suite is None:
        raise UserError(f"unknown suite '{name}'{nearest(name.lower(), SUITES)}")
    return suite

"""Settings of replay."""

from __future__ import annotations

import dataclasses

from rr_scale.setting import setting


@dataclasses.dataclass(frozen=True)
class ReplayConfig:
    """What is remembered and how it is drawn."""

    capacity: int = setting(1_000_000, "transitions kept per lane", low=1)
    storage: str = setting(
        "plain",
        "two observations per transition, or each observation once: the same samples from half the "
        "memory (large observations), but fewer transitions if episodes average under 8 steps",
        choices=("plain", "compact"),
        free=True,
    )
    batch_size: int = setting(256, "transitions per update", low=1)
    n_step: int = setting(1, "rewards summed before bootstrapping", low=1)
    bootstrap_on_truncation: bool = setting(
        True, "a time limit is not death; false replicates code that stores the raw `done`"
    )
    sampling: str = setting(
        "uniform",
        "how rows are drawn: all alike, by |TD error| with importance weights, or by |TD error| "
        "with a floor and no weights",
        choices=("uniform", "prioritized", "lap"),
    )
    hindsight: str = setting(
        "none",
        "goals that transitions of goal tasks are given instead of their own: achieved later in "
        "the episode, at its end, or anywhere in it",
        choices=("none", "future", "final", "episode"),
    )
    relabel_terminates: bool = setting(
        False, "reaching a goal that hindsight chose ends the episode"
    )
    validation_share: float = setting(
        0.0,
        "share of episodes that are not trained on but drawn as batches of their own (0: off)",
        low=0,
        high=0.5,
    )

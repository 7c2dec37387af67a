"""Settings of the optimiser of one network."""

from __future__ import annotations

import dataclasses

from rr_scale.setting import setting


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """How weight decay enters; numbers are in `HyperParams`."""

    name: str = setting(
        "adam",
        "weight decay: part of the gradient (adam) or beside it, times the step size (adamw)",
        choices=("adam", "adamw"),
    )
    decayed: str = setting(
        "all",
        "what decays: all parameters, kernels, or what the projection to norm 1 leaves free",
        choices=("all", "kernels", "free"),
    )

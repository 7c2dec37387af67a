"""Settings of one network."""

from __future__ import annotations

import dataclasses

from rr_scale.setting import setting


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """A trunk and how its weights start."""

    trunk: str = setting("mlp", "architecture between input and head", choices=("mlp",))
    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers", low=1)
    activation: str = setting("relu", "after each hidden layer", choices=("relu", "tanh", "elu"))
    initializer: str = setting(
        "orthogonal",
        "kernel initialiser: orthogonal (gain sqrt 2), xavier_uniform, or fan_in_uniform",
        choices=("orthogonal", "xavier_uniform", "fan_in_uniform"),
    )

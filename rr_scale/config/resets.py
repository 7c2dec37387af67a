"""Settings of a reset rule."""

from __future__ import annotations

import dataclasses

from rr_scale.setting import setting

_NETWORKS = {
    "all": ("actor", "critic", "explorer"),
    "last_layers": ("actor", "critic"),
    "actor": ("actor",),
    "critic": ("critic",),
}


@dataclasses.dataclass(frozen=True)
class ResetRule:
    """When a reset fires, what it touches and how.

    With a non-empty `at` it fires at those counts; otherwise whenever the
    count passes a multiple of `interval`. Counts run from env step 0 and
    depend on nothing else.
    """

    unit: str = setting(
        "updates",
        "what is counted: env_steps, or updates read as env_steps x replay ratio",
        choices=("updates", "env_steps"),
    )
    interval: int = setting(2_560_000, "count between two firings", low=1)
    at: tuple[int, ...] = setting((), "exact counts to fire at, instead of the interval", low=1)
    what: str = setting(
        "all",
        "all networks (reinitialized: the temperature too), or only a part",
        choices=("all", "actor", "critic", "last_layers"),
    )
    layers: tuple[str, ...] = setting(
        (), "only these hidden layers of the networks (hidden_0, hidden_1, ... from the input on)"
    )
    how: str = setting(
        "reinitialize",
        "new weights, keep*old + (1-keep)*new, or new weights for dormant units only",
        choices=("reinitialize", "shrink_perturb", "recycle"),
    )
    keep: float = setting(0.5, "share of the old weights in shrink_perturb", low=0, high=1)
    threshold: float = setting(0.0, "recycle: units whose score is at most this", low=0)
    score: str = setting(
        "activation",
        "recycle: mean |activation| on a batch, or that divided by the mean over the layer",
        choices=("activation", "relative"),
    )
    same_weights: bool = setting(
        False, "return to the initial weights every time (replicates older code)"
    )

    @property
    def networks(self) -> tuple[str, ...]:
        """What it touches of the networks that there are."""
        return _NETWORKS[self.what]

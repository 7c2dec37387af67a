"""Off-policy reinforcement learning at high replay ratios.

`RunConfig` and `run` do from Python what `train_parallel.py` does from the
command line; `make_agent` gives the pure functions to a loop of your own.
Importing this package does not import jax: the command line configures the
accelerator first.
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    "RunConfig": "rr_scale.config",
    "run": "rr_scale.session",
    "make_agent": "rr_scale.agents.build",
    "preset": "rr_scale.presets",
}

__all__ = ["RunConfig", "make_agent", "preset", "run"]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'rr_scale' has no attribute '{name}'")
    return getattr(importlib.import_module(_EXPORTS[name]), name)

"""Every setting of a run: frozen dataclasses, one default, in one place.

Each field says what it is, which values are legal and whether it may change
when a run is resumed. `configure.py` reads these declarations to set, check,
compare and store configurations; nothing else repeats a default.

The defaults are those of the `sr_sac` preset.
"""

from rr_scale.config.agent import ActorConfig, AgentConfig, CriticConfig, ExplorerConfig
from rr_scale.config.hyperparams import HyperParams
from rr_scale.config.network import NetworkConfig
from rr_scale.config.optimizer import OptimizerConfig
from rr_scale.config.replay import ReplayConfig
from rr_scale.config.resets import ResetRule
from rr_scale.config.run import RunConfig, Variant

__all__ = [
    "ActorConfig",
    "AgentConfig",
    "CriticConfig",
    "ExplorerConfig",
    "HyperParams",
    "NetworkConfig",
    "OptimizerConfig",
    "ReplayConfig",
    "ResetRule",
    "RunConfig",
    "Variant",
]

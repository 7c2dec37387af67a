"""Settings of one network."""

from __future__ import annotations

import dataclasses

from rr_scale.setting import setting

_BATCH_NORMS = ("batch_norm", "batch_renorm")


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """A trunk, the layers in it, and how its weights start."""

    trunk: str = setting(
        "mlp",
        "architecture between input and head",
        choices=("mlp", "bronet", "simba", "simba_v2", "flash"),
    )
    hidden: tuple[int, ...] = setting(
        (256, 256), "widths of the hidden layers; residual trunks: one equal width per block", low=1
    )
    activation: str = setting(
        "relu",
        "after each hidden layer (crelu doubles the features)",
        choices=("relu", "tanh", "elu", "leaky_relu", "gelu", "swish", "crelu"),
    )
    normalization: str = setting(
        "none",
        "of the hidden layers",
        choices=("none", "layer_norm", "rms_norm", "batch_norm", "batch_renorm"),
    )
    normalize_after_activation: bool = setting(
        False, "in mlp: normalise what the activation gives, and not what it gets"
    )
    normalize_input: bool = setting(False, "the same normalisation of the input")
    renorm_warmup: int = setting(
        100_000, "batches before batch_renorm corrects towards running statistics", low=0
    )
    batch_epsilon: float = setting(
        1e-3, "added to the variance by batch_norm and batch_renorm", above=0
    )
    unit_scales: bool = setting(
        False,
        "scale and bias of each normalisation, together, have norm sqrt(width) after every step",
    )
    dropout: float = setting(0.0, "rate at which hidden units are dropped in training", low=0)
    kernel: str = setting(
        "free",
        "weights of the hidden layers: free; columns of norm 1 after every step; directions and "
        "lengths learned apart; or divided by the spectral norm (all but the first layer)",
        choices=("free", "unit_norm", "weight_norm", "spectral_norm"),
    )
    unit_head: bool = setting(False, "the output layer's columns have norm 1 after every step")
    bias: bool = setting(True, "hidden layers have a bias")
    initializer: str = setting(
        "orthogonal",
        "kernel initialiser: orthogonal (gain sqrt 2), xavier_uniform, or fan_in_uniform",
        choices=("orthogonal", "xavier_uniform", "fan_in_uniform"),
    )

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Of the hidden layers, from the input on; residual trunks: of the blocks' inner layers."""
        return tuple(f"hidden_{index}" for index in range(len(self.hidden)))

    @property
    def has_batch_statistics(self) -> bool:
        """Whether a layer normalises by the batch that it sees in training."""
        return self.trunk != "simba_v2" and self.normalization in _BATCH_NORMS

    @property
    def has_unit_kernels(self) -> bool:
        """Whether the optimiser has kernels to project."""
        return self.trunk == "simba_v2" or self.kernel == "unit_norm" or self.unit_head

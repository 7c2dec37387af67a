"""Layers and trunks against NumPy statements of their equations."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from rr_scale.config import NetworkConfig
from rr_scale.nets.kernels import SpectralNormDense, WeightNormDense
from rr_scale.nets.layers import ACTIVATIONS
from rr_scale.nets.normalization import BatchNorm
from rr_scale.nets.trunks import TRUNKS

INPUT, WIDTH = 3, 4
X = np.random.default_rng(0).normal(size=(5, INPUT)).astype(np.float32)
KEY = jax.random.key(0)


def relu(x):
    return np.maximum(x, 0)


def layer_norm(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)


def unit(x, axis=-1):
    return x / np.linalg.norm(x, axis=axis, keepdims=True)


def trunk(**settings):
    """(features [5, ...], parameters, a function to apply) of a trunk that starts anyhow."""
    config = NetworkConfig(**({"initializer": "fan_in_uniform", "hidden": (WIDTH,)} | settings))
    module = TRUNKS[config.trunk](config)
    variables = jax.jit(module.init, static_argnums=2)(KEY, X, False)
    params = jax.tree.map(np.asarray, variables["params"])
    # Biases and scales that are not 0 and 1 show where they enter.
    rng = np.random.default_rng(1)
    params = jax.tree.map(
        lambda p: p + rng.normal(size=p.shape).astype(np.float32) * (p.ndim == 1) / 4, params
    )

    run = jax.jit(lambda variables, rngs: module.apply(variables, X, False, rngs=rngs))

    def apply(**keys):
        rngs = {name: jax.random.key(seed) for name, seed in keys.items()}
        return np.asarray(run({**variables, "params": params}, rngs))

    return apply(), params, apply


def dense(params, index, x):
    layer = params[f"Dense_{index}"]
    return x @ layer["kernel"] + layer["bias"]


def normalized(params, index, x):
    layer = params[f"FeatureNorm_{index}"]["LayerNorm_0"]
    return layer_norm(x) * layer["scale"] + layer["bias"]


def test_mlp_normalises_before_the_activation():
    features, params, _ = trunk(hidden=(WIDTH, WIDTH), normalization="layer_norm")
    x = relu(normalized(params, 0, dense(params, 0, X)))
    x = relu(normalized(params, 1, dense(params, 1, x)))
    np.testing.assert_allclose(features, x, atol=1e-5)


def test_mlp_normalises_the_input_and_what_the_activation_gives():
    features, params, _ = trunk(
        normalization="layer_norm", normalize_input=True, normalize_after_activation=True
    )
    x = relu(dense(params, 0, normalized(params, 0, X)))
    np.testing.assert_allclose(features, normalized(params, 1, x), atol=1e-5)


def test_bronet_is_its_equation():
    features, params, _ = trunk(trunk="bronet", normalization="layer_norm")
    h = relu(normalized(params, 0, dense(params, 0, X)))
    y = relu(normalized(params, 1, dense(params, 1, h)))
    expected = h + normalized(params, 2, dense(params, 2, y))
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_simba_is_its_equation():
    features, params, _ = trunk(trunk="simba", normalization="layer_norm")
    assert params["Dense_1"]["kernel"].shape == (WIDTH, 4 * WIDTH)
    h = dense(params, 0, X)
    h = h + dense(params, 2, relu(dense(params, 1, normalized(params, 0, h))))
    np.testing.assert_allclose(features, normalized(params, 1, h), atol=1e-5)


def test_flash_is_its_equation():
    features, params, _ = trunk(trunk="flash", normalization="layer_norm")
    assert params["Dense_1"]["kernel"].shape == (WIDTH, 4 * WIDTH)
    h = dense(params, 0, X)
    y = relu(normalized(params, 0, dense(params, 1, h)))
    h = h + relu(normalized(params, 1, dense(params, 2, y)))
    scale = params["FeatureNorm_2"]["RMSNorm_0"]["scale"]
    expected = h / np.sqrt((h**2).mean(-1, keepdims=True) + 1e-6) * scale
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_simba_v2_is_its_equation_and_stays_on_the_sphere():
    features, params, _ = trunk(trunk="simba_v2", hidden=(WIDTH, WIDTH))
    scale = np.sqrt(2 / WIDTH)
    kernel = lambda index: params[f"UnitDense_{index}"]["unit_kernel"]  # noqa: E731
    scaler = lambda index: params[f"Scaler_{index}"]["scaler"]  # noqa: E731
    h = unit(np.concatenate([X, np.full((5, 1), 3.0)], axis=1)) @ kernel(0)
    h = unit(h * scaler(0))
    for block in range(2):
        y = relu(h @ kernel(1 + 2 * block) * scaler(1 + 2 * block)) + 1e-8
        y = unit(y @ kernel(2 + 2 * block))
        # Two blocks: alpha starts at 1/3, its parameter at 1/sqrt(width).
        alpha = scaler(2 + 2 * block) / 3 * np.sqrt(WIDTH)
        h = unit(h + alpha * (y - h))
    np.testing.assert_allclose(features, h, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)
    for index in range(5):
        np.testing.assert_allclose(np.linalg.norm(kernel(index), axis=0), 1, atol=1e-6)
    fresh = TRUNKS["simba_v2"](NetworkConfig(trunk="simba_v2", hidden=(WIDTH, WIDTH)))
    start = jax.jit(lambda key: fresh.init(key, X, False))(KEY)["params"]
    np.testing.assert_allclose(start["Scaler_0"]["scaler"], scale, rtol=1e-6)
    np.testing.assert_allclose(start["Scaler_1"]["scaler"], scale / 2, rtol=1e-6)
    np.testing.assert_allclose(start["Scaler_2"]["scaler"], 1 / np.sqrt(WIDTH), rtol=1e-6)


def test_dropout_needs_a_key_and_follows_it():
    quiet, _, apply = trunk(dropout=0.5, hidden=(64,))
    np.testing.assert_array_equal(apply(), quiet)
    noisy, other = apply(dropout=1), apply(dropout=2)
    np.testing.assert_array_equal(apply(dropout=1), noisy)
    assert (noisy != other).any()
    kept = noisy != 0
    np.testing.assert_allclose(noisy[kept], 2 * quiet[kept], rtol=1e-5)
    assert 0.3 < kept.sum() / (quiet != 0).sum() < 0.7


def test_crelu_doubles_the_features():
    np.testing.assert_array_equal(
        ACTIVATIONS["crelu"](X), np.concatenate([relu(X), relu(-X)], axis=1)
    )
    assert trunk(activation="crelu", hidden=(WIDTH, WIDTH))[0].shape == (5, 2 * WIDTH)


@pytest.mark.parametrize("warmup", [None, 0, 1])
def test_batch_normalisation_and_renormalisation_are_their_equations(warmup):
    module = BatchNorm(1e-3, warmup)
    variables = jax.tree.map(np.asarray, module.init(KEY, X, False))
    scale, bias = np.float32([1.5, 0.5, 2.0]), np.float32([0.1, -0.2, 0.3])
    params = {"scale": scale, "bias": bias}
    # Far from the batch in mean and deviation: both clips bind somewhere.
    stats = dict(
        variables["stats"],
        running_mean=np.float32([9, 0, 0]),
        running_variance=np.float32([1, 99, 2]),
    )
    old_mean, old_variance = stats["running_mean"], stats["running_variance"]
    y, new = module.apply({"params": params, "stats": stats}, X, True, mutable=["stats"])
    mean, deviation = X.mean(0), np.sqrt(X.var(0) + 1e-3)
    running = np.sqrt(old_variance + 1e-3)
    r = np.clip(deviation / running, 1 / 3, 3) if warmup == 0 else 1.0
    d = np.clip((mean - old_mean) / running, -5, 5) if warmup == 0 else 0.0
    expected = ((X - mean) / deviation * r + d) * scale + bias
    np.testing.assert_allclose(y, expected, atol=1e-5)
    new = new["stats"]
    np.testing.assert_allclose(new["running_mean"], 0.99 * old_mean + 0.01 * mean, atol=1e-6)
    expected = 0.99 * old_variance + 0.01 * X.var(0)
    np.testing.assert_allclose(new["running_variance"], expected, 1e-5)
    assert int(new["batches"]) == 1
    y = module.apply({"params": params, "stats": stats}, X, False)
    np.testing.assert_allclose(y, (X - old_mean) / running * scale + bias, atol=1e-5)


def test_weight_norm_learns_length_and_direction_apart():
    module = WeightNormDense(WIDTH, "fan_in_uniform")
    params = jax.tree.map(np.asarray, module.init(KEY, X, False)["params"])
    y = module.apply({"params": params}, X, False)
    np.testing.assert_allclose(y, X @ params["direction"], atol=1e-6)
    params["length"] = np.float32([1, 2, 3, 4])
    params["direction"] = 7 * params["direction"]
    expected = X @ (unit(params["direction"], 0) * params["length"]) + params["bias"]
    np.testing.assert_allclose(module.apply({"params": params}, X, False), expected, atol=1e-5)


def test_spectral_norm_bounds_the_largest_singular_value():
    module = SpectralNormDense(WIDTH, "fan_in_uniform", bias=False)
    variables = module.init(KEY, X, False)
    step = jax.jit(lambda v: module.apply(v, np.eye(INPUT), True, mutable=["stats"]))
    assert np.linalg.norm(step(variables)[0], 2) > 1.001
    for _ in range(30):
        _, stats = step(variables)
        variables = {**variables, **stats}
    kernel, new = step(variables)
    np.testing.assert_allclose(np.linalg.norm(kernel, 2), 1, atol=1e-4)
    # Inference has the same kernel and leaves the vector alone.
    inference = module.apply(variables, np.eye(INPUT, dtype=np.float32), False)
    np.testing.assert_allclose(inference, kernel, atol=1e-6)

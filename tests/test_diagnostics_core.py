"""The mathematics of diagnostics, against NumPy."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from rr_scale.core.diagnostics import (
    dormant_fraction,
    effective_rank,
    saturated_fraction,
    tree_norm,
)
from rr_scale.core.distributions import tanh_gaussian_entropy


def test_the_norm_is_of_all_numbers_together():
    tree = {"a": jnp.float32([[3.0, 0.0]]), "b": (jnp.float32(4.0),)}
    np.testing.assert_allclose(tree_norm(tree), 5.0)


def test_saturated_components_are_counted_one_by_one():
    action = jnp.float32([[0.995, -0.98], [-1.0, 0.0], [0.3, -0.999]])
    np.testing.assert_allclose(saturated_fraction(action), 0.5)


def test_dormant_are_units_far_below_the_mean_of_their_layer():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 6, 4)), rng.normal(size=(2, 6, 3))
    # Signs do not matter, silence of a whole layer does, and a little is not enough.
    first[0, :, 1] = 0.0
    first[0, :, 2] *= 1e-3
    first[0, :, 3] *= 0.1
    second[1] = 0.0

    def share(layers):
        count = 0
        for layer in layers:
            score = np.abs(layer).mean(axis=0)
            with np.errstate(invalid="ignore"):
                count += np.sum(~(score / score.mean() > 0.025))
        return count / 7

    expected = [share((first[k], second[k])) for k in range(2)]
    assert expected == [2 / 7, 3 / 7]
    found = dormant_fraction([jnp.float32(first), jnp.float32(second)])
    np.testing.assert_allclose(found, expected)


def test_the_effective_rank_counts_the_singular_values_that_matter():
    rng = np.random.default_rng(0)
    low, basis = rng.normal(size=(32, 3)), np.linalg.qr(rng.normal(size=(16, 16)))[0]
    exact = low @ basis[:3]
    assert float(effective_rank(jnp.float32(exact))) == 3
    assert float(effective_rank(jnp.float32(100 * exact))) == 3
    # Graded: the last ones are within one per cent of the sum.
    sigma = 2.0 ** -np.arange(16)
    graded = np.linalg.qr(rng.normal(size=(32, 16)))[0] * sigma @ basis
    expected = 1 + np.argmax(np.cumsum(sigma) >= 0.99 * np.sum(sigma))
    assert float(effective_rank(jnp.float32(graded))) == expected == 7
    assert float(effective_rank(jnp.zeros((32, 16)))) == 0
    assert np.isnan(effective_rank(jnp.full((32, 16), jnp.nan)))


@pytest.mark.parametrize("form", ["stable", "epsilon"])
def test_the_entropy_is_that_of_many_samples(form):
    mean, log_sigma = np.array([0.3, -2.0]), np.array([-1.0, 0.5])
    u = mean + np.exp(log_sigma) * np.random.default_rng(0).normal(size=(200_000, 2))
    density = -0.5 * ((u - mean) / np.exp(log_sigma)) ** 2 - log_sigma - 0.5 * np.log(2 * np.pi)
    squash = np.log(1.0 / np.cosh(u) ** 2 + (1e-6 if form == "epsilon" else 0.0))
    sampled = -np.mean(np.sum(density - squash, axis=1))
    found = tanh_gaussian_entropy(jnp.float32(mean), jnp.float32(log_sigma), form)
    np.testing.assert_allclose(found, sampled, atol=0.03)

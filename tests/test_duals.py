"""Bounded duals, the KL of explorer and actor, and the bandit of TOP, against NumPy."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rr_scale.core import duals
from rr_scale.core.bandit import init_bandit, update_bandit
from rr_scale.core.distributions import gaussian_kl


def close(actual, expected, rtol=1e-5, atol=1e-6):
    np.testing.assert_allclose(np.asarray(actual, np.float64), expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize(("value", "raw"), [(1.0, 0.143841), (0.25, -0.015578)])
def test_bounded_duals_start_where_they_are_told(value, raw):
    close(duals.raw_of_bounded(jnp.float32(value)), raw, atol=2e-6)
    close(duals.bounded_value(jnp.float32(raw)), value, rtol=1e-4)


def test_bounded_duals_stay_within_their_bounds():
    low, high = (float(duals.bounded_value(jnp.float32(x))) for x in (-1e6, 1e6))
    assert low == pytest.approx(math.exp(-10)) and high == pytest.approx(math.exp(7.5))


@pytest.mark.parametrize("kl", [0.01, 0.4])
def test_too_large_a_kl_lowers_the_optimism_and_raises_the_weight(kl):
    raw, target = jnp.float32(0.2), 0.05
    slope = math.exp(-10 + 8.75 * (1 + math.tanh(0.2))) * 8.75 * (1 - math.tanh(0.2) ** 2)
    optimism = jax.grad(duals.optimism_loss)(raw, kl, target)
    weight = jax.grad(duals.kl_weight_loss)(raw, kl, target)
    close([optimism, weight], [slope * (kl - target), -slope * (kl - target)], rtol=1e-4)
    # Descent moves against the gradient.
    assert (optimism > 0) == (weight < 0) == (kl > target)


def test_pessimism_moves_by_how_far_targets_exceed_predictions():
    prediction, target, step = 1.0, 3.5, 0.1
    pessimism = 0.4
    for _ in range(3):
        pessimism -= step * jax.grad(duals.pessimism_loss)(pessimism, prediction - target)
    assert float(pessimism) == pytest.approx(0.4 + 3 * 0.1 * 2.5)
    assert float(jax.grad(duals.pessimism_loss)(0.4, 0.0)) == 0.0


def kl_by_quadrature(mean, sigma, mean_of, sigma_of):
    x = np.linspace(mean - 12 * sigma, mean + 12 * sigma, 200_001)

    def log_density(m, s):
        return -((x - m) ** 2) / (2 * s**2) - math.log(s * math.sqrt(2 * math.pi))

    p = log_density(mean, sigma)
    return np.trapezoid(np.exp(p) * (p - log_density(mean_of, sigma_of)), x)


def test_kl_is_that_of_the_integral_summed_over_dimensions():
    mean, sigma = np.array([0.3, -1.0]), np.array([0.5, 2.0])
    mean_of, sigma_of = np.array([0.0, 0.5]), np.array([0.7, 1.1])
    each = [
        kl_by_quadrature(*numbers) for numbers in zip(mean, sigma, mean_of, sigma_of, strict=True)
    ]
    found = gaussian_kl(mean, np.log(sigma), mean_of, np.log(sigma_of))
    close(found, sum(each), rtol=1e-4)
    assert float(gaussian_kl(mean, np.log(sigma), mean, np.log(sigma))) == pytest.approx(
        0, abs=1e-6
    )


def test_with_one_sigma_the_kl_is_the_scaled_distance_of_the_means():
    rng = np.random.default_rng(1)
    mean, shift, log_sigma = rng.normal(size=(3, 9, 4)).astype(np.float32)
    expected = np.sum(shift.astype(float) ** 2 / (2 * np.exp(2.0 * log_sigma)), axis=-1)
    close(gaussian_kl(mean + shift, log_sigma, mean, log_sigma), expected, rtol=1e-4)


def bandit_by_hand(returns, arms):
    """(weights after each episode) from the arms that were played, with lists."""
    weights, previous, window, history = [0.0, 0.0], 0.0, [], []
    for total, arm in zip(returns, arms, strict=True):
        difference, previous = total - previous, total
        window = [*window, difference][-5:]
        deviation = np.std(window) if len(window) > 1 else 1.0
        feedback = (difference - np.mean(window)) / (deviation + 1e-4)
        weights[arm] *= 0.9
        weights[arm] += 0.1 * feedback / max(math.exp(weights[arm]), 1e-4)
        history.append(list(weights))
    return np.array(history)


def test_bandit_agrees_with_the_loop():
    rng = np.random.default_rng(2)
    rewards, length = rng.normal(size=(40, 3)).astype(np.float32), 3
    step = jax.jit(update_bandit)
    bandit, arms, weights = init_bandit(), [], []
    assert int(bandit.arm) == 1
    for episode, each in enumerate(rewards):
        arms.append(int(bandit.arm))
        for index, reward in enumerate(each):
            before = bandit
            bandit = step(bandit, jax.random.key(episode), reward, index == length - 1)
            if index < length - 1:
                close(bandit.weights, before.weights)
                assert int(bandit.arm) == int(before.arm)
        weights.append(np.asarray(bandit.weights))
    assert int(bandit.episodes) == 40 and set(arms) == {0, 1}
    close(weights, bandit_by_hand(rewards.sum(axis=1).astype(float), arms), rtol=1e-3, atol=1e-4)
    # The first episode has nothing to be compared with.
    close(weights[0], [0.0, 0.0])


def test_bandit_plays_arms_by_the_softmax_of_its_weights():
    bandit = init_bandit()._replace(weights=jnp.array([0.0, math.log(3.0)]), arm=jnp.int32(0))
    draw = jax.jit(jax.vmap(lambda key: update_bandit(bandit, key, 0.0, True).arm))
    arms = np.asarray(draw(jax.random.split(jax.random.key(0), 4000)))
    # Arm 0 gets feedback 0 and weight 0: three to one.
    assert abs(arms.mean() - 0.75) < 0.03

"""The equations, each against an independent statement of it in NumPy float64."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rr_scale.core import distributions, duals, returns, targets
from rr_scale.optim import polyak

RNG = np.random.default_rng(0)


def normal(*shape):
    """A fresh float32 array as (jax, float64) pair."""
    values = RNG.normal(size=shape).astype(np.float32)
    return jnp.asarray(values), values.astype(np.float64)


def close(actual, expected, rtol=1e-5, atol=1e-6):
    np.testing.assert_allclose(np.asarray(actual, np.float64), expected, rtol=rtol, atol=atol)


def gaussian_log_density(x, mean, sigma):
    return -((x - mean) ** 2) / (2 * sigma**2) - np.log(sigma * np.sqrt(2 * np.pi))


def log_one_minus_tanh_squared(u):
    # 1 - tanh(u)^2 = 4 / (e^u + e^-u)^2
    return math.log(4.0) - 2.0 * np.logaddexp(u, -u)


@pytest.mark.parametrize("form", ["stable", "epsilon"])
def test_tanh_log_prob_is_the_change_of_variables(form):
    (u, u64), (mean, mean64), (log_sigma, log_sigma64) = normal(9, 3), normal(9, 3), normal(9, 3)
    if form == "stable":
        correction = log_one_minus_tanh_squared(u64)
    else:
        correction = np.log(1.0 - np.tanh(u64) ** 2 + 1e-6)
    density = gaussian_log_density(u64, mean64, np.exp(log_sigma64))
    actual = distributions.tanh_gaussian_log_prob(u, mean, log_sigma, form)
    assert actual.shape == (9,)
    close(actual, np.sum(density - correction, axis=-1), rtol=2e-5, atol=2e-5)


def test_tanh_log_prob_has_the_published_values():
    zero = jnp.zeros(1)
    at_zero = distributions.tanh_gaussian_log_prob(zero, zero, zero)
    at_three = distributions.tanh_gaussian_log_prob(zero + 3.0, zero, zero)
    close(at_zero, -0.9189385)
    close(at_three, -0.800282)
    close(distributions.log_det_tanh(jnp.float32(3.0), "stable"), -4.618657)


def test_stable_form_is_exact_where_the_epsilon_form_saturates():
    u = np.array([-40.0, -12.0, 12.0, 40.0], np.float32)
    close(distributions.log_det_tanh(u, "stable"), log_one_minus_tanh_squared(u.astype(float)))
    close(distributions.log_det_tanh(u, "epsilon"), np.full(4, math.log(1e-6)), rtol=1e-4)
    gradient = jax.vmap(jax.grad(lambda x: distributions.log_det_tanh(x, "stable")))(u)
    close(gradient, -2.0 * np.tanh(u))


def test_density_over_actions_integrates_to_one():
    actions = np.linspace(-1, 1, 200_001)[1:-1]
    u = jnp.asarray(np.arctanh(actions), jnp.float32)[:, None]
    mean, log_sigma = jnp.full_like(u, 0.3), jnp.full_like(u, -0.4)
    density = np.exp(np.asarray(distributions.tanh_gaussian_log_prob(u, mean, log_sigma)))
    assert np.trapezoid(density, actions) == pytest.approx(1.0, abs=1e-3)


def test_sample_is_reparameterised_and_reports_its_own_log_prob():
    key = jax.random.key(3)
    (mean, mean64), (log_sigma, log_sigma64) = normal(5, 2), normal(5, 2)
    action, log_prob = distributions.sample_tanh_gaussian(key, mean, log_sigma)
    u = mean64 + np.exp(log_sigma64) * np.asarray(jax.random.normal(key, (5, 2)), np.float64)
    close(action, np.tanh(u))
    density = gaussian_log_density(u, mean64, np.exp(log_sigma64))
    close(log_prob, np.sum(density - log_one_minus_tanh_squared(u), axis=-1), 1e-4, 1e-4)


@pytest.mark.parametrize(
    ("mapping", "low", "high", "at_zero"),
    [("tanh", -10.0, 2.0, -4.0), ("tanh", -5.0, 2.0, -1.5), ("clip", -10.0, 2.0, 0.0)],
)
def test_log_sigma_at_zero_and_at_its_bounds(mapping, low, high, at_zero):
    raw = jnp.array([0.0, -100.0, 100.0])
    bounded = distributions.bound_log_sigma(raw, low, high, mapping)
    close(bounded, [at_zero, low, high])


def test_initial_policy_of_the_smooth_range_is_nearly_deterministic():
    log_sigma = float(distributions.bound_log_sigma(jnp.zeros(()), -10.0, 2.0, "tanh"))
    assert math.exp(log_sigma) == pytest.approx(0.0183, abs=1e-4)
    assert log_sigma + 0.5 * math.log(2 * math.pi * math.e) == pytest.approx(-2.58, abs=5e-3)
    wider = float(distributions.bound_log_sigma(jnp.zeros(()), -5.0, 2.0, "tanh"))
    assert math.exp(wider) == pytest.approx(0.2231, abs=1e-4)


def test_log_sigma_gradient_vanishes_at_the_bounds_only_for_the_clip():
    def slope(raw, mapping):
        return jax.grad(distributions.bound_log_sigma)(raw, -10.0, 2.0, mapping)

    close([slope(2.5, "clip"), slope(1.5, "clip"), slope(0.0, "tanh")], [0.0, 1.0, 6.0])
    close(slope(2.5, "tanh"), 6.0 * (1.0 - math.tanh(2.5) ** 2), rtol=1e-4)


def test_soft_target_multiplies_the_entropy_with_the_discount():
    (reward, r), (value, v), (log_prob, lp) = normal(6), normal(6, 3), normal(6)
    discount = jnp.array([0.0, 0.99, 0.5, 0.0, 1.0, 0.9])
    actual = targets.soft_td_target(reward, discount, value, log_prob, 0.3)
    r, lp, d = r[:, None], lp[:, None], np.asarray(discount, np.float64)[:, None]
    close(actual, r + d * v - d * 0.3 * lp)
    close(targets.soft_td_target(reward, discount, value, log_prob, 0.0), r + d * v)


def test_critic_loss_sums_members_and_averages_the_batch():
    losses, losses64 = normal(3, 7)
    weight = jnp.linspace(0.1, 2.0, 7)
    w = np.asarray(weight, np.float64)
    expected = 0.5 * sum(np.mean(w * member) for member in losses64)
    close(targets.critic_loss(losses, weight, 0.5), expected)


def test_actor_loss_is_the_mean_of_entropy_cost_minus_value():
    (value, v), (log_prob, lp) = normal(7), normal(7)
    close(targets.actor_loss(value, log_prob, 0.2), np.mean(0.2 * lp) - np.mean(v))
    close(targets.actor_loss(value, log_prob, 0.0), -np.mean(v))


@pytest.mark.parametrize("log_alpha", [-2.0, 0.0, 0.7])
@pytest.mark.parametrize("form", ["alpha", "log"])
def test_temperature_loss_and_its_gradient(form, log_alpha):
    alpha = math.exp(log_alpha)
    gap = 0.4 - (-1.5)
    loss, gradient = jax.value_and_grad(duals.temperature_loss)(log_alpha, 0.4, -1.5, form)
    close(loss, (alpha if form == "alpha" else log_alpha) * gap)
    close(gradient, (alpha if form == "alpha" else 1.0) * gap)
    # Descending lowers alpha where the policy is more random than asked for.
    assert gradient > 0


def test_smoothing_noise_is_scaled_before_it_is_clipped():
    standard, n = normal(100)
    actual = targets.smoothing_noise(standard, 0.4, 0.5)
    close(actual, np.minimum(np.maximum(0.4 * n, -0.5), 0.5))
    assert np.max(np.abs(actual)) == 0.5


def test_polyak_closes_half_the_gap_in_138_steps():
    online, slow = jnp.ones(()), jnp.zeros(())
    first = polyak(slow, online, 0.005)
    close(first, 0.005)
    for _ in range(138):
        slow = polyak(slow, online, 0.005)
    close(slow, 1.0 - 0.995**138, rtol=1e-4)
    close(1.0 - slow, 0.5007, atol=1e-4)


def n_step_by_hand(reward, terminated, truncated, available, gamma):
    """(return, discount, last) of one window, step by step as one would do it by hand."""
    total, factor, last = 0.0, 1.0, -1
    for k in range(len(reward)):
        if not available[k]:
            break
        total, factor, last = total + factor * reward[k], factor * gamma, k
        if terminated[k]:
            return total, 0.0, last
        if truncated[k]:
            break
    return total, factor, last


@pytest.mark.parametrize("length", [1, 2, 3, 5])
@pytest.mark.parametrize("gamma", [0.0, 0.9, 1.0])
def test_n_step_window_agrees_with_brute_force(length, gamma):
    rng = np.random.default_rng(length)
    reward = rng.normal(size=(400, length)).astype(np.float32)
    terminated, truncated = rng.uniform(size=(2, 400, length)) < 0.2
    # Gaps: rows may be available again after one that is not.
    available = rng.uniform(size=(400, length)) < 0.8
    available[:, 0] = True
    actual = returns.n_step_window(reward, terminated, truncated, available, jnp.float32(gamma))
    windows = zip(reward, terminated, truncated, available, strict=True)
    expected = [n_step_by_hand(*window, gamma) for window in windows]
    for mine, theirs in zip(actual, zip(*expected, strict=True), strict=True):
        assert mine.shape == (400,)
        close(mine, theirs)


@pytest.mark.parametrize(
    ("terminated", "truncated", "expected"),
    [
        ((0, 0, 0), (0, 0, 0), (1.75, 0.125, 2)),
        ((0, 1, 0), (0, 0, 0), (1.5, 0.0, 1)),
        ((0, 0, 0), (0, 1, 0), (1.5, 0.25, 1)),
        ((0, 1, 0), (0, 1, 0), (1.5, 0.0, 1)),
    ],
)
def test_n_step_window_has_the_published_values(terminated, truncated, expected):
    ended, cut = np.array(terminated, bool), np.array(truncated, bool)
    every = np.ones(3, bool)
    actual = returns.n_step_window(jnp.ones(3), ended, cut, every, jnp.float32(0.5))
    assert tuple(float(x) for x in actual) == expected


COLUMN, FLAT = jnp.ones((4, 1)), jnp.ones(4)


@pytest.mark.parametrize(
    "call",
    [
        lambda: targets.soft_td_target(COLUMN, FLAT, COLUMN, FLAT, 0.1),
        lambda: targets.soft_td_target(FLAT, COLUMN, COLUMN, FLAT, 0.1),
        lambda: targets.soft_td_target(FLAT, FLAT, FLAT, FLAT, 0.1),
        lambda: targets.soft_td_target(FLAT, FLAT, COLUMN, COLUMN, 0.1),
        lambda: targets.soft_td_target(FLAT, FLAT, COLUMN[:1], FLAT, 0.1),
        lambda: targets.critic_loss(jnp.ones((2, 4)), COLUMN, 1.0),
        lambda: targets.critic_loss(jnp.ones((2, 4)), FLAT[:1], 1.0),
        lambda: targets.critic_loss(jnp.ones((2, 4, 1)), FLAT, 1.0),
        lambda: targets.actor_loss(COLUMN, FLAT, 0.1),
        lambda: targets.actor_loss(FLAT, COLUMN, 0.1),
        lambda: targets.actor_loss(FLAT, FLAT[:1], 0.1),
    ],
)
def test_shapes_that_would_broadcast_silently_raise(call):
    with pytest.raises(AssertionError):
        call()

"""What rewards are divided by: SimbaV2's and XQC's rules, their statistics and their use."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rr_scale.normalize import init_reward_scale, scale_reward, update_reward_scale

NAMES = ("return_std", "return_bound")


@functools.partial(jax.jit, static_argnames="gamma")
def accumulate(scale, reward, end, gamma):
    def step(carry, pair):
        return update_reward_scale(carry, pair[0], gamma, pair[1]), None

    return jax.lax.scan(step, scale, (reward, end))[0]


def running_returns(reward, end, gamma):
    """G after each step in float64."""
    total, found = 0.0, []
    for r, last in zip(reward.astype(float), end, strict=True):
        total = gamma * total + r
        found.append(total)
        total = 0.0 if last else total
    return np.array(found)


def divisor(name, scale, bound):
    return 1.0 / float(scale_reward(name, scale, bound, jnp.float32(1.0)))


def test_divisors_agree_with_a_float64_pass_over_episodes():
    rng, gamma, bound = np.random.default_rng(0), 0.97, 5.0
    reward = (rng.normal(size=3000) - 0.2).astype(np.float32)
    end = np.arange(3000) % 70 == 69
    scale = accumulate(init_reward_scale(), reward, end, gamma)
    running = running_returns(reward, end, gamma)
    assert float(scale.largest) == pytest.approx(np.abs(running).max(), rel=1e-5)
    assert divisor("return_std", scale, bound) == pytest.approx(running.std(), rel=1e-4)
    largest = np.abs(running).max() / bound
    assert largest < running.std()
    assert divisor("return_bound", scale, bound) == pytest.approx(running.std(), rel=1e-4)
    # A tighter bound takes over from the deviation.
    assert divisor("return_bound", scale, 1.0) == pytest.approx(5 * largest, rel=1e-4)


def test_constant_reward_is_bounded_by_the_largest_return():
    end = np.zeros(2000, bool)
    scale = accumulate(init_reward_scale(), np.ones(2000, np.float32), end, 0.99)
    assert float(scale.running) == pytest.approx(100.0, rel=1e-4)
    assert divisor("return_bound", scale, 5.0) == pytest.approx(20.0, rel=1e-4)
    # Returns as the critics see them reach the bound and no more.
    assert 100.0 / divisor("return_bound", scale, 5.0) == pytest.approx(5.0, rel=1e-4)


def test_returns_begin_anew_with_every_episode():
    end = np.array([False, True, False])
    scale = accumulate(init_reward_scale(), np.float32([1.0, 1.0, 4.0]), end, 0.5)
    assert float(scale.running) == 4.0 and float(scale.largest) == 4.0
    assert int(scale.moments.seen) == 3
    assert float(scale.moments.mean) == pytest.approx((1.0 + 1.5 + 4.0) / 3)


@pytest.mark.parametrize("name", NAMES)
def test_rewards_are_left_alone_until_there_is_a_deviation(name):
    for steps in (0, 1):
        reward, end = np.full(steps, 7.0, np.float32), np.zeros(steps, bool)
        scale = accumulate(init_reward_scale(), reward, end, 0.99)
        assert divisor(name, scale, 5.0) == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_a_task_without_rewards_stays_finite(name):
    scale = accumulate(init_reward_scale(), np.zeros(500, np.float32), np.zeros(500, bool), 0.99)
    assert float(scale_reward(name, scale, 5.0, jnp.float32(0.0))) == 0.0


def test_deviation_is_accurate_where_plain_float32_sums_are_not():
    # Returns far from zero: the variance is 1e-8 of the squared mean.
    steps, gamma = 200_000, 0.5
    reward = 5000 + np.random.default_rng(1).normal(size=steps).astype(np.float32)
    end = np.zeros(steps, bool)
    warm = accumulate(init_reward_scale(), np.full(40, 5000, np.float32), end[:40], gamma)
    scale = init_reward_scale()._replace(running=warm.running)
    scale = accumulate(scale, reward, end, gamma)
    running = running_returns(
        np.concatenate([np.full(40, 5000.0), reward]), np.r_[end[:40], end], gamma
    )
    exact = running[40:].std()
    assert divisor("return_std", scale, 5.0) == pytest.approx(exact, rel=1e-3)

"""What critics say about returns: reading outputs, projecting targets, losses, ensemble rules."""

from __future__ import annotations

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rr_scale.core.aggregate import AGGREGATES, random_members, spread
from rr_scale.core.values import (
    Returns,
    categorical,
    mean_return,
    project_to_atoms,
    quantile,
    scalar,
)

RNG = np.random.default_rng(0)
# One program each, where op by op there would be dozens.
project = jax.jit(project_to_atoms, static_argnums=1)
quantile_loss = jax.jit(lambda outputs, target: quantile().loss(outputs, target))
rule = functools.partial(jax.jit, static_argnums=(0, 3))(
    lambda name, members, pessimism, dropped: AGGREGATES[name](members, pessimism, dropped)
)
FLAT, COLUMN = jnp.ones(4), jnp.ones((4, 1))


def close(actual, expected, rtol=1e-5, atol=1e-6):
    np.testing.assert_allclose(np.asarray(actual, np.float64), expected, rtol=rtol, atol=atol)


def points(*rows):
    return Returns(jnp.array(rows, jnp.float32), None)


def project_by_hand(target_points, mass, atoms):
    """The projection of C51 in float64, with its special case of a point upon an atom."""
    projected = np.zeros((len(target_points), len(atoms)))
    spacing = atoms[1] - atoms[0]
    for row, (values, masses) in enumerate(zip(target_points, mass, strict=True)):
        for value, share in zip(values, masses, strict=True):
            position = (min(max(value, atoms[0]), atoms[-1]) - atoms[0]) / spacing
            position = min(position, len(atoms) - 1.0)
            low, high = math.floor(position), math.ceil(position)
            if low == high:
                projected[row, low] += share
            else:
                projected[row, low] += share * (high - position)
                projected[row, high] += share * (position - low)
    return projected


@pytest.mark.parametrize(
    ("reward", "expected"), [(0.5, (0, 0.5, 0.5)), (0.0, (0, 1, 0)), (5.0, (0, 0, 1))]
)
def test_projection_has_the_published_values(reward, expected):
    # After termination all points fall upon the reward.
    target = Returns(jnp.full((1, 3), reward), jnp.array([[0.2, 0.5, 0.3]]))
    close(project(target, 3, -1.0, 1.0), [expected])


@pytest.mark.parametrize("num_atoms", [2, 7, 101])
def test_projection_agrees_with_the_loop_and_conserves_mass(num_atoms):
    low, high = -5.0, 5.0
    atoms = np.linspace(low, high, num_atoms)
    values = RNG.uniform(-8, 8, (40, num_atoms)).astype(np.float32)
    values[:10] = atoms  # upon the atoms
    values[10], values[11] = low, high
    values[12, ::2], values[13, ::2] = low, high
    mass = RNG.dirichlet(np.ones(num_atoms), 40).astype(np.float32)
    actual = project(Returns(values, mass), num_atoms, low, high)
    close(actual, project_by_hand(values.astype(float), mass.astype(float), atoms), atol=2e-5)
    close(actual.sum(axis=-1), np.ones(40))
    # A distribution that stands on the atoms stays as it is.
    close(actual[:10], mass[:10], atol=1e-5)


def test_projection_keeps_the_mean_of_what_lies_within_the_range():
    values = jnp.asarray(RNG.uniform(-5, 5, (30, 1)), jnp.float32)
    two_hot = jax.jit(categorical(101, -5.0, 5.0).project)(Returns(values, None))
    assert ((two_hot.mass > 0).sum(axis=-1) <= 2).all()
    close(mean_return(two_hot), values[:, 0], atol=1e-5)


def test_uneven_ranges_lose_no_mass_to_rounding():
    for low, high in ((-0.1, 0.7), (-250.0, 250.0), (1e-3, 3e-3)):
        ends = np.array([[low, high, 2 * high, low - high]], np.float32)
        mass = np.asarray(project(Returns(ends, None), 51, np.float32(low), np.float32(high)))
        close(mass[0, [0, -1]], [0.5, 0.5])


def test_categorical_loss_is_cross_entropy_and_starts_at_the_logarithm_of_the_atoms():
    kind = categorical(101, -5.0, 5.0)
    target, loss = jax.jit(kind.project)(points([0.3, 4.0], [-9.0, 9.0])), jax.jit(kind.loss)
    close(loss(jnp.zeros((2, 2, 101)), target), np.full((2, 2), math.log(101)))
    close(mean_return(jax.jit(kind.returns)(jnp.zeros((2, 101)))), np.zeros(2), atol=1e-5)
    logits = RNG.normal(size=(2, 2, 101))
    log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    expected = -(np.asarray(target.mass, float) * log_probs).sum(axis=-1)
    found = np.asarray(loss(np.float32(logits), target))
    close(found, expected)
    # Nothing beats predicting the target itself.
    own = np.broadcast_to(np.log(np.asarray(target.mass) + 1e-12), logits.shape)
    assert (np.asarray(loss(own, target)) < found).all()


def quantile_huber_by_hand(predicted, target):
    total, size = 0.0, len(predicted)
    for j, z in enumerate(predicted):
        for y in target:
            delta = y - z
            huber = 0.5 * delta**2 if abs(delta) <= 1 else abs(delta) - 0.5
            total += abs((j + 0.5) / size - (delta < 0)) * huber / len(target)
    return total


@pytest.mark.parametrize(
    ("predicted", "target", "expected"),
    [((0.0,), (2.0,), 0.75), ((0.0,), (-2.0,), 0.75), ((0.0, 0.0), (2.0, 2.0), 1.5)],
)
def test_quantile_loss_has_the_published_values(predicted, target, expected):
    assert quantile_huber_by_hand(predicted, target) == pytest.approx(expected)
    close(quantile_loss(np.float32([[predicted]]), points(target)), [[expected]])


def test_quantile_loss_agrees_with_the_loop_for_any_number_of_target_points():
    outputs, target = RNG.normal(size=(2, 5, 4)), RNG.normal(scale=2, size=(5, 7))
    pairs = [
        [quantile_huber_by_hand(z, y) for z, y in zip(m, target, strict=True)] for m in outputs
    ]
    close(quantile_loss(np.float32(outputs), points(*target)), pairs)
    weighted = Returns(np.float32(target), np.full((5, 7), 1 / 7, np.float32))
    close(quantile_loss(np.float32(outputs), weighted), pairs)


def test_quantile_regression_finds_the_quantiles():
    sample = jnp.asarray(RNG.exponential(size=4001), jnp.float32)[None]
    kind = quantile(kappa=1e-3)  # nearly the absolute value, whose minimum is known
    gradient = jax.jit(jax.grad(lambda z: kind.loss(z[None, None], Returns(sample, None))[0, 0]))
    z = jnp.ones(4)
    for step in range(300):
        z = z - 2.0 / (1 + step / 20) * gradient(z)
    expected = np.quantile(np.asarray(sample[0], float), [0.125, 0.375, 0.625, 0.875])
    close(z, expected, rtol=0.02)


def test_scalar_loss_is_the_squared_error_to_the_mean():
    kind = scalar()
    target = kind.project(points([1.0, 3.0], [0.0, 1.0]))
    close(kind.loss(jnp.array([[[0.0], [1.0]]]), target), [[4.0, 0.25]])
    skewed = kind.project(Returns(jnp.array([[0.0, 10.0]]), jnp.array([[0.9, 0.1]])))
    close(mean_return(skewed), [1.0])


MEMBERS = RNG.normal(size=(3, 6, 4)).astype(np.float32)
MASSES = RNG.dirichlet(np.ones(4), (3, 6)).astype(np.float32)
ATOMS = np.broadcast_to(np.linspace(-1, 1, 4, dtype=np.float32), (3, 6, 4))


def smaller_mean_by_hand(values, mass):
    means = (values * mass).sum(axis=-1)
    return np.stack([values[means[:, b].argmin(), b] for b in range(values.shape[1])])


def test_rules_for_points_are_per_sample_and_per_point():
    def apply(name, dropped=0):
        found = rule(name, Returns(MEMBERS, None), 0.3, dropped)
        assert found.mass is None
        return np.asarray(found.points)

    values = MEMBERS.astype(float)
    close(apply("first"), values[0])
    close(apply("min"), values.min(axis=0))
    close(apply("mean"), values.mean(axis=0))
    close(apply("pessimistic"), values.mean(axis=0) - 0.3 * values.std(axis=0))
    close(apply("smaller_mean"), smaller_mean_by_hand(values, 0.25))
    pooled = np.sort(np.concatenate(values, axis=-1), axis=-1)
    close(np.sort(apply("mixture")), pooled)
    close(apply("truncated", 1), pooled[:, :9])
    close(apply("truncated", 0), pooled)
    assert np.mean(apply("min")) < values.mean(axis=(1, 2)).min()


def test_rules_for_masses_pick_mix_or_move_whole_distributions():
    members = Returns(ATOMS, MASSES)
    mass, atoms = MASSES.astype(float), ATOMS.astype(float)
    smaller = rule("smaller_mean", members, 0.0, 0)
    means = (mass * atoms).sum(axis=-1)
    close(smaller.mass, [mass[means[:, b].argmin(), b] for b in range(6)])
    close(mean_return(smaller), means.min(axis=0))
    mixture = rule("mixture", members, 0.0, 0)
    close(mixture.mass, mass.mean(axis=0))
    close(mixture.points, atoms[0])
    moved = rule("pessimistic", members, 0.7, 0)
    close(moved.mass, mixture.mass)
    close(mean_return(moved), means.mean(axis=0) - 0.7 * means.std(axis=0))
    close(rule("first", members, 0.0, 0).mass, mass[0])


def test_pessimism_one_is_the_minimum_of_two_and_minus_one_the_maximum():
    two = Returns(MEMBERS[:2], None)
    for pessimism, expected in ((1.0, MEMBERS[:2].min(0)), (-1.0, MEMBERS[:2].max(0))):
        close(rule("pessimistic", two, pessimism, 0).points, expected, atol=1e-6)
    close(rule("pessimistic", two, 0.0, 0).points, MEMBERS[:2].mean(0), atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_members_that_agree_have_no_spread_and_a_finite_gradient(size):
    total = jax.jit(jax.value_and_grad(lambda x: spread(x).sum()))
    values, gradient = total(np.ones((size, 4), np.float32))
    assert values == 0.0
    close(gradient, np.zeros((size, 4)))


def test_a_random_subset_is_one_for_the_batch_and_uniform_over_pairs():
    members = Returns(jnp.broadcast_to(jnp.arange(4.0)[:, None, None], (4, 5, 1)), None)
    keys = jax.random.split(jax.random.key(0), 1200)
    draw = jax.jit(jax.vmap(lambda key: random_members(key, members, 2).points))
    drawn = np.asarray(draw(keys))
    assert drawn.shape == (1200, 2, 5, 1)
    assert (drawn == drawn[:, :, :1]).all()
    pairs = [tuple(sorted(pair)) for pair in drawn[:, :, 0, 0].astype(int).tolist()]
    counts = np.array([pairs.count(pair) for pair in itertools.combinations(range(4), 2)])
    assert counts.sum() == 1200  # never one member twice
    # Chi-square with 5 degrees of freedom: above 25.7 in one of 10,000 cases.
    assert ((counts - 200) ** 2 / 200).sum() < 25.7


@pytest.mark.parametrize(
    "call",
    [
        lambda: scalar().loss(jnp.ones((2, 4, 1)), Returns(FLAT, None)),
        lambda: scalar().loss(jnp.ones((2, 4)), Returns(COLUMN, None)),
        lambda: scalar().loss(jnp.ones((2, 4, 1)), Returns(COLUMN[:1], None)),
        lambda: quantile().loss(jnp.ones((2, 4, 3)), Returns(COLUMN[:1], None)),
        lambda: categorical(3, -1.0, 1.0).loss(jnp.ones((2, 4, 3)), Returns(COLUMN, COLUMN)),
    ],
)
def test_shapes_that_would_broadcast_silently_raise(call):
    with pytest.raises(AssertionError):
        call()

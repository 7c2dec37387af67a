"""Probe environments: the values they claim are the values that rollouts return."""

import numpy as np
import pytest

from rr_scale.envs import suites
from rr_scale.envs.probes import PROBES, analytic_q


def rollout(environment, seed, actions):
    """Observations and steps of one episode, up to its end."""
    steps = []
    first = environment.reset(seed)
    for action in actions:
        steps.append(environment.step(action))
        if steps[-1].terminated or steps[-1].truncated:
            break
    return first, steps


def random_actions(environment, number, seed=0):
    shape = (number, environment.spec.action_size)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize(
    "name", sorted(set(PROBES) - {"probe-nan", "probe-chain", "probe-bit-flip"})
)
def test_analytic_values_are_what_rollouts_return(name):
    discount = 0.9
    environment = suites.make(name)
    for seed in range(5):
        actions = random_actions(environment, 400, seed)
        first, steps = rollout(environment, seed, actions)
        value, factor = 0.0, 1.0
        for step in steps:
            value += factor * step.reward
            factor *= discount
        if steps[-1].truncated:
            # A cut leaves a state like any other, from which rewards go on.
            while factor > 1e-9:
                _, more = rollout(environment, seed, actions)
                for step in more:
                    value += factor * step.reward
                    factor *= discount
        assert value == pytest.approx(analytic_q(name, discount, first, actions[0]), abs=1e-6)


@pytest.mark.parametrize(
    "name", sorted(set(PROBES) - {"probe-nan", "probe-chain", "probe-bit-flip"})
)
def test_analytic_values_satisfy_the_bellman_equation_at_every_step(name):
    environment = suites.make(name)
    actions = random_actions(environment, 10)
    observation, steps = rollout(environment, 2, actions)
    for index, step in enumerate(steps):
        target = step.reward
        if not step.terminated:
            target += 0.8 * analytic_q(name, 0.8, step.observation, actions[index])
        q = analytic_q(name, 0.8, observation, actions[index])
        assert q == pytest.approx(target, abs=1e-9)
        observation = step.observation


def test_probes_end_as_documented():
    ends = {}
    for name in PROBES:
        environment = suites.make(name)
        _, steps = rollout(environment, 0, random_actions(environment, 200))
        ends[name] = (len(steps), steps[-1].terminated, steps[-1].truncated)
    assert ends["probe-truncation"] == (10, False, True)
    assert ends["probe-termination"] == (5, True, False)
    assert ends["probe-delay"] == (2, True, False)
    assert ends["probe-nan"] == (100, False, True)
    assert ends["probe-action"] == (1, True, False)


def test_the_nan_probe_is_poisoned_by_even_seeds_after_sixty_steps():
    environment = suites.make("probe-nan")
    _, even = rollout(environment, 8, np.zeros((100, 1)))
    _, odd = rollout(environment, 9, np.zeros((100, 1)))
    assert np.flatnonzero(np.isnan([step.reward for step in even])).tolist() == [*range(60, 100)]
    assert all(step.reward == 1 for step in odd)
    assert analytic_q("probe-nan", 0.9, odd[0].observation, None) == pytest.approx(10)


def test_the_target_probe_reports_success():
    environment = suites.make("probe-target")
    target = environment.reset(4)
    assert environment.step(target + 0.05).success is True
    environment.reset(4)
    assert environment.step(target + np.array([0.0, 0.2])).success is False

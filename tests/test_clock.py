"""Step counts: exact at every replay ratio, and resets on their own schedule."""

from __future__ import annotations

from fractions import Fraction

import pytest

from rr_scale.clock import ReplayRatio, every, fires, firing_steps
from rr_scale.config import ResetRule

RATIOS = {
    32.0: Fraction(32),
    8.0: Fraction(8),
    1.0: Fraction(1),
    0.5: Fraction(1, 2),
    0.1: Fraction(1, 10),
    1 / 3: Fraction(3333333333333333, 10**16),
    2.5: Fraction(5, 2),
    0.0: Fraction(0),
}


@pytest.mark.parametrize("ratio", RATIOS)
def test_updates_are_the_exact_floor_and_add_up(ratio):
    exact, start = RATIOS[ratio], 100
    clock = ReplayRatio(ratio, start)
    done = 0
    for env_step in range(1, 10_001):
        due = clock.due(env_step)
        done += due
        expected = max(env_step - start, 0) * exact.numerator // exact.denominator
        assert done == clock.total(env_step) == expected
        if env_step > start:
            assert due in (int(exact), int(exact) + (exact.denominator > 1))


def test_one_tenth_is_one_tenth_even_after_many_steps():
    clock = ReplayRatio(0.1, 0)
    assert clock.total(3 * 10**15) == 3 * 10**14
    assert [step for step in range(1, 31) if clock.due(step)] == [10, 20, 30]


def test_nothing_is_due_during_warm_up():
    clock = ReplayRatio(32.0, 10_000)
    assert clock.total(10_000) == clock.due(10_000) == 0
    assert clock.due(10_001) == clock.total(10_001) == 32


@pytest.mark.parametrize(
    ("ratio", "steps"),
    [
        (32.0, [80_000, 160_000, 240_000, 320_000, 400_000]),
        (8.0, [320_000]),
        (128.0, [20_000 * k for k in range(1, 21)]),
    ],
)
@pytest.mark.parametrize("start_training", [1, 10_000])
def test_default_rule_fires_on_the_published_schedule(ratio, steps, start_training):
    clock = ReplayRatio(ratio, start_training)
    assert firing_steps((ResetRule(),), clock, 400_000) == steps
    for step in steps:
        fired = [near for near in (step - 1, step, step + 1) if fires(ResetRule(), clock, near)]
        assert fired == [step]


RULES = {
    "updates": ResetRule(interval=70),
    "many per step": ResetRule(interval=3),
    "env steps": ResetRule(unit="env_steps", interval=90),
    "list of updates": ResetRule(at=(1, 40, 41, 42, 900)),
    "list of env steps": ResetRule(unit="env_steps", at=(300, 5, 299, 10**9)),
}


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("rule", RULES)
def test_schedule_names_exactly_the_steps_that_fire(rule, ratio):
    clock = ReplayRatio(ratio, 20)
    expected = [step for step in range(1, 1001) if fires(RULES[rule], clock, step)]
    assert firing_steps((RULES[rule],), clock, 1000) == expected
    # Looking less far ahead forgets nothing and invents nothing.
    for horizon in (0, 1, 299, 300, 999):
        earlier = [step for step in expected if step <= horizon]
        assert firing_steps((RULES[rule],), clock, horizon) == earlier


def test_schedule_of_several_rules_is_their_union_in_order():
    rules = (ResetRule(unit="env_steps", interval=100), ResetRule(unit="env_steps", at=(50, 200)))
    assert firing_steps(rules, ReplayRatio(2.0, 0), 300) == [50, 100, 200, 300]


def test_env_step_rules_ignore_the_replay_ratio():
    rule = ResetRule(unit="env_steps", interval=200)
    schedules = [firing_steps((rule,), ReplayRatio(ratio, 50), 1000) for ratio in RATIOS]
    assert schedules == [[200, 400, 600, 800, 1000]] * len(RATIOS)


def test_update_rules_fire_in_the_first_step_that_reaches_the_mark():
    clock = ReplayRatio(0.3, 0)
    rule = ResetRule(interval=2)
    # floor(0.3 n) reaches 2, 4, 6 at n = 7, 14, 20.
    assert firing_steps((rule,), clock, 20) == [7, 14, 20]


def test_a_list_replaces_the_interval():
    rule = ResetRule(unit="env_steps", interval=10, at=(25,))
    assert firing_steps((rule,), ReplayRatio(1.0, 0), 100) == [25]


def test_periodic_jobs():
    assert [step for step in range(1, 10) if every(step, 3)] == [3, 6, 9]
    assert not any(every(step, 0) for step in range(10))

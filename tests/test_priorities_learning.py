"""Where prioritised replay must help, it does."""

import pytest

from rare_rewards import errors


@pytest.mark.slow
def test_a_rare_reward_is_known_sooner() -> None:
    uniform, prioritized = (
        errors(sampling, seeds=5, steps=500, every=250) for sampling in ("uniform", "prioritized")
    )
    # Same seeds, same rows: every seed is ahead, and the mean by much.
    assert (prioritized <= uniform).all()
    assert prioritized[-1].mean() < 0.5 * uniform[-1].mean()

"""Names for what passes between modules: plain tuples of arrays, no behaviour.

Shape alphabet, used in every docstring of the package:
`S` lanes, `B` batch, `N` ensemble members, `O` observation, `A` action.

This module imports neither jax nor numpy, so that the command line and the
analysis tools can use it without starting an accelerator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from jax import Array
else:
    Array = Any

Params = Any
"""A pytree of network parameters."""

Stats = dict[str, Any]
"""A pytree of running statistics of a network's layers; {} where no layer keeps any."""


class Transition(NamedTuple):
    """One environment step of one lane, as it is stored in replay.

    `next_observation` is the true successor: at the end of an episode the
    final observation, never the first one of the next episode.
    `terminated` means that the task ended (the value beyond is zero);
    `truncated` that it was cut, by a time limit for instance (the value beyond
    exists and is bootstrapped).
    """

    observation: Array  # [O] raw, never normalised
    action: Array  # [A] in [-1, 1]
    reward: Array  # []
    terminated: Array  # [] bool
    truncated: Array  # [] bool
    next_observation: Array  # [O]


class Batch(NamedTuple):
    """What an update learns from: n-step transitions formed at sample time.

    `reward` is sum_k gamma^k r_{t+k} over the n_eff steps of the window,
    `discount` is gamma^n_eff, or 0 where the window ended in termination, so
    that every target reads `reward + discount * value(next_observation)`.
    """

    observation: Array  # [B, O]
    action: Array  # [B, A]
    reward: Array  # [B]
    discount: Array  # [B]
    next_observation: Array  # [B, O]
    weight: Array  # [B] importance weight of the squared error, 1 if uniform


class GoalSpec(NamedTuple):
    """A task that is about reaching goals, seen in its observations.

    An observation [O] is everything else, then the goal that is achieved [G],
    then the goal that is desired [G].
    """

    size: int  # G
    reward: str  # key of core.goals.GOAL_REWARDS
    threshold: float  # a goal is reached within this distance


class Mean(NamedTuple):
    """A metric in flight: a sum and how many terms it has.

    Metrics are added up on the device until somebody reads them. An update
    that skips a step (policy delay) contributes (0, 0), so a mean is always
    over the updates that computed the number, and a NaN stays a NaN.
    """

    total: Array
    terms: Array


Metrics = dict[str, Mean]


class Feedback(NamedTuple):
    """What an update tells the engine besides the new state."""

    metrics: Metrics
    td_error: Array  # [B] mean over the ensemble of |Q_i - target|


class Clock(NamedTuple):
    """Where a run is. Shared by all lanes, hence never batched by `vmap`.

    Every schedule and delay reads the clock and not a counter inside the
    state: a `lax.cond` on a batched predicate becomes a select that computes
    both branches, so a delay by a per-lane counter would save nothing.
    """

    env_step: Any  # agent decisions completed
    update: Any  # critic gradient steps completed
    since_reset: Any  # critic gradient steps since a reset rule last fired


class Lane(NamedTuple):
    """One independent run among those trained together.

    Randomness depends on `seed` alone: two lanes with one seed and different
    hyper-parameters see the same noise.
    """

    seed: int
    hp: Any  # config.HyperParams
    exp_name: str
    folder: str  # below save_dir; '' is save_dir itself

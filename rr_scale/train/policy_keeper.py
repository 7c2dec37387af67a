"""Which actors of a run are kept on disk: the last evaluated and the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax

from rr_scale.agents.state import TrainState
from rr_scale.train.outputs import Outputs, Row
from rr_scale.train.policies import flatten


class PolicyKeeper:
    """Saves actors as they are evaluated, and remembers the best returns.

    Args:
      num_lanes: S.
      observation_size, action_size: O and A, for whoever loads a policy.
    """

    def __init__(self, num_lanes: int, observation_size: int, action_size: int):
        self.best: list[float | None] = [None] * num_lanes
        self._sizes = {"observation_size": observation_size, "action_size": action_size}

    def save(
        self, outputs: Outputs, policy: TrainState, env_step: int, rows: Sequence[Row]
    ) -> None:
        """Writes each evaluated lane's actor as the last, and as the best if it is.

        Args:
          outputs: where to.
          policy: of all lanes [S, ...], on the host.
          env_step: of the evaluation.
          rows: what it gave, per lane; None for a dropped one.
        """
        kept = learned(policy)
        for lane, row in enumerate(rows):
            if row is None:
                continue
            value, best = row["avg_return"], self.best[lane]
            arrays = flatten(jax.tree.map(lambda x, lane=lane: x[lane], kept))
            facts = {"env_step": env_step, "value": value, **self._sizes}
            outputs.policy(lane, "last", arrays, facts)
            if math.isfinite(value) and (best is None or value > best):
                self.best[lane] = value
                outputs.policy(lane, "best", arrays, facts)


def learned(policy: TrainState) -> dict[str, Any]:
    """What a policy file holds of a policy: nested dicts of its arrays."""
    normalizer = {name: moments._asdict() for name, moments in policy.normalizers.items()}
    return {
        "params": policy.actor.params,
        "stats": policy.actor.stats,
        "normalizer": normalizer,
    }


def with_learned(policy: TrainState, kept: dict[str, Any]) -> TrainState:
    """`policy` with other arrays, given as `learned` gave them."""
    normalizers = {
        name: type(moments)(**kept["normalizer"][name])
        for name, moments in policy.normalizers.items()
    }
    actor = policy.actor._replace(params=kept["params"], stats=kept["stats"])
    return policy._replace(actor=actor, normalizers=normalizers)

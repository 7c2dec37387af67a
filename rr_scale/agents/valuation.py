"""What the critics' outputs are worth: to the target, to the actor, to the explorer."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rr_scale.agents.state import TrainState
from rr_scale.config import AgentConfig, HyperParams
from rr_scale.core.aggregate import AGGREGATES, random_members
from rr_scale.core.values import Returns, ValueKind, mean_return, value_kind
from rr_scale.types import Array


class Valuation(NamedTuple):
    """Readings of an ensemble's outputs [N, B, K]."""

    kind: Callable[[HyperParams], ValueKind]
    means: Callable[[HyperParams, Array], Array]
    """(hp, outputs) -> expected return of each member [N, B]"""
    next_value: Callable[[HyperParams, TrainState, Array, Array | None], Returns]
    """(hp, state, outputs, key of the random subset or None) -> [B, M]"""
    objective: Callable[[HyperParams, TrainState, Array], Array]
    """(hp, state, outputs) -> what the actor ascends [B]"""
    optimistic: Callable[[HyperParams, Array, Array], Array]
    """(hp, outputs, optimism) -> mean + optimism x spread [B]"""
    pessimism: Callable[[HyperParams, TrainState], Array | float]


def build_valuation(config: AgentConfig) -> Valuation:
    """The kind of value, the ensemble rules and the pessimism that `config` names."""
    critic, pessimism = config.critic, PESSIMISMS[config.pessimism]
    target_rule = AGGREGATES[critic.target_ensemble]
    actor_rule = AGGREGATES[config.actor.objective_ensemble]

    def kind(hp: HyperParams) -> ValueKind:
        return value_kind(critic, hp)

    def means(hp: HyperParams, outputs: Array) -> Array:
        return mean_return(kind(hp).returns(outputs))

    def next_value(
        hp: HyperParams, state: TrainState, outputs: Array, key: Array | None
    ) -> Returns:
        members = kind(hp).returns(outputs)
        if key is not None:
            members = random_members(key, members, critic.target_subset)
        return target_rule(members, pessimism(hp, state), critic.dropped_quantiles)

    def objective(hp: HyperParams, state: TrainState, outputs: Array) -> Array:
        members = kind(hp).returns(outputs)
        value = actor_rule(members, pessimism(hp, state), critic.dropped_quantiles)
        return mean_return(value)

    def optimistic(hp: HyperParams, outputs: Array, optimism: Array) -> Array:
        value = AGGREGATES["pessimistic"](kind(hp).returns(outputs), -optimism, 0)
        return mean_return(value)

    return Valuation(kind, means, next_value, objective, optimistic, pessimism)


def _learned(hp: HyperParams, state: TrainState) -> Array:
    return state.duals["pessimism"].params


PESSIMISMS: dict[str, Callable[[HyperParams, TrainState], Array | float]] = {
    "fixed": lambda hp, state: hp.pessimism,
    "gpl": _learned,
    "vpl": _learned,
    # Its arms: the mean, and the configured pessimism (1: the minimum of two).
    "top": lambda hp, state: hp.pessimism * state.normalizers["bandit"].arm,
}
"""`agent.pessimism` -> (hp, state) -> factor of the spread."""

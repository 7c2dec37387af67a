"""What an agent is made of: arrays only, for one lane."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rr_scale.config import HyperParams
from rr_scale.types import Array, Batch, Clock, Feedback, Metrics, Params, Stats, Transition

# Hyper-parameters are traced: a pytree whose leaves are its fields.
jax.tree_util.register_dataclass(
    HyperParams, [field.name for field in dataclasses.fields(HyperParams)], []
)


class Learner(NamedTuple):
    """One trained network or scalar."""

    params: Params
    target: Params | None  # slow copy, where something bootstraps from it
    opt_state: Any
    stats: Stats  # running statistics of layers; empty without such layers
    target_stats: Stats = {}  # of the slow copy; follow `stats` as it follows `params`


class TrainState(NamedTuple):
    """Everything that learning changes, and the key its randomness comes from."""

    root: Array  # typed PRNG key; see rr_scale.rng
    actor: Learner
    critic: Learner
    duals: dict[str, Learner]  # scalars by name: 'temperature': params = log alpha, ...
    normalizers: dict[str, Any]  # what observing changes: 'observation', 'reward', 'bandit'
    explorer: Learner | None = None  # a second policy that acts in training


def policy_of(train: TrainState) -> TrainState:
    """What acting needs, and nothing else."""
    actor = train.actor._replace(target=None, opt_state=None, target_stats={})
    normalizers = {k: v for k, v in train.normalizers.items() if k == "observation"}
    return TrainState(None, actor, None, {}, normalizers)


def critics_of(train: TrainState) -> TrainState:
    """What `Agent.appraise` needs, and nothing else."""

    def used(learner: Learner) -> Learner:
        return learner._replace(target=None, opt_state=None, target_stats={})

    duals = {name: used(dual) for name, dual in train.duals.items()}
    actor, critic = used(train.actor), used(train.critic)
    return TrainState(train.root, actor, critic, duals, train.normalizers)


def all_finite(train: TrainState) -> Array:
    """Whether all parameters are finite, [] bool."""
    learners = [train.actor, train.critic, *train.duals.values()]
    learners += [train.explorer] if train.explorer else []
    leaves = jax.tree.leaves([learner.params for learner in learners])
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all()


class Agent(NamedTuple):
    """An off-policy algorithm for one lane, as pure functions over one pytree.

    What `optax.GradientTransformation` is to optimisers: whoever has these
    functions can write any training loop around them. `engine.py` maps them
    over lanes; nothing here knows that there is more than one. `diagnose` and
    `appraise` only look, and no loop needs them, nor `stretches`.
    """

    init: Callable[[Array, HyperParams], TrainState]
    """(root key, hp) -> state"""
    initial_memory: Callable[[], Any]
    """() -> exploration state at the start of an episode"""
    act: Callable[[HyperParams, TrainState, Any, Array, Clock, str], tuple[Array, Any]]
    """(hp, state, memory, observation [..., O], clock, mode) -> (action [..., A], memory);
    mode is 'warmup', 'explore' or 'evaluate' (which ignores and returns the memory)"""
    observe: Callable[[HyperParams, TrainState, Transition, Array], TrainState]
    """(hp, state, transition, episode_end) -> state; once per environment step"""
    update: Callable[..., tuple[TrainState, Feedback]]
    """(hp, state, batches, clock, phase=None) -> (state, feedback); one gradient step. `batches`
    has 'train' and, if the agent asks for it, 'validation'. `phase` is the number of the update in
    a period of the delays, for a program made for that phase alone"""
    reset: Callable[..., TrainState]
    """(hp, state, index of the rule, how many firings came before, draw) -> state; draw: () ->
    `Batch` is called by rules that look at data, and may be left out for others"""
    diagnose: Callable[[HyperParams, TrainState, TrainState, dict[str, Batch], Clock], Metrics]
    """(hp, state, policy before the updates, batches, clock) -> dear numbers; one without a term
    is not to be had. `batches` as for an update"""
    appraise: Callable[[HyperParams, TrainState, Array, Array], tuple[Array, Array]]
    """(hp, state, observation [E, O], action [E, A]) -> (mean over the critics of Q [E], alpha x
    entropy of the policy [E]), in units of the task's rewards"""
    stretches: tuple[tuple[int, int], ...]
    """see `agents.update.stretches`"""

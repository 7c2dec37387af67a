"""The steps of an update: critics, actor, temperature, targets.

Each step is a function (parts, given, state, measured) -> (state, scalars)
that changes its own part of the state. `measured` holds the scalars of the
steps before it. The SAC target is computed in `critic_step`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rr_scale.agents.ingredients import Ingredients
from rr_scale.agents.state import Learner, TrainState
from rr_scale.config import HyperParams
from rr_scale.core.duals import temperature_loss
from rr_scale.core.targets import actor_loss, critic_loss, soft_td_target
from rr_scale.core.values import Returns, mean_return
from rr_scale.optim import Optimizer
from rr_scale.rng import Stream, stream_key
from rr_scale.types import Array, Batch, Clock, Params, Stats

Scalars = dict[str, Array]
TD_ERROR = "td_error"
"""[B]; leaves the update in Feedback, not as a metric."""


class Keys(NamedTuple):
    """The randomness of one update, each key for one use."""

    next_action: Array
    action: Array
    explorer: Array
    validation: Array  # next action on the validation batch
    subset: Array | None = None  # of the target critics
    target_dropout: Array | None = None
    critic_dropout: Array | None = None
    objective_dropout: Array | None = None  # of the critics that the actor ascends
    actor_dropout: Array | None = None


class Given(NamedTuple):
    """What an update is given besides the state."""

    hp: HyperParams
    batch: Batch  # observations normalised, rewards scaled
    clock: Clock
    keys: Keys
    validation: Batch | None = None


def draw_keys(parts: Ingredients, root: Array, update: Array) -> Keys:
    """The keys of update number `update`; networks without dropout get none for it."""
    # Independent noise for the next action and for the actor's action.
    keys = Keys(*jax.random.split(stream_key(root, Stream.UPDATE, update), 4))
    if parts.config.critic.target_subset:
        keys = keys._replace(subset=stream_key(root, Stream.SUBSET, update))
    critic, actor = parts.config.critic.network, parts.config.actor.network
    if critic.dropout or actor.dropout:
        masks = jax.random.split(stream_key(root, Stream.DROPOUT, update), 4)
        if critic.dropout:
            keys = keys._replace(target_dropout=masks[0], critic_dropout=masks[1])
            keys = keys._replace(objective_dropout=masks[2])
        if actor.dropout:
            keys = keys._replace(actor_dropout=masks[3])
    return keys


def descend(optimizer: Optimizer, given: Given, learner: Learner, gradient: Params) -> Learner:
    """One step of `learner` against its gradient."""
    params, opt_state = optimizer.step(
        given.hp, given.clock, gradient, learner.opt_state, learner.params
    )
    return learner._replace(params=params, opt_state=opt_state)


def td_target(
    parts: Ingredients,
    given: Given,
    state: TrainState,
    batch: Batch,
    next_output: Array,
    next_log_prob: Array,
) -> Returns:
    """What the critics regress on, given the outputs at (s', a') [N, B, K]."""
    hp = given.hp
    value = parts.value.next_value(hp, state, next_output, given.keys.subset)
    points = soft_td_target(
        batch.reward, batch.discount, value.points, next_log_prob, parts.alpha(hp, state)
    )
    return parts.value.kind(hp).project(Returns(points, value.mass))


def bellman_pair(
    parts: Ingredients, given: Given, state: TrainState, batch: Batch, key: Array
) -> tuple[Array, Array]:
    """What the critics say [N, B] and what they should say [B], networks as in acting.

    Args:
      parts, given, state: of the agent.
      batch: prepared.
      key: of the next action.
    """
    hp, critic = given.hp, state.critic
    slow = critic if critic.target is None else critic._replace(params=critic.target)
    stats = critic.stats if critic.target is None else critic.target_stats
    action, log_prob = parts.next_action(hp, state, batch.next_observation, key)
    next_output, _ = parts.critic.apply(
        slow.params, stats, batch.next_observation, action, None, False
    )
    target = td_target(parts, given, state, batch, next_output, log_prob)
    output, _ = parts.critic.apply(
        critic.params, critic.stats, batch.observation, batch.action, None, False
    )
    return parts.value.means(hp, output), mean_return(target)


def critic_gradient(
    parts: Ingredients, given: Given, state: TrainState
) -> tuple[tuple[Array, tuple[Array, Returns, Stats]], Params]:
    """((loss, (outputs at (s, a) [N, B, K], target, statistics)), gradient) of the critics."""
    hp, batch, keys = given.hp, given.batch, given.keys
    next_action, next_log_prob = parts.next_action(
        hp, state, batch.next_observation, keys.next_action
    )

    def target_from(next_output: Array) -> Returns:
        return td_target(parts, given, state, batch, next_output, next_log_prob)

    slow_target = None
    if parts.passes.target is not None:
        slow_target = target_from(
            parts.passes.target(state.critic, batch, next_action, keys.target_dropout)
        )

    def loss_fn(params: Params) -> tuple[Array, tuple[Array, Returns, Stats]]:
        output, next_output, stats = parts.passes.online(
            params, state.critic, batch, next_action, keys.critic_dropout
        )
        target = slow_target
        if target is None:
            assert next_output is not None
            target = jax.lax.stop_gradient(target_from(next_output))
        losses = parts.value.kind(hp).loss(output, target)
        loss = critic_loss(losses, batch.weight, parts.config.critic.loss_scale)
        return loss, (output, target, stats)

    return jax.value_and_grad(loss_fn, has_aux=True)(state.critic.params)


def critic_step(
    parts: Ingredients, given: Given, state: TrainState, measured: Scalars
) -> tuple[TrainState, Scalars]:
    """All critics regress on one target, from the target critics if there are any."""
    hp = given.hp
    (loss, (output, target, stats)), gradient = critic_gradient(parts, given, state)
    critic = descend(parts.critic_optimizer, given, state.critic, gradient)
    q, y = parts.value.means(hp, output), mean_return(target)
    td_error = jnp.mean(jnp.abs(q - y), axis=0)
    scalars = {} if parts.config.pessimism == "fixed" else _pessimism(parts, hp, state)
    return state._replace(critic=critic._replace(stats=stats)), {
        "train/critic_loss": loss,
        "train/q_mean": jnp.mean(q),
        "train/target_q_mean": jnp.mean(y),
        "train/td_error": jnp.mean(td_error),
        TD_ERROR: td_error,
        **scalars,
    }


def _pessimism(parts: Ingredients, hp: HyperParams, state: TrainState) -> Scalars:
    return {"train/pessimism": jnp.asarray(parts.value.pessimism(hp, state))}


def repeat(tree: Any, count: int) -> Any:
    """The batch `count` times over: leaves [B, ...] -> [count B, ...]."""
    if count == 1:
        return tree
    return jax.tree.map(lambda x: jnp.concatenate([x] * count), tree)


def actor_gradient(
    parts: Ingredients, given: Given, state: TrainState, alpha: Array | float
) -> tuple[tuple[Array, tuple[Array, Stats]], Params]:
    """((loss, (entropy, statistics)), gradient) of the actor; see `actor_step`."""
    hp, batch, keys = given.hp, given.batch, given.keys

    def loss_fn(params: Params) -> tuple[Array, tuple[Array, Stats]]:
        output, stats = parts.policy.apply(
            params, state.actor.stats, batch.observation, keys.actor_dropout, True
        )
        output, observation = repeat((output, batch.observation), parts.config.actor.num_samples)
        action, log_prob = parts.policy.draw(output, keys.action)
        critic = state.critic
        q, _ = parts.critic.apply(
            critic.params, critic.stats, observation, action, keys.objective_dropout, False
        )
        loss = actor_loss(parts.value.objective(hp, state, q), log_prob, alpha)
        return loss, (-jnp.mean(log_prob), stats)

    return jax.value_and_grad(loss_fn, has_aux=True)(state.actor.params)


def actor_step(
    parts: Ingredients, given: Given, state: TrainState, measured: Scalars
) -> tuple[TrainState, Scalars]:
    """The actor ascends the critics' value of its own reparameterised action.

    With several samples per state, the mean over them. The critics are used as
    in acting, with running statistics; dropout, which belongs to what their
    ensemble means (Hiraoka et al. 2022), stays on.
    """
    alpha = parts.alpha(given.hp, state)
    (loss, (entropy, stats)), gradient = actor_gradient(parts, given, state, alpha)
    actor = descend(parts.actor_optimizer, given, state.actor, gradient)
    scalars = {"train/actor_loss": loss}
    if parts.policy.stochastic:
        scalars["train/entropy"] = entropy
    if parts.config.temperature != "none":
        scalars["train/temperature"] = jnp.asarray(alpha)
    return state._replace(actor=actor._replace(stats=stats)), scalars


def temperature_step(
    parts: Ingredients, given: Given, state: TrainState, measured: Scalars
) -> tuple[TrainState, Scalars]:
    """The temperature follows the entropy that the actor step just measured."""
    target_entropy = -given.hp.target_entropy_scale * parts.action_size
    learner = state.duals["temperature"]
    loss, gradient = jax.value_and_grad(temperature_loss)(
        learner.params, measured["train/entropy"], target_entropy, parts.config.temperature
    )
    learner = descend(parts.temperature_optimizer, given, learner, gradient)
    duals = {**state.duals, "temperature": learner}
    return state._replace(duals=duals), {"train/temperature_loss": loss}


def target_step(
    parts: Ingredients, given: Given, state: TrainState, measured: Scalars
) -> tuple[TrainState, Scalars]:
    """Every network that has a slow copy moves it, running statistics included."""

    def follow(learner: Learner) -> Learner:
        if learner.target is None:
            return learner
        return learner._replace(
            target=parts.follow(learner.target, learner.params, given.hp.tau),
            target_stats=parts.follow(learner.target_stats, learner.stats, given.hp.tau),
        )

    return state._replace(actor=follow(state.actor), critic=follow(state.critic)), {}

"""One gradient update: the configured steps in the configured order.

Each step is a function (parts, hp, state, batch, key) -> (state, metrics) that
changes its own part of the state. The SAC target is computed in `critic_step`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import optax

from rr_scale.agents.ingredients import Ingredients
from rr_scale.agents.state import Learner, TrainState
from rr_scale.config import AgentConfig, HyperParams
from rr_scale.core.duals import temperature_loss
from rr_scale.core.targets import actor_loss, critic_loss, soft_td_target
from rr_scale.optim import polyak
from rr_scale.rng import Stream, stream_key
from rr_scale.types import Array, Batch, Clock, Feedback, Mean, Params

Scalars = dict[str, Array]
_TD_ERROR = "td_error"  # [B]; leaves the update in Feedback, not as a metric


def _apply(optimizer: optax.GradientTransformation, learner: Learner, gradient: Params) -> Learner:
    updates, opt_state = optimizer.update(gradient, learner.opt_state, learner.params)
    params = optax.apply_updates(learner.params, updates)
    return learner._replace(params=params, opt_state=opt_state)


def critic_step(
    parts: Ingredients, hp: HyperParams, state: TrainState, batch: Batch, key: Array
) -> tuple[TrainState, Scalars]:
    """All critics regress on one target from the target critics."""
    alpha = parts.alpha(hp, state)
    next_action, next_log_prob = parts.next_action(hp, state, batch.next_observation, key)
    next_q = parts.critic.apply(state.critic.target, batch.next_observation, next_action)
    target = soft_td_target(
        batch.reward, batch.discount, parts.target_value(next_q), next_log_prob, alpha
    )

    def loss_fn(params: Params) -> tuple[Array, Array]:
        q = parts.critic.apply(params, batch.observation, batch.action)
        return critic_loss(q, target, batch.weight, parts.config.critic.loss_scale), q

    (loss, q), gradient = jax.value_and_grad(loss_fn, has_aux=True)(state.critic.params)
    critic = _apply(parts.critic_optimizer(hp), state.critic, gradient)
    td_error = jnp.mean(jnp.abs(q - target), axis=0)
    return state._replace(critic=critic), {
        "train/critic_loss": loss,
        "train/q_mean": jnp.mean(q),
        "train/target_q_mean": jnp.mean(target),
        "train/td_error": jnp.mean(td_error),
        _TD_ERROR: td_error,
    }


def actor_step(
    parts: Ingredients, hp: HyperParams, state: TrainState, batch: Batch, key: Array
) -> tuple[TrainState, Scalars]:
    """The actor ascends the critics' value of its own reparameterised action."""
    alpha = parts.alpha(hp, state)

    def loss_fn(params: Params) -> tuple[Array, Array]:
        action, log_prob = parts.policy.sample(params, batch.observation, key)
        q = parts.critic.apply(state.critic.params, batch.observation, action)
        return actor_loss(parts.actor_value(q), log_prob, alpha), -jnp.mean(log_prob)

    (loss, entropy), gradient = jax.value_and_grad(loss_fn, has_aux=True)(state.actor.params)
    actor = _apply(parts.actor_optimizer(hp), state.actor, gradient)
    scalars = {"train/actor_loss": loss}
    if parts.policy.stochastic:
        scalars["train/entropy"] = entropy
    if parts.config.temperature != "none":
        scalars["train/temperature"] = jnp.asarray(alpha)
    return state._replace(actor=actor), scalars


def temperature_step(
    parts: Ingredients, hp: HyperParams, state: TrainState, entropy: Array
) -> tuple[TrainState, Scalars]:
    """The temperature follows the entropy that the actor step just measured."""
    target_entropy = -hp.target_entropy_scale * parts.action_size
    learner = state.duals["temperature"]
    loss, gradient = jax.value_and_grad(temperature_loss)(
        learner.params, entropy, target_entropy, parts.config.temperature
    )
    learner = _apply(parts.temperature_optimizer(hp), learner, gradient)
    duals = {**state.duals, "temperature": learner}
    return state._replace(duals=duals), {"train/temperature_loss": loss}


def target_step(hp: HyperParams, state: TrainState) -> TrainState:
    """Every network that has a slow copy moves it by tau."""

    def follow(learner: Learner) -> Learner:
        if learner.target is None:
            return learner
        return learner._replace(target=polyak(learner.target, learner.params, hp.tau))

    return state._replace(actor=follow(state.actor), critic=follow(state.critic))


def _delays(config: AgentConfig) -> dict[str, int]:
    return {
        "critic": 1,
        "actor": config.actor_delay,
        "temperature": config.actor_delay,
        "target": config.target_delay,
    }


def make_update(parts: Ingredients) -> Callable[..., tuple[TrainState, Feedback]]:
    """Builds `Agent.update`.

    Neighbouring steps with one delay share one `lax.cond` on the clock, so
    that a delayed actor costs nothing on the updates in between. The first
    update of a run does every step.
    """
    delays = _delays(parts.config)
    groups = [
        (delay, tuple(steps))
        for delay, steps in itertools.groupby(parts.config.update_order, delays.__getitem__)
    ]

    def run_steps(
        steps: tuple[str, ...], hp: HyperParams, state: TrainState, batch: Batch, key: Array
    ) -> tuple[TrainState, Scalars]:
        # Independent noise for the next action and for the actor's action.
        critic_key, actor_key = jax.random.split(key)
        scalars: Scalars = {}
        for step in steps:
            if step == "critic":
                state, new = critic_step(parts, hp, state, batch, critic_key)
            elif step == "actor":
                state, new = actor_step(parts, hp, state, batch, actor_key)
            elif step == "temperature":
                state, new = temperature_step(parts, hp, state, scalars["train/entropy"])
            else:
                state, new = target_step(hp, state), {}
            scalars.update(new)
        return state, scalars

    def update(
        hp: HyperParams, state: TrainState, batches: dict[str, Batch], clock: Clock
    ) -> tuple[TrainState, Feedback]:
        batch = batches["train"]
        chex.assert_rank([batch.reward, batch.discount, batch.weight], 1)
        batch = batch._replace(
            observation=parts.normalize(state, batch.observation),
            next_observation=parts.normalize(state, batch.next_observation),
        )
        key = stream_key(state.root, Stream.UPDATE, clock.update)
        means: dict[str, Mean] = {}
        for delay, steps in groups:

            def do(state: TrainState, steps: tuple[str, ...] = steps) -> tuple:
                state, scalars = run_steps(steps, hp, state, batch, key)
                return state, {k: Mean(v, jnp.ones(())) for k, v in scalars.items()}

            if delay == 1:
                state, new = do(state)
            else:
                shapes = jax.eval_shape(do, state)[1]

                def skip(state: TrainState, shapes: dict = shapes) -> tuple:
                    return state, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

                state, new = jax.lax.cond(clock.update % delay == 0, do, skip, state)
            means.update(new)
        td_error = means.pop(_TD_ERROR).total
        return state, Feedback(means, td_error)

    return update

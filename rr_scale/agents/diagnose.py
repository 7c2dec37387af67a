"""Numbers about one lane's networks that are too dear for every update.

Each function here measures one thing on a batch that nobody learns from. Names
and meanings are in `train/metrics.py` and docs/metrics.md, the mathematics in
`core/diagnostics.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rr_scale.agents.ingredients import Ingredients
from rr_scale.agents.state import TrainState
from rr_scale.agents.steps import (
    Given,
    Scalars,
    actor_gradient,
    bellman_pair,
    critic_gradient,
    draw_keys,
)
from rr_scale.agents.update import prepare
from rr_scale.config import HyperParams
from rr_scale.core.aggregate import spread
from rr_scale.core.diagnostics import (
    dormant_fraction,
    effective_rank,
    saturated_fraction,
    tree_norm,
)
from rr_scale.core.distributions import gaussian_kl
from rr_scale.nets.build import Gaussian
from rr_scale.rng import Stream, stream_key
from rr_scale.types import Array, Batch, Clock, Mean, Metrics


class Seen(NamedTuple):
    """What a number may be made of."""

    given: Given
    state: TrainState  # after the updates
    before: TrainState  # the policy before the updates; see `agents.state.policy_of`
    observation: Array  # [B, O], not normalised


def make_diagnose(parts: Ingredients) -> Callable[..., Metrics]:
    """Builds `Agent.diagnose`."""

    def diagnose(
        hp: HyperParams,
        state: TrainState,
        before: TrainState,
        batches: dict[str, Batch],
        clock: Clock,
    ) -> Metrics:
        # A stream of its own: whoever diagnoses takes no random number from training.
        root = stream_key(state.root, Stream.DIAGNOSE, clock.env_step)
        drawn = batches["train"]
        given = Given(
            hp, prepare(parts, hp, state, drawn), clock, draw_keys(parts, root, clock.update)
        )
        if "validation" in batches:
            validation = prepare(parts, hp, state, batches["validation"])
            given = given._replace(validation=validation)
        seen = Seen(given, state, before, drawn.observation)
        metrics = td_errors(parts, seen)
        for measure in MEASURES:
            scalars = measure(parts, seen)
            metrics |= {name: Mean(value, jnp.ones(())) for name, value in scalars.items()}
        return {f"diagnostics/{name}": mean for name, mean in metrics.items()}

    return diagnose


def hidden_units(parts: Ingredients, seen: Seen) -> Scalars:
    """How many units do nothing on the batch, and how many directions the features have."""
    state, batch = seen.state, seen.given.batch
    actor, critic = state.actor, state.critic
    own = parts.policy.watch(actor.params, actor.stats, batch.observation)
    members = parts.critic.watch(critic.params, critic.stats, batch.observation, batch.action)
    # Member after member: see `engine_watch.Watch` on singular values.
    ranks = jax.lax.map(effective_rank, members.features)
    scalars = {
        "actor_effective_rank": effective_rank(own.features),
        "critic_effective_rank": jnp.mean(ranks),
    }
    for name, layers in (("actor", own.hidden), ("critic", members.hidden)):
        if layers:
            share = dormant_fraction(list(layers.values()))
            scalars[f"{name}_dormant_fraction"] = jnp.mean(share)
    return scalars


def parameter_norms(parts: Ingredients, seen: Seen) -> Scalars:
    """Of all parameters of a network; of all critics together."""
    return {
        "actor_parameter_norm": tree_norm(seen.state.actor.params),
        "critic_parameter_norm": tree_norm(seen.state.critic.params),
    }


def gradient_norms(parts: Ingredients, seen: Seen) -> Scalars:
    """Of the losses, as an update would descend them: before clips and optimisers."""
    given, state = seen.given, seen.state
    alpha = parts.alpha(given.hp, state)
    return {
        "actor_gradient_norm": tree_norm(actor_gradient(parts, given, state, alpha)[1]),
        "critic_gradient_norm": tree_norm(critic_gradient(parts, given, state)[1]),
    }


def critic_values(parts: Ingredients, seen: Seen) -> Scalars:
    """How far critics disagree about the batch, and how steep they are where the policy acts."""
    hp, batch = seen.given.hp, seen.given.batch
    critic = seen.state.critic

    def outputs(action: Array) -> Array:
        return parts.critic.apply(
            critic.params, critic.stats, batch.observation, action, None, False
        )[0]

    def ascended(action: Array) -> Array:
        # The sum: samples do not touch each other, so this is the gradient of each.
        return jnp.sum(parts.value.objective(hp, seen.state, outputs(action)))

    slope = jax.grad(ascended)(_sampled(parts, seen))
    scalars = {"action_gradient_norm": jnp.mean(jnp.linalg.norm(slope, axis=-1))}
    if parts.config.critic.ensemble_size > 1:
        members = parts.value.means(hp, outputs(batch.action))
        scalars["critic_disagreement"] = jnp.mean(spread(members))
    return scalars


def actions(parts: Ingredients, seen: Seen) -> Scalars:
    """Of actions sampled from the actor, without exploration noise."""
    return {"saturated_actions": saturated_fraction(_sampled(parts, seen))}


def policy_churn(parts: Ingredients, seen: Seen) -> Scalars:
    """How far the updates of one env step moved the policy, before squashing.

    Schaul et al., "The phenomenon of policy churn", NeurIPS 2022, for
    continuous actions: divergences of the Gaussians, summed over the
    dimensions of an action, and mean distances per dimension.
    """
    new, old = _policy(parts, seen, seen.state), _policy(parts, seen, seen.before)
    churn = {"churn_mean": jnp.mean(jnp.abs(new.mean - old.mean))}
    if new.log_sigma is None or old.log_sigma is None:
        return churn
    sigmas = jnp.exp(new.log_sigma) - jnp.exp(old.log_sigma)
    return {
        "churn_kl_forward": jnp.mean(gaussian_kl(*old, *new)),
        "churn_kl_backward": jnp.mean(gaussian_kl(*new, *old)),
        **churn,
        "churn_sigma": jnp.mean(jnp.abs(sigmas)),
    }


MEASURES: tuple[Callable[[Ingredients, Seen], Scalars], ...] = (
    hidden_units,
    parameter_norms,
    gradient_norms,
    critic_values,
    actions,
    policy_churn,
)


def td_errors(parts: Ingredients, seen: Seen) -> Metrics:
    """|Q - target| on training and on validation transitions, networks as in acting."""
    given, state = seen.given, seen.state

    def error(batch: Batch, key: Array) -> Mean:
        said, target = bellman_pair(parts, given, state, batch, key)
        errors = jnp.mean(jnp.abs(said - target), axis=0)
        return Mean(jnp.sum(batch.weight * errors), jnp.sum(batch.weight))

    metrics = {"td_error": error(given.batch, given.keys.next_action)}
    if given.validation is not None:
        # Without a term, its weights being 0, while there are too few transitions.
        metrics["validation_td_error"] = error(given.validation, given.keys.validation)
    return metrics


def _policy(parts: Ingredients, seen: Seen, state: TrainState) -> Gaussian:
    observation = parts.normalize(state, seen.observation)
    return parts.policy.apply(state.actor.params, state.actor.stats, observation, None, False)[0]


def _sampled(parts: Ingredients, seen: Seen) -> Array:
    """Actions [B, A] of the policy after the updates."""
    return parts.policy.draw(_policy(parts, seen, seen.state), seen.given.keys.action)[0]

"""The optimistic explorer: a policy beside the actor, and the duals that hold it near.

Nauman & Cygan, "Decoupled policy actor-critic", 2023 (DAC), in the form of
Nauman et al., "Bigger, regularized, optimistic", NeurIPS 2024 (BRO). The
explorer moves the actor's pre-squash mean and widens or narrows its sigma:
mean_o = mean_c + shift(s, mean_c), sigma_o = hp.explorer_std x sigma_c. Nothing
of it flows back into the actor.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rr_scale.agents.behaviour import explorer_output
from rr_scale.agents.ingredients import Ingredients
from rr_scale.agents.state import Learner, TrainState
from rr_scale.agents.steps import Given, Scalars, descend
from rr_scale.config import HyperParams
from rr_scale.core.distributions import gaussian_kl
from rr_scale.core.duals import bounded_value, kl_weight_loss, optimism_loss, raw_of_bounded
from rr_scale.types import Array, Params

OPTIMISM, KL_WEIGHT = "optimism", "kl_weight"
_KL = "train/explorer_kl"


def initial_duals(hp: HyperParams) -> dict[str, Array]:
    """Raw values of the two duals."""
    return {
        OPTIMISM: raw_of_bounded(jnp.asarray(hp.init_optimism, jnp.float32)),
        KL_WEIGHT: raw_of_bounded(jnp.asarray(hp.init_kl_weight, jnp.float32)),
    }


def explorer_step(
    parts: Ingredients, given: Given, state: TrainState, measured: Scalars
) -> tuple[TrainState, Scalars]:
    """mean[-(mean Q + optimism x spread)] + weight x mean KL(explorer || actor); no entropy."""
    hp, batch, keys = given.hp, given.batch, given.keys
    optimism = bounded_value(state.duals[OPTIMISM].params)
    weight = bounded_value(state.duals[KL_WEIGHT].params)
    learner, critic = state.actor, state.critic
    assert parts.explorer is not None and state.explorer is not None
    build, own = parts.explorer, state.explorer
    actor, _ = parts.policy.apply(learner.params, learner.stats, batch.observation, None, False)

    def loss_fn(params: Params) -> tuple[Array, Array]:
        output = explorer_output(build, hp, params, actor, batch.observation)
        action, _ = parts.policy.draw(output, keys.explorer)
        q, _ = parts.critic.apply(
            critic.params, critic.stats, batch.observation, action, keys.objective_dropout, False
        )
        # Without the factor explorer_std, of which the distance is not to depend.
        kl = jnp.mean(gaussian_kl(output.mean, actor.log_sigma, actor.mean, actor.log_sigma))
        return weight * kl - jnp.mean(parts.value.optimistic(hp, q, optimism)), kl

    (loss, kl), gradient = jax.value_and_grad(loss_fn, has_aux=True)(own.params)
    explorer = descend(parts.explorer_optimizer, given, own, gradient)
    return state._replace(explorer=explorer), {
        "train/explorer_loss": loss,
        _KL: kl / parts.action_size,
        "train/optimism": optimism,
        "train/kl_weight": weight,
    }


def optimism_step(
    parts: Ingredients, given: Given, state: TrainState, measured: Scalars
) -> tuple[TrainState, Scalars]:
    """Optimism and KL weight follow the divergence that the explorer's step measured."""
    losses = {OPTIMISM: optimism_loss, KL_WEIGHT: kl_weight_loss}
    new: dict[str, Learner] = {}
    for name, loss in losses.items():
        learner = state.duals[name]
        gradient = jax.grad(loss)(learner.params, measured[_KL], given.hp.target_kl)
        new[name] = descend(parts.optimism_optimizer, given, learner, gradient)
    return state._replace(duals={**state.duals, **new}), {}

"""From a configuration to an `Agent`: the one place where the parts meet."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rr_scale.agents.act import make_act, make_initial_memory
from rr_scale.agents.appraise import make_appraise
from rr_scale.agents.diagnose import make_diagnose
from rr_scale.agents.ingredients import Ingredients, build_ingredients
from rr_scale.agents.observe import init_observed, observe_all
from rr_scale.agents.optimism import initial_duals
from rr_scale.agents.pessimism import ERRORS
from rr_scale.agents.reset import make_reset
from rr_scale.agents.state import Agent, Learner, TrainState
from rr_scale.agents.update import make_update, stretches
from rr_scale.config import HyperParams, RunConfig
from rr_scale.optim import Optimizer
from rr_scale.rng import Stream, stream_key
from rr_scale.types import Array, Params, Stats, Transition


def make_agent(
    config: RunConfig, observation_size: int, action_size: int, schedule_horizon: int | None = None
) -> Agent:
    """Assembles the pure functions of an agent for one lane.

    Args:
      config: a preset or any other combination of ingredients.
      observation_size: O.
      action_size: A.
      schedule_horizon: env steps over which schedules run; by default
        what `config` says.

    Returns:
      The functions; all are pure and can be jitted and vmapped.
    """
    horizon = schedule_horizon or config.schedule_horizon
    parts = build_ingredients(config, observation_size, action_size, horizon)

    def init_with(root: Array, hp: HyperParams, key: Array) -> TrainState:
        return _init(parts, root, hp, key)

    def init(root: Array, hp: HyperParams) -> TrainState:
        return init_with(root, hp, stream_key(root, Stream.INIT, 0))

    def observe(
        hp: HyperParams, state: TrainState, transition: Transition, episode_end: Array
    ) -> TrainState:
        if not state.normalizers:
            return state
        return state._replace(normalizers=observe_all(hp, state, transition, episode_end))

    return Agent(
        init=init,
        initial_memory=make_initial_memory(parts),
        act=make_act(parts, horizon),
        observe=observe,
        update=make_update(parts),
        reset=make_reset(parts, config.resets, init_with),
        diagnose=make_diagnose(parts),
        appraise=make_appraise(parts),
        stretches=stretches(config.agent),
    )


def _init(parts: Ingredients, root: Array, hp: HyperParams, key: Array) -> TrainState:
    """Fresh networks, targets equal to them, fresh optimisers and temperature."""
    actor_key, critic_key, explorer_key = jax.random.split(key, 3)
    config = parts.config
    actor, actor_stats = parts.policy.init(actor_key)
    critic, critic_stats = parts.critic.init(critic_key)
    slow_actor = config.critic.bootstrap_policy != "current"
    slow_critic = config.critic.target_network != "none"
    explorer = None
    if parts.explorer is not None:
        shift = parts.explorer.init(explorer_key)
        explorer = _learner(parts.explorer_optimizer, hp, shift, {}, False)
    return TrainState(
        root=root,
        actor=_learner(parts.actor_optimizer, hp, actor, actor_stats, slow_actor),
        critic=_learner(parts.critic_optimizer, hp, critic, critic_stats, slow_critic),
        duals=_duals(parts, hp),
        normalizers=init_observed(config, parts.observation_size),
        explorer=explorer,
    )


def _duals(parts: Ingredients, hp: HyperParams) -> dict[str, Learner]:
    """The scalars that are learned, where they start."""
    config, duals = parts.config, {}

    def add(name: str, optimizer: Optimizer, value: Array) -> None:
        duals[name] = _learner(optimizer, hp, value, {}, False)

    if config.temperature in ("alpha", "log"):
        log_alpha = jnp.log(jnp.asarray(hp.init_temperature, jnp.float32))
        add("temperature", parts.temperature_optimizer, log_alpha)
    if config.pessimism in ERRORS:
        add("pessimism", parts.pessimism_optimizer, jnp.asarray(hp.pessimism, jnp.float32))
    if parts.explorer is not None:
        for name, value in initial_duals(hp).items():
            add(name, parts.optimism_optimizer, value)
    return duals


def _learner(
    optimizer: Optimizer, hp: HyperParams, params: Params, stats: Stats, slow: bool
) -> Learner:
    """A network about to learn, with a slow copy of itself or without."""
    opt_state = optimizer.init(hp, params)
    return Learner(params, params if slow else None, opt_state, stats, stats if slow else {})

"""Small configurations, synthetic data and comparisons that several tests share."""

from __future__ import annotations

import copy
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rr_scale.agents.build import make_agent
from rr_scale.agents.ingredients import Ingredients, build_ingredients
from rr_scale.agents.state import Agent
from rr_scale.config import HyperParams, RunConfig
from rr_scale.engine import Engine, EngineState
from rr_scale.placement import Placement
from rr_scale.presets import preset
from rr_scale.presets.registry import with_settings
from rr_scale.types import Batch, Clock, GoalSpec, Transition

OBSERVATION_SIZE, ACTION_SIZE, BATCH_SIZE, CAPACITY = 3, 2, 8, 32
# What hindsight takes observations for; nothing else looks at it.
GOAL = GoalSpec(1, "dense", 0.5)

_TINY = {
    "agent.actor.network.hidden": (16,),
    "agent.critic.network.hidden": (16,),
    "agent.explorer.network.hidden": (16,),
    # Without QR, programs compile in half the time.
    "agent.actor.network.initializer": "fan_in_uniform",
    "agent.critic.network.initializer": "fan_in_uniform",
    "agent.explorer.network.initializer": "fan_in_uniform",
    "replay.batch_size": BATCH_SIZE,
    "max_steps": 1000,
    "start_training": BATCH_SIZE,
}

# For comparisons with restatements: steps so large that 1e-5 is a small part of them, and an
# epsilon that keeps Adam's first step from dividing rounding errors by themselves.
LARGE_STEPS = {
    "hp.actor_lr": 0.01,
    "hp.critic_lr": 0.02,
    "hp.temperature_lr": 0.03,
    "hp.tau": 0.1,
    "hp.init_temperature": 0.3,
    "hp.adam_eps": 1e-3,
}

# Clips, decays and the like are structure only in being there at all.
_STRUCTURAL = [
    f"{part}_{name}"
    for part in ("actor", "critic")
    for name in ("max_grad_norm", "weight_decay", "b1", "b2")
] + ["temperature_b1", "temperature_b2", "dual_b1", "dual_b2", "lr_warmup"]


def tiny(name: str = "sac", values: dict[str, Any] | None = None) -> RunConfig:
    """A preset with networks and batches small enough for tests."""
    return with_settings(preset(name), {**_TINY, **(values or {})})


def agent_of(config: RunConfig) -> Agent:
    """The agent for the observations and actions of this module."""
    return make_agent(config, OBSERVATION_SIZE, ACTION_SIZE)


def parts_of(config: RunConfig) -> Ingredients:
    """What that agent is assembled from."""
    return build_ingredients(config, OBSERVATION_SIZE, ACTION_SIZE, config.schedule_horizon)


def new_engine(
    config: RunConfig,
    hps: list[HyperParams],
    capacity: int = CAPACITY,
    placement: Placement | None = None,
) -> Engine:
    """An engine whose programs nobody has compiled yet."""
    sizes = (capacity, OBSERVATION_SIZE, ACTION_SIZE)
    return Engine(agent_of(config), hps, config.replay, *sizes, placement, goal=GOAL)


@functools.cache
def _compiled(config: RunConfig, lanes: int, capacity: int) -> Engine:
    return new_engine(config, [config.hp] * lanes, capacity)


def engine_of(config: RunConfig, hps: list[HyperParams] | int = 1, capacity: int = CAPACITY):
    """An engine that shares its compiled programs with others of the same structure.

    Hyper-parameters are arguments of the programs, so engines that differ in
    nothing else need no compilation of their own.
    """
    hps = [config.hp] * hps if isinstance(hps, int) else hps
    structural = HyperParams(**{name: getattr(config.hp, name) for name in _STRUCTURAL})
    config = dataclasses.replace(config, hp=structural, preset="", updates_per_step=1.0)
    config = with_settings(config, {"replay.capacity": capacity})
    engine = copy.copy(_compiled(config, len(hps), capacity))
    engine.hp = engine.stack(hps)
    return engine


def act(
    engine: Engine,
    state: EngineState,
    observation: np.ndarray,
    now: Clock,
    mode: str,
    begins: np.ndarray | None = None,
) -> tuple[np.ndarray, EngineState]:
    """Actions of all lanes [S, A] as NumPy; no lane begins an episode unless `begins` says so."""
    begins = np.zeros(engine.num_lanes, bool) if begins is None else begins
    action, state = engine.act(state, observation, begins, now, mode)
    return engine.placement.to_host(action), state


def traced(hp: HyperParams) -> HyperParams:
    """Hyper-parameters of one lane as float32 scalars."""
    return jax.tree.map(jnp.float32, hp)


def clock(env_step: int, update: int = 0, since_reset: int = 0) -> Clock:
    """With the dtypes that the loop uses."""
    return Clock(np.int32(env_step), np.int32(update), np.int32(since_reset))


def make_rows(steps: int, lanes: int, seed: int = 0) -> Transition:
    """Random transitions, leaves [steps, S, ...]; lane k does not depend on S."""
    lane_rows = []
    for lane in range(lanes):
        rng = np.random.default_rng([seed, lane])
        lane_rows.append(
            Transition(
                observation=rng.normal(size=(steps, OBSERVATION_SIZE)).astype(np.float32),
                action=rng.uniform(-1, 1, (steps, ACTION_SIZE)).astype(np.float32),
                reward=rng.normal(size=steps).astype(np.float32),
                terminated=rng.uniform(size=steps) < 0.1,
                truncated=rng.uniform(size=steps) < 0.1,
                next_observation=rng.normal(size=(steps, OBSERVATION_SIZE)).astype(np.float32),
            )
        )
    return jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *lane_rows)


def select(tree: Any, index: Any) -> Any:
    """Every leaf indexed by `index`."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def make_batch(seed: int = 0, size: int = BATCH_SIZE) -> Batch:
    """A random batch for one lane, weights included."""
    rng = np.random.default_rng(seed)
    batch = Batch(
        observation=rng.normal(size=(size, OBSERVATION_SIZE)),
        action=rng.uniform(-1, 1, (size, ACTION_SIZE)),
        reward=rng.normal(size=size),
        discount=np.where(rng.uniform(size=size) < 0.2, 0.0, 0.9),
        next_observation=rng.normal(size=(size, OBSERVATION_SIZE)),
        weight=rng.uniform(0.5, 1.5, size),
    )
    return jax.tree.map(jnp.float32, batch)


def fill(engine: Engine, state: EngineState, rows: Transition) -> EngineState:
    """Stores rows [T, S, ...] without updating anything."""
    for step in range(len(rows.reward)):
        state = engine.step(state, select(rows, step), clock(step + 1), 0)
    return state


def train(
    engine: Engine, state: EngineState, rows: Transition, updates_per_step: int, update: int = 0
) -> EngineState:
    """Stores rows [T, S, ...], with `updates_per_step` updates after each."""
    for step in range(len(rows.reward)):
        now = clock(step + 1, update, update)
        state = engine.step(state, select(rows, step), now, updates_per_step)
        update += updates_per_step
    return state


def host(tree: Any) -> Any:
    """A copy in NumPy arrays; typed keys as their integers. Survives donation."""

    def copied(leaf: Any) -> np.ndarray:
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        return np.array(leaf)

    return jax.tree.map(copied, tree)


def named(tree: Any) -> dict[str, np.ndarray]:
    """Path -> leaf."""
    leaves = jax.tree_util.tree_flatten_with_path(host(tree))[0]
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def assert_identical(left: Any, right: Any) -> None:
    """Same leaves, dtypes and bits."""
    left, right = named(left), named(right)
    assert list(left) == list(right)
    for name, leaf in left.items():
        assert leaf.dtype == right[name].dtype, name
        np.testing.assert_array_equal(leaf, right[name], err_msg=name)


def assert_close(left: Any, right: Any, tolerance: float) -> None:
    """Integers and booleans equal, floats within an absolute and relative tolerance."""
    left, right = named(left), named(right)
    assert list(left) == list(right)
    for name, leaf in left.items():
        if np.issubdtype(leaf.dtype, np.floating):
            np.testing.assert_allclose(
                leaf, right[name], rtol=tolerance, atol=tolerance, err_msg=name
            )
        else:
            np.testing.assert_array_equal(leaf, right[name], err_msg=name)


def changed(before: Any, after: Any) -> set[str]:
    """Paths of the leaves that differ in any bit."""
    before, after = named(before), named(after)
    assert list(before) == list(after)
    return {name for name in before if not np.array_equal(before[name], after[name])}


class Compilations:
    """How many programs jax compiles while it counts."""

    def __init__(self):
        self.count = 0
        self._on = True
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event, duration, **_):
        if self._on and event == "/jax/core/compile/backend_compile_duration":
            self.count += 1

    def stop(self):
        self._on = False

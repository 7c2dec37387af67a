"""The compiled programs of a run: one agent mapped over lanes, scanned over updates.

This is the only file with a `vmap` over lanes. An environment step is two
dispatches: `act`, and `step` = observe + insert + a scan of {sample, update}.
Nothing is read back from the device between log intervals but the actions.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rr_scale.agents.state import Agent, TrainState
from rr_scale.config import HyperParams, ReplayConfig
from rr_scale.replay import rings
from rr_scale.replay.sampling import sample
from rr_scale.rng import Stream, root_key, stream_key
from rr_scale.types import Array, Clock, Mean, Metrics, Transition

# Rows read back from the device at a time: one program, whatever the number.
_BLOCK = 4096


class EngineState(NamedTuple):
    """All device state of a run; every leaf has a leading lane axis S."""

    train: TrainState
    replay: rings.AnyRing
    memory: Any
    metrics: Metrics  # sums since they were last read
    first_bad: Array  # [S] int32, first update with a non-finite number, -1 if none


class Engine:
    """Compiled programs over S lanes; holds no state of its own.

    Args:
      agent: the algorithm, for one lane.
      hps: hyper-parameters, one set per lane.
      replay: storage, batch size, n-step and bootstrapping.
      capacity: rows per lane of the ring.
      observation_size, action_size: O and A.
    """

    def __init__(
        self,
        agent: Agent,
        hps: list[HyperParams],
        replay: ReplayConfig,
        capacity: int,
        observation_size: int,
        action_size: int,
    ):
        self._agent = agent
        self._replay = replay
        self._sizes = (capacity, observation_size, action_size)
        self.hp = jax.tree.map(lambda *values: jnp.asarray(values, jnp.float32), *hps)
        self.num_lanes = len(hps)
        self._init = jax.jit(self._init_lanes)
        self._act = jax.jit(self._act_lanes, static_argnames="mode")
        self._step = jax.jit(self._step_lanes, static_argnames="num_updates", donate_argnums=1)
        self._reset = jax.jit(self._reset_lanes, static_argnames="rule", donate_argnums=1)
        self._evaluate = jax.jit(self._evaluate_lanes)
        self._finite = jax.jit(_finite_lanes)
        self._rows = jax.jit(_read_rows)

    def init(self, seeds: list[int]) -> EngineState:
        """Fresh agents, empty replay."""
        return self._init(self.hp, self._roots(seeds))

    def shapes(self, seeds: list[int]) -> EngineState:
        """What `init` would give, as shapes and dtypes only."""
        return jax.eval_shape(self._init, self.hp, self._roots(seeds))

    def rows(self, state: EngineState, start: int, stop: int) -> dict[str, np.ndarray]:
        """The rows with insertion index in [start, stop), fields [S, stop - start, ...]."""
        blocks = []
        for first in range(start, stop, _BLOCK):
            block = jax.device_get(self._rows(state.replay, np.int32(first)))
            blocks.append(jax.tree.map(lambda x, n=stop - first: x[:, :n], block))
        return jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *blocks)._asdict()

    @staticmethod
    def _roots(seeds: list[int]) -> Array:
        return jnp.stack([root_key(seed) for seed in seeds])

    def act(
        self, state: EngineState, observation: np.ndarray, clock: Clock, mode: str
    ) -> tuple[np.ndarray, EngineState]:
        """Actions [S, A] for observations [S, O]; waits for them."""
        action, memory = self._act(
            self.hp, state.train, state.memory, observation, clock, mode=mode
        )
        return np.asarray(action), state._replace(memory=memory)

    def step(
        self, state: EngineState, transition: Transition, clock: Clock, num_updates: int
    ) -> EngineState:
        """Stores one transition per lane, then does `num_updates` updates. Consumes `state`.

        Args:
          state: donated; do not use it afterwards.
          transition: leaves [S, ...].
          clock: env_step counts this transition; update is the index of the
            first update to be done.
          num_updates: compiled once per value.
        """
        return self._step(self.hp, state, transition, clock, num_updates=num_updates)

    def reset(self, state: EngineState, rule: int, firing: int) -> EngineState:
        """Applies reset rule number `rule` to every lane. Consumes `state`."""
        return self._reset(self.hp, state, np.int32(firing), rule=rule)

    def evaluate(self, state: EngineState, observation: np.ndarray) -> np.ndarray:
        """Deterministic actions [S, E, A] for observations [S, E, O]."""
        return np.asarray(self._evaluate(self.hp, state.train, observation))

    def finite(self, state: EngineState) -> np.ndarray:
        """Whether all parameters of each lane are finite, [S] bool."""
        return np.asarray(self._finite(state.train))

    def read_metrics(self, state: EngineState) -> tuple[dict[str, np.ndarray], EngineState]:
        """Means [S] since the last reading, of what was computed, and zeroed sums."""
        host = jax.device_get(state.metrics)
        means = {k: mean.total / mean.terms for k, mean in host.items() if mean.terms.all()}
        return means, state._replace(metrics=jax.tree.map(jnp.zeros_like, state.metrics))

    def _init_lanes(self, hp: HyperParams, roots: Array) -> EngineState:
        # Lane after lane: see nets.build on batched QR.
        train = jax.lax.map(lambda pair: self._agent.init(pair[0], pair[1]), (roots, hp))
        num_lanes = self.num_lanes

        def tile(x: Array) -> Array:
            return jnp.broadcast_to(x, (num_lanes, *x.shape))

        ring = jax.tree.map(tile, rings.empty(self._replay.storage, *self._sizes))
        memory = jax.tree.map(tile, self._agent.initial_memory())
        metrics = {name: Mean(tile(jnp.zeros(())), tile(jnp.zeros(()))) for name in self._names()}
        return EngineState(train, ring, memory, metrics, jnp.full(num_lanes, -1, jnp.int32))

    def _names(self) -> list[str]:
        """Names of the metrics that an update reports, without running one."""

        def feedback() -> Metrics:
            hp = jax.tree.map(lambda x: x[0], self.hp)
            train = self._agent.init(root_key(0), hp)
            ring = rings.empty(self._replay.storage, 1, *self._sizes[1:])
            batch = sample(ring, root_key(0), hp.discount, self._replay)
            clock = Clock(jnp.int32(0), jnp.int32(0), jnp.int32(0))
            return self._agent.update(hp, train, {"train": batch}, clock)[1].metrics

        return list(jax.eval_shape(feedback))

    def _act_lanes(
        self, hp: HyperParams, train: TrainState, memory: Any, obs: Array, clock: Clock, mode: str
    ) -> tuple[Array, Any]:
        act = partial(self._agent.act, clock=clock, mode=mode)
        return jax.vmap(act)(hp, train, memory, obs)

    def _evaluate_lanes(self, hp: HyperParams, train: TrainState, obs: Array) -> Array:
        zero = jnp.int32(0)

        def one(hp: HyperParams, train: TrainState, obs: Array) -> Array:
            return self._agent.act(hp, train, (), obs, Clock(zero, zero, zero), "evaluate")[0]

        return jax.vmap(one)(hp, train, obs)

    def _step_lanes(
        self,
        hp: HyperParams,
        state: EngineState,
        transition: Transition,
        clock: Clock,
        num_updates: int,
    ) -> EngineState:
        episode_end = transition.terminated | transition.truncated
        train = jax.vmap(self._agent.observe)(hp, state.train, transition, episode_end)
        replay = jax.vmap(rings.insert)(state.replay, transition)
        memory = jax.vmap(self._restart_memory)(state.memory, episode_end)
        state = state._replace(train=train, replay=replay, memory=memory)
        if num_updates == 0:
            return state

        def body(carry: tuple, index: Array) -> tuple[tuple, None]:
            train, metrics, first_bad = carry
            now = Clock(clock.env_step, clock.update + index, clock.since_reset + index)

            def one(hp: HyperParams, train: TrainState, ring: rings.AnyRing) -> tuple:
                key = stream_key(train.root, Stream.REPLAY, now.update)
                batch = sample(ring, key, hp.discount, self._replay)
                return self._agent.update(hp, train, {"train": batch}, now)

            train, feedback = jax.vmap(one)(hp, train, replay)
            totals = sum(mean.total for mean in feedback.metrics.values())
            bad = ~jnp.isfinite(totals) & (first_bad < 0)
            first_bad = jnp.where(bad, now.update, first_bad)
            metrics = jax.tree.map(jnp.add, metrics, feedback.metrics)
            return (train, metrics, first_bad), None

        carry = (state.train, state.metrics, state.first_bad)
        (train, metrics, first_bad), _ = jax.lax.scan(body, carry, jnp.arange(num_updates))
        return state._replace(train=train, metrics=metrics, first_bad=first_bad)

    def _restart_memory(self, memory: Any, episode_end: Array) -> Any:
        return jax.tree.map(
            lambda fresh, old: jnp.where(episode_end, fresh, old),
            self._agent.initial_memory(),
            memory,
        )

    def _reset_lanes(
        self, hp: HyperParams, state: EngineState, firing: Array, rule: int
    ) -> EngineState:
        def one(pair: tuple[HyperParams, TrainState]) -> TrainState:
            return self._agent.reset(pair[0], pair[1], rule, firing)

        return state._replace(train=jax.lax.map(one, (hp, state.train)))


def _read_rows(replay: rings.AnyRing, start: Array) -> Transition:
    capacity = replay.rows.reward.shape[1]
    index = (start + jnp.arange(_BLOCK)) % capacity
    return jax.vmap(rings.read, in_axes=(0, None))(replay, index)


def _finite_lanes(train: TrainState) -> Array:
    learners = (train.actor, train.critic, *train.duals.values())
    leaves = jax.tree.leaves([learner.params for learner in learners])
    return jnp.stack(
        [jnp.all(jnp.isfinite(leaf), axis=tuple(range(1, leaf.ndim))) for leaf in leaves]
    ).all(axis=0)

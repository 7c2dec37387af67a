"""The compiled programs of a run: one agent mapped over lanes, scanned over updates.

An environment step is two dispatches: `act`, and `step` = observe + insert +
a scan of {sample, update} per lane. Nothing is read back from the device
between log intervals but the actions. Only this file and `placement.py`, which
decides where lanes run, know of more than one lane: what the device holds has
a leading axis of `placement.padded` lanes, what the caller sees has S.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rr_scale.agents.state import Agent, TrainState, all_finite, policy_of
from rr_scale.config import HyperParams, ReplayConfig
from rr_scale.placement import Placement, placed
from rr_scale.replay import rings
from rr_scale.replay.lane import lane_view
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
      placement: where the lanes run; by default `placed(S)`.
    """

    def __init__(
        self,
        agent: Agent,
        hps: list[HyperParams],
        replay: ReplayConfig,
        capacity: int,
        observation_size: int,
        action_size: int,
        placement: Placement | None = None,
    ):
        self._agent = agent
        self._replay = replay
        self._sizes = (capacity, observation_size, action_size)
        self.placement = place = placement or placed(len(hps))
        self.hp = self.stack(hps)
        self._init = place.program(self._init_lanes, "LL")
        self._act = place.program(self._act_lanes, "LLLLLS", static=True)
        self._step = place.program(self._step_lanes, "LLLS", static=True, donate=1)
        self._reset = place.program(self._reset_lanes, "LLS", static=True, donate=1)
        self._policy = place.program(_copy_policy, "L")
        self._evaluate = place.program(self._evaluate_lanes, "LLL")
        self._finite = place.program(jax.vmap(all_finite), "L")
        self._rows = place.program(_read_rows, "LS")

    @property
    def num_lanes(self) -> int:
        """S."""
        return self.placement.num_lanes

    def stack(self, hps: list[HyperParams]) -> HyperParams:
        """One set of hyper-parameters per lane, as the programs take them."""
        stacked = jax.tree.map(lambda *values: np.array(values, np.float32), *hps)
        return self.placement.to_device(stacked)

    def init(self, seeds: list[int]) -> EngineState:
        """Fresh agents, empty replay."""
        return self._init(self.hp, self._roots(seeds))

    def shapes(self, seeds: list[int]) -> EngineState:
        """What `init` would give, as shapes and dtypes only."""
        return jax.eval_shape(self._init, self.hp, self._roots(seeds))

    def _roots(self, seeds: list[int]) -> Array:
        return jnp.stack([root_key(seed) for seed in self.placement.pad(np.array(seeds)).tolist()])

    def act(
        self,
        state: EngineState,
        observation: np.ndarray,
        begins: np.ndarray,
        clock: Clock,
        mode: str,
    ) -> tuple[Array, EngineState]:
        """Actions for observations [S, O]; `to_host` waits for them.

        Args:
          state: not consumed.
          observation: [S, O].
          begins: whether it is the first of an episode [S].
          clock: env_step counts the steps before this one.
          mode: warmup or explore; compiled once per value.
        """
        observation, begins = self.placement.pad(observation), self.placement.pad(begins)
        action, memory = self._act(
            self.hp, state.train, state.memory, observation, begins, clock, mode
        )
        return action, state._replace(memory=memory)

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
        transition = jax.tree.map(self.placement.pad, transition)
        return self._step(self.hp, state, transition, clock, num_updates)

    def reset(self, state: EngineState, rule: int, firing: int) -> EngineState:
        """Applies reset rule number `rule` to every lane. Consumes `state`."""
        return self._reset(self.hp, state, np.int32(firing), rule)

    def policy(self, state: EngineState) -> TrainState:
        """A copy of what `evaluate` needs; the steps that follow leave it alone."""
        return self._policy(state.train)

    def evaluate(self, policy: TrainState, observation: np.ndarray) -> np.ndarray:
        """Deterministic actions [S, E, A] for observations [S, E, O]."""
        observation = self.placement.pad(observation)
        return self.placement.to_host(self._evaluate(self.hp, policy, observation))

    def finite(self, state: EngineState) -> np.ndarray:
        """Whether all parameters of each lane are finite, [S] bool."""
        return self.placement.to_host(self._finite(state.train))

    def rows(self, state: EngineState, start: int, stop: int) -> dict[str, np.ndarray]:
        """The rows with insertion index in [start, stop), fields [S, stop - start, ...]."""
        blocks = []
        for first in range(start, stop, _BLOCK):
            block = self.placement.to_host(self._rows(state.replay, np.int32(first)))
            blocks.append(jax.tree.map(lambda x, n=stop - first: x[:, :n], block))
        if not blocks:
            return {}
        return jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *blocks)._asdict()

    def read_metrics(self, state: EngineState) -> tuple[dict[str, np.ndarray], EngineState]:
        """Means [S] since the last reading, of what was computed, and zeroed sums."""
        host = self.placement.to_host(state.metrics)
        means = {k: mean.total / mean.terms for k, mean in host.items() if mean.terms.all()}
        zeros = self.placement.to_device(jax.tree.map(np.zeros_like, host))
        return means, state._replace(metrics=zeros)

    def _init_lanes(self, hp: HyperParams, roots: Array) -> EngineState:
        # Lane after lane: see nets.build on batched QR.
        train = jax.lax.map(lambda pair: self._agent.init(pair[0], pair[1]), (roots, hp))
        num_lanes = self.placement.per_device

        def tile(x: Array) -> Array:
            return jnp.broadcast_to(x, (num_lanes, *x.shape))

        ring = jax.tree.map(tile, rings.empty(self._replay.storage, *self._sizes))
        memory = jax.tree.map(tile, self._agent.initial_memory())
        metrics = {name: Mean(tile(jnp.zeros(())), tile(jnp.zeros(()))) for name in self._names(hp)}
        return EngineState(train, ring, memory, metrics, jnp.full(num_lanes, -1, jnp.int32))

    def _names(self, hps: HyperParams) -> list[str]:
        """Names of the metrics that an update reports, without running one."""

        def feedback() -> Metrics:
            hp = jax.tree.map(lambda x: x[0], hps)
            train = self._agent.init(root_key(0), hp)
            ring = rings.empty(self._replay.storage, 1, *self._sizes[1:])
            batch = sample(ring, root_key(0), hp.discount, self._replay)
            clock = Clock(jnp.int32(0), jnp.int32(0), jnp.int32(0))
            return self._agent.update(hp, train, {"train": batch}, clock)[1].metrics

        return list(jax.eval_shape(feedback))

    def _act_lanes(
        self,
        hp: HyperParams,
        train: TrainState,
        memory: Any,
        obs: Array,
        begins: Array,
        clock: Clock,
        mode: str,
    ) -> tuple[Array, Any]:
        memory = jax.vmap(self._restart_memory)(memory, begins)
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
        state = state._replace(train=train, replay=replay)
        if num_updates == 0:
            return state

        count: int | Array = num_updates
        if num_updates == 1 and self.placement.platform == "cpu":
            # A loop over one update would be no loop any more when it is
            # compiled, and be fused with what is around it: other bits.
            count = jnp.where(clock.update < 0, 0, 1)

        def one(lane: Array, hp: HyperParams, *carry: Any) -> tuple:
            ring = lane_view(replay, lane)

            def update(index: Array, carry: tuple) -> tuple:
                train, metrics, first_bad = carry
                now = Clock(clock.env_step, clock.update + index, clock.since_reset + index)
                key = stream_key(train.root, Stream.REPLAY, now.update)
                batch = sample(ring, key, hp.discount, self._replay)
                train, feedback = self._agent.update(hp, train, {"train": batch}, now)
                totals = sum(mean.total for mean in feedback.metrics.values())
                bad = ~jnp.isfinite(totals) & (first_bad < 0)
                first_bad = jnp.where(bad, now.update, first_bad)
                return train, jax.tree.map(jnp.add, metrics, feedback.metrics), first_bad

            def learn(carry: tuple) -> tuple:
                return jax.lax.fori_loop(0, count, update, carry)

            if self.placement.has_idle_lanes:
                # A copy that only fills a device would keep it from helping the others.
                real = self.placement.index(lane) < self.num_lanes
                return jax.lax.cond(real, learn, lambda carry: carry, carry)
            return learn(carry)

        lanes = jnp.arange(self.placement.per_device)
        learned = self.placement.map(one, lanes, hp, train, state.metrics, state.first_bad)
        train, metrics, first_bad = learned
        return state._replace(train=train, metrics=metrics, first_bad=first_bad)

    def _restart_memory(self, memory: Any, begins: Array) -> Any:
        return jax.tree.map(
            lambda fresh, old: jnp.where(begins, fresh, old),
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


def _copy_policy(train: TrainState) -> TrainState:
    # Copied inside a program: an argument that is returned as it is would be
    # the very buffer that the next step overwrites.
    return jax.tree.map(jnp.copy, policy_of(train))

"""The compiled programs of a run: one agent mapped over lanes, scanned over updates.

An environment step is two dispatches: `act`, and `step` = observe + insert +
a scan of {sample, update} per lane. Nothing is read back from the device
between log intervals but the actions. Only the files `engine*.py` and
`placement.py`, which decides where lanes run, know of more than one lane: what
the device holds has a leading axis of `placement.padded` lanes, what the caller
sees has S.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rr_scale.agents.state import Agent, TrainState, all_finite
from rr_scale.config import HyperParams, ReplayConfig
from rr_scale.engine_reader import ReplayReader
from rr_scale.engine_state import EngineState, copy_policy, store
from rr_scale.engine_watch import Watch
from rr_scale.learn import Learning, learn, metric_names, reset_lane
from rr_scale.placement import Placement, placed
from rr_scale.replay import rings
from rr_scale.replay.lane import lane_view
from rr_scale.replay.priorities import Priorities
from rr_scale.replay.sampler import Sampler
from rr_scale.replay.sumtree import Tree
from rr_scale.rng import root_key
from rr_scale.rounds import Rounds, rounds_of
from rr_scale.types import Array, Clock, GoalSpec, Mean, Transition


class Engine:
    """Compiled programs over S lanes; holds no state of its own.

    Args:
      agent: the algorithm, for one lane.
      hps: hyper-parameters, one set per lane.
      replay: storage, batch size, n-step and bootstrapping.
      capacity: rows per lane of the ring.
      observation_size, action_size: O and A.
      placement: where the lanes run; by default `placed(S)`.
      schedule_horizon: env steps over which importance weights are annealed.
      goal: of the task, if it has goals.
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
        schedule_horizon: int = 1,
        goal: GoalSpec | None = None,
    ):
        self._agent = agent
        self._replay = replay
        self.sampler = Sampler(replay, schedule_horizon, goal)
        self._sizes = (capacity, observation_size, action_size)
        self.placement = place = placement or placed(len(hps))
        self.hp = self.stack(hps)
        self.watch = Watch(agent, self.sampler, place)
        self.reader = ReplayReader(capacity, place)
        self._init = place.program(self._init_lanes, "LL")
        self._act = place.program(self._act_lanes, "LLLLLS", static=True)
        self._step = place.program(self._step_lanes, "LLLS", static=True, donate=1)
        self._reset = place.program(self._reset_lanes, "LLS", static=True, donate=1)
        self._policy = place.program(copy_policy, "L")
        self._evaluate = place.program(self._evaluate_lanes, "LLL")
        self._finite = place.program(jax.vmap(all_finite), "L")

    @cached_property
    def _metrics(self) -> list[str]:
        """Names of the metrics that `EngineState` adds up."""
        return metric_names(self._agent, self.sampler, self._replay.storage, self._sizes, self.hp)

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

    def lowered_step(
        self, seeds: list[int], transition: Transition, clock: Clock, num_updates: int
    ) -> jax.stages.Lowered:
        """The program of a first `step`, on its way to the compiler; takes shapes only."""
        rounds = self._rounds(0, num_updates)
        return self._step.lower(self.hp, self.shapes(seeds), transition, clock, rounds)

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
          num_updates: compiled once per value; on an accelerator up to three
            times, where delayed steps fall on different ones of the updates.
        """
        transition = jax.tree.map(self.placement.pad, transition)
        rounds = self._rounds(int(clock.update), num_updates)
        return self._step(self.hp, state, transition, clock, rounds)

    def _rounds(self, first: int, num_updates: int) -> Rounds:
        # A CPU waits for nobody, and there a scan has the bits of its updates one by one.
        known = self.placement.platform != "cpu"
        return rounds_of(self._agent.stretches, first, num_updates, known)

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

    def read_metrics(self, state: EngineState) -> tuple[dict[str, np.ndarray], EngineState]:
        """Means [S] since the last reading, of what was computed, and zeroed sums."""
        host = self.placement.to_host(state.metrics)
        means = {
            name: total / terms
            for name, total, terms in zip(self._metrics, host.total.T, host.terms.T, strict=True)
            if terms.all()
        }
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
        zeros = jnp.zeros(len(self._metrics))
        metrics = jax.tree.map(tile, Mean(zeros, zeros))
        sampler = jax.tree.map(tile, self.sampler.empty(self._sizes[0]))
        first_bad = jnp.full(num_lanes, -1, jnp.int32)
        return EngineState(train, ring, memory, metrics, first_bad, sampler)

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
        rounds: Rounds,
    ) -> EngineState:
        episode_end = transition.terminated | transition.truncated
        train = jax.vmap(self._agent.observe)(hp, state.train, transition, episode_end)
        state = store(self.sampler, state, transition)._replace(train=train)
        replay, sampler = state.replay, state.sampler
        if rounds.total == 0:
            return state

        if rounds.count == 1 and self.placement.platform == "cpu":
            # A loop over one round would be no loop any more when it is
            # compiled, and be fused with what is around it: other bits.
            rounds = rounds._replace(count=jnp.where(clock.update < 0, 0, 1))

        def one(lane: Array, hp: HyperParams, before: Learning) -> Learning:
            ring = lane_view(replay, lane)
            known = lane_view(sampler._replace(priorities=None), lane)

            def updates(before: Learning) -> Learning:
                return learn(self._agent, self.sampler, hp, ring, known, before, clock, rounds)

            if self.placement.has_idle_lanes:
                # A copy that only fills a device would keep it from helping the others.
                real = self.placement.index(lane) < self.num_lanes
                return jax.lax.cond(real, updates, lambda before: before, before)
            return updates(before)

        def with_tree(
            nodes: Array, start: Array, lane: Array, hp: HyperParams, before: Learning
        ) -> tuple[Array, Learning]:
            learned = one(lane, hp, before._replace(tree=Tree(nodes, jnp.int32(start))))
            return learned.tree.nodes, learned._replace(tree=None)

        lanes = jnp.arange(self.placement.per_device)
        before = Learning(train, state.metrics, state.first_bad, None, None)
        if sampler.priorities is None:
            learned = self.placement.map(one, lanes, hp, before)
        else:
            nodes, highest = sampler.priorities
            before = before._replace(highest=highest)
            nodes, learned = self.placement.map_in_place(with_tree, nodes, lanes, hp, before)
            sampler = sampler._replace(priorities=Priorities(nodes, learned.highest))
        return state._replace(
            train=learned.train,
            metrics=learned.metrics,
            first_bad=learned.first_bad,
            sampler=sampler,
        )

    def _restart_memory(self, memory: Any, begins: Array) -> Any:
        return jax.tree.map(
            lambda fresh, old: jnp.where(begins, fresh, old),
            self._agent.initial_memory(),
            memory,
        )

    def _reset_lanes(
        self, hp: HyperParams, state: EngineState, firing: Array, rule: int
    ) -> EngineState:
        known = state.sampler
        one = partial(reset_lane, self._agent, self.sampler, state.replay, known, rule, firing)
        lanes = jnp.arange(self.placement.per_device)
        return state._replace(train=jax.lax.map(one, (lanes, hp, state.train)))

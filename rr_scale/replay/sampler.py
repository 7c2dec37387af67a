"""How a lane draws its batches, assembled from a configuration as functions for one lane.

What a sampler knows beside the ring is in `SamplerState`. Drawing all rows
alike needs nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rr_scale.config import HyperParams, ReplayConfig
from rr_scale.replay import episodes, hindsight, priorities, routing, sumtree
from rr_scale.replay.episodes import Episodes
from rr_scale.replay.priorities import Priorities, Span
from rr_scale.replay.rings import AnyRing
from rr_scale.replay.routing import Lists
from rr_scale.replay.sampling import form, sample
from rr_scale.replay.sumtree import Tree
from rr_scale.rng import Stream, stream_key
from rr_scale.types import Array, Batch, Clock, GoalSpec, Transition


class SamplerState(NamedTuple):
    """Of one lane; parts that a configuration does not need are None."""

    priorities: Priorities | None = None
    episodes: Episodes | None = None
    lists: Lists | None = None


class Moves(NamedTuple):
    """Rows whose priority an insertion changes."""

    gone: Span
    come: Span
    trained: Array  # [] bool, whether those that come may be trained on


class Drawn(NamedTuple):
    """Batches by name, and where the training batch comes from."""

    batches: dict[str, Batch]
    row: Array | None  # [B], if somebody wants to know


class Sampler:
    """Pure functions for one lane.

    Args:
      config: batch size, n-step, and how rows are drawn.
      schedule_horizon: env steps over which importance weights are annealed.
      goal: of the task, if it has goals; needed for hindsight.
    """

    NEEDED = ("terminated", "truncated", "episode", "step", "validation")
    """Fields of rows from which `refill` makes what it can."""

    def __init__(self, config: ReplayConfig, schedule_horizon: int, goal: GoalSpec | None):
        self._config = config
        self._horizon = schedule_horizon
        self._goal = goal
        self._rule = priorities.RULES.get(config.sampling)
        self._relabels = config.hindsight != "none"
        self._routes = config.validation_share > 0
        # Rows whose priority changes at a time. An insertion touches the new
        # one and three that went, or, where whole episodes count, theirs.
        self._width = 64 if self._relabels else 4

    @property
    def learns(self) -> bool:
        """Whether what updates find out matters to later draws."""
        return self._rule is not None

    def empty(self, capacity: int) -> SamplerState:
        """Of a ring without rows."""
        return SamplerState(
            priorities.empty(capacity) if self._rule else None,
            episodes.empty(capacity) if self._relabels or self._routes else None,
            routing.empty(capacity) if self._routes else None,
        )

    def insert(
        self,
        state: SamplerState,
        before: AnyRing,
        after: AnyRing,
        transition: Transition,
        root: Array,
    ) -> tuple[SamplerState, Moves | None]:
        """Notes that the ring `before` became the ring `after`; `move` is to follow.

        Args:
          state: of the lane.
          before, after: the ring, without and with the row.
          transition: the row.
          root: the lane's key.
        """
        if state.episodes is None and state.priorities is None:
            return state, None
        first, last = self._drawable(state.episodes, before)
        trained: Array = jnp.bool_(True)
        if state.lists is not None and state.episodes is not None:
            share = self._config.validation_share
            trained = ~routing.is_kept(root, state.episodes.current, share)
        if state.episodes is not None:
            end = transition.terminated | transition.truncated
            state = state._replace(episodes=episodes.insert(state.episodes, before.cursor, end))
        new_first, new_last = self._drawable(state.episodes, after)
        # From here on all offsets are from the cursor before.
        new_first, new_last = new_first + 1, new_last + 1
        last = jnp.maximum(last, new_first)
        if state.lists is not None:
            lists = routing.insert(state.lists, before.cursor, ~trained, new_first)
            state = state._replace(lists=lists)
        if state.priorities is None:
            return state, None
        capacity = before.rows.reward.shape[0]
        gone = Span((before.cursor + first) % capacity, new_first - first)
        come = Span((before.cursor + last) % capacity, new_last - last)
        return state, Moves(gone, come, trained)

    def _drawable(self, known: Episodes | None, ring: AnyRing) -> tuple[Array, Array]:
        """From where to where rows may be drawn, as offsets from the ring's cursor."""
        if self._relabels and known is not None:
            return episodes.whole(known, ring)
        return -ring.size, jnp.zeros_like(ring.size)

    def rounds(self, moves: Moves) -> Any:
        """How often `move` has to work for all lanes [L, ...]; one number for all of them."""
        if not self._relabels:
            return 1
        longest = jnp.maximum(jnp.max(moves.gone.length), jnp.max(moves.come.length))
        return -(-longest // self._width)

    def move(self, state: SamplerState, moves: Moves, capacity: int, rounds: Any) -> SamplerState:
        """Gives and takes priorities as an insertion asks for it."""
        assert state.priorities is not None
        moved = priorities.move(
            state.priorities, capacity, moves.gone, moves.come, moves.trained, self._width, rounds
        )
        return state._replace(priorities=moved)

    def draw(
        self,
        hp: HyperParams,
        ring: AnyRing,
        state: SamplerState,
        tree: Tree | None,
        root: Array,
        clock: Clock,
        source: Array | None = None,
    ) -> Drawn:
        """The batches of one update.

        Args:
          hp: of the lane.
          ring: of the lane.
          state: without its priorities.
          tree: of the lane, where priorities are to count.
          root: the lane's key.
          clock: of the update.
          source: key in place of `root` for what is drawn.
        """
        source = root if source is None else source
        key = stream_key(source, Stream.REPLAY, clock.update)
        if state.episodes is None and tree is None:
            return Drawn({"train": sample(ring, key, hp.discount, self._config)}, None)
        size, capacity = self._config.batch_size, ring.rows.reward.shape[0]
        goal_key = jax.random.fold_in(key, 1)
        if tree is not None:
            row = sumtree.draw(tree, capacity, key, size)
        else:
            row = self._alike(ring, state, root, key)
        batch = self._form(hp, ring, state, row, goal_key)
        if tree is not None and self._rule is not None:
            passed = jnp.clip(clock.env_step / self._horizon, 0.0, 1.0)
            leaf = sumtree.leaf(tree, capacity, row)
            batch = batch._replace(weight=self._rule.weight(hp, leaf, passed))
        batches = {"train": batch}
        if state.lists is not None:
            key = stream_key(source, Stream.VALIDATION, clock.update)
            batches["validation"] = self._validation(hp, ring, state, root, key)
        return Drawn(batches, row)

    def look(
        self, hp: HyperParams, ring: AnyRing, state: SamplerState, root: Array, firing: Array
    ) -> Batch:
        """Training rows to judge units by, all alike; `firing` counts the resets before."""
        key = stream_key(root, Stream.RECYCLE, firing)
        if state.episodes is None:
            return sample(ring, key, hp.discount, self._config)
        key, goal_key = jax.random.split(key)
        return self._form(hp, ring, state, self._alike(ring, state, root, key), goal_key)

    def _alike(self, ring: AnyRing, state: SamplerState, root: Array, key: Array) -> Array:
        """Training rows [B], each as likely as the others."""
        size, capacity = self._config.batch_size, ring.rows.reward.shape[0]
        if state.lists is not None:
            return routing.draw(state.lists.train, self._unfinished(state, root, 0), key, size)[0]
        first, last = self._drawable(state.episodes, ring)
        return (ring.cursor + jax.random.randint(key, (size,), first, last)) % capacity

    def _validation(
        self, hp: HyperParams, ring: AnyRing, state: SamplerState, root: Array, key: Array
    ) -> Batch:
        """Rows of validation episodes, all alike; of weight 0 while they are not a batch."""
        assert state.lists is not None
        key, goal_key = jax.random.split(key)
        unfinished = self._unfinished(state, root, 1)
        size = self._config.batch_size
        row, among = routing.draw(state.lists.validation, unfinished, key, size)
        batch = self._form(hp, ring, state, row, goal_key)
        return batch._replace(weight=jnp.full(size, (among >= size).astype(jnp.float32)))

    def _unfinished(self, state: SamplerState, root: Array, number: int) -> Array:
        """How many of the newest entries of list `number` must wait for their episode's end."""
        known = state.episodes
        assert known is not None
        if not self._relabels:
            return jnp.zeros((), jnp.int32)
        kept = routing.is_kept(root, known.current, self._config.validation_share)
        return jnp.where(kept == bool(number), known.elapsed, 0)

    def _form(
        self, hp: HyperParams, ring: AnyRing, state: SamplerState, row: Array, key: Array
    ) -> Batch:
        if self._relabels and self._goal is not None and state.episodes is not None:
            return hindsight.form(hp, ring, state.episodes, row, key, self._config, self._goal)
        age = (row - ring.cursor + ring.size) % ring.rows.reward.shape[0]
        return form(ring, age, hp.discount, self._config)

    def feed_back(
        self,
        hp: HyperParams,
        tree: Tree,
        highest: Array,
        capacity: int,
        row: Array,
        td_error: Array,
    ) -> tuple[Tree, Array]:
        """See `priorities.feed_back`."""
        assert self._rule is not None
        return priorities.feed_back(self._rule, hp, tree, highest, capacity, row, td_error)

    def refill(
        self,
        capacity: int,
        ring_size: np.ndarray,
        rows: dict[str, np.ndarray],
        first_row: int,
        leaves: np.ndarray | None,
    ) -> SamplerState:
        """That of all lanes from a checkpoint, in NumPy; `Priorities.highest` is not known.

        Args:
          capacity: rows of the ring, perhaps more than before.
          ring_size: [S], how many of the newest rows the rings hold.
          rows: those of the fields `NEEDED` that there are [S, n] in insertion order.
          first_row: insertion index of the first of them.
          leaves: [S, n] what the rows were drawn in proportion to, or None.
        """
        count = rows["terminated"].shape[1]
        first, last = count - ring_size, np.full(len(ring_size), count)
        known, lists, tree = None, None, None
        if "episode" in rows:
            known = episodes.refill(capacity, rows, first_row)
        if known is not None and self._relabels:
            lane = np.arange(len(first))
            lost = rows["step"][lane, first]
            length = known.length[lane, rows["episode"][lane, first] % capacity]
            first, last = first + np.where(lost == 0, 0, length - lost), last - known.elapsed
        if "validation" in rows:
            lists = routing.refill(capacity, rows["validation"], first_row, first)
        if leaves is not None:
            place = np.arange(count)
            drawn = (place >= first[:, None]) & (place < last[:, None])
            nodes: Any = priorities.refill(capacity, np.where(drawn, leaves, 0.0), first_row)
            highest: Any = np.ones(len(first), np.float32)
            tree = Priorities(nodes, highest)
        return SamplerState(tree, known, lists)


def row_fields(state: SamplerState) -> dict[str, Array]:
    """What rows carry beside the transition, fields [C]; part of what is saved of them."""
    fields: dict[str, Array] = {}
    if state.episodes is not None:
        fields |= {"episode": state.episodes.episode, "step": state.episodes.step}
    if state.lists is not None:
        fields["validation"] = state.lists.kept
    return fields


def nbytes(config: ReplayConfig, capacity: int) -> int:
    """Device bytes of what the sampler of one lane knows."""
    state = jax.eval_shape(lambda: Sampler(config, 1, None).empty(capacity))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))

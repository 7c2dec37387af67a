"""Policies that a run left on disk, ready to play again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from rr_scale import configure
from rr_scale.agents.state import TrainState, policy_of
from rr_scale.config import RunConfig
from rr_scale.engine import Engine
from rr_scale.errors import UserError
from rr_scale.runfile import RunFile
from rr_scale.train.policies import flatten, load_policy
from rr_scale.train.policy_keeper import learned, with_learned
from rr_scale.types import Lane

KINDS = ("last", "best")


class SavedPolicy(NamedTuple):
    """The actor of one lane, as `policy_keeper.PolicyKeeper` wrote it."""

    lane: Lane
    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]  # env_step and value of its evaluation, and what it is the actor of


def read_policies(run: RunFile, kind: str) -> list[SavedPolicy | None]:
    """The policies of all lanes of a run [S]; None where a lane left none.

    Args:
      run: what `runfile.read_run` found.
      kind: `last` or `best`.

    Raises:
      UserError: a damaged file, one of another configuration, or none at all.
    """
    found: list[SavedPolicy | None] = []
    for lane in configure.lanes(run.config):
        path = run.save_dir / lane.folder / "policies" / f"{lane.seed}-{kind}.npz"
        if not path.exists():
            found.append(None)
            continue
        arrays, facts = load_policy(path)
        if not _fits(facts, run.config):
            raise UserError(f"{path} is of another configuration than {run.save_dir / 'run.json'}")
        found.append(SavedPolicy(lane, arrays, facts))
    if not any(found):
        raise UserError(f"{run.save_dir} holds no {kind} policy (policies/SEED-{kind}.npz)")
    return found


def _fits(facts: Mapping[str, Any], config: RunConfig) -> bool:
    """Whether a policy is of this agent and task; settings it does not know have their defaults."""
    agent = configure.from_dict({"agent": facts.get("agent", {})}).agent
    return agent == config.agent and facts.get("env_name") == config.env_name


def on_device(engine: Engine, policies: Sequence[SavedPolicy | None]) -> TrainState:
    """What `Engine.evaluate` takes, from saved policies [S].

    A lane without a policy gets that of another one, since a program has one
    shape: do not play it.

    Raises:
      UserError: arrays are missing, or of other shapes than the configuration asks for.
    """
    stand_in = next(policy for policy in policies if policy is not None)
    shapes = policy_of(engine.shapes([0] * len(policies)).train)
    lanes = [_learned(shapes, policy or stand_in) for policy in policies]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *lanes)
    return engine.placement.to_device(stacked)


def _learned(shapes: TrainState, policy: SavedPolicy) -> TrainState:
    """One lane's arrays in the structure of `shapes`, whose leaves have a lane axis."""
    expected = jax.tree.map(_of_one_lane, learned(shapes))
    wanted, found = (
        {name: (array.shape, array.dtype) for name, array in arrays.items()}
        for arrays in (flatten(expected), policy.arrays)
    )
    differing = [name for name in sorted(wanted | found) if wanted.get(name) != found.get(name)]
    if differing:
        raise UserError(
            f"the policy of {policy.lane.exp_name}, seed {policy.lane.seed}, does not fit its "
            f"configuration: {differing[0]}"
        )

    def array_at(path: tuple[jax.tree_util.DictKey, ...], _: np.ndarray) -> np.ndarray:
        return policy.arrays["/".join(part.key for part in path)]

    return with_learned(shapes, jax.tree_util.tree_map_with_path(array_at, expected))


def _of_one_lane(shape: jax.ShapeDtypeStruct) -> np.ndarray:
    # Takes no memory: all elements are one.
    return np.broadcast_to(np.zeros((), shape.dtype), shape.shape[1:])

"""From a configuration to the machinery that the loop drives."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from rr_scale.agents.build import make_agent
from rr_scale.config import RunConfig
from rr_scale.engine import Engine
from rr_scale.envs import suites
from rr_scale.envs.pool import Pool
from rr_scale.envs.spec import EnvSpec
from rr_scale.placement import placed
from rr_scale.seeds import Role, episode_seed
from rr_scale.train.budget import ring_capacity
from rr_scale.train.evaluate import Evaluator
from rr_scale.types import Lane


class Machinery(NamedTuple):
    """What computes and what simulates; the engine holds no state of its own."""

    engine: Engine
    pool: Pool
    evaluator: Evaluator


def assemble(
    config: RunConfig, lanes: tuple[Lane, ...], spec: EnvSpec, schedule_horizon: int
) -> Machinery:
    """Builds engine, training environments and evaluator of a run.

    Args:
      config: resolved and valid.
      lanes: all lanes.
      spec: of the task.
      schedule_horizon: env steps over which schedules run.

    Raises:
      UserError: there are fewer devices than the configuration asks for.
    """
    engine = build_engine(config, lanes, spec, schedule_horizon, config.devices)
    # Not a closure: workers get it by the names of its parts.
    make_env = partial(suites.make, config.env_name, config.action_repeat)
    seeds = [lane.seed for lane in lanes]
    pool = Pool(make_env, seeds, _training_seed, config.env_workers)
    evaluator = Evaluator(
        make_env, seeds, config.eval_episodes, config.eval_envs, config.env_workers
    )
    return Machinery(engine, pool, evaluator)


def build_engine(
    config: RunConfig,
    lanes: tuple[Lane, ...],
    spec: EnvSpec,
    schedule_horizon: int,
    devices: int,
) -> Engine:
    """The compiled programs of a run; takes no memory until a state is made.

    Args:
      config, lanes, spec, schedule_horizon: see `assemble`.
      devices: how many to use at most; 0 means all.

    Raises:
      UserError: there are not that many.
    """
    sizes = (spec.observation_size, spec.action_size)
    return Engine(
        make_agent(config, *sizes, schedule_horizon),
        [lane.hp for lane in lanes],
        config.replay,
        ring_capacity(config),
        *sizes,
        placed(len(lanes), config.lanes_per_group, devices),
        schedule_horizon,
        spec.goal,
    )


def _training_seed(lane_seed: int, episode: int) -> int:
    return episode_seed(lane_seed, Role.TRAIN, 0, episode)

"""What hindsight asks of the task and of the sizes."""

from __future__ import annotations

from rr_scale.config import RunConfig
from rr_scale.envs.spec import EnvSpec
from rr_scale.errors import UserError
from rr_scale.train.budget import ring_capacity


def check(config: RunConfig, spec: EnvSpec) -> None:
    """Refuses what would leave hindsight without a goal or without an episode.

    Raises:
      UserError: in one line that names both settings.
    """
    strategy = f"replay.hindsight={config.replay.hindsight}"
    if config.replay.hindsight == "none":
        return
    if spec.goal is None or spec.horizon is None:
        raise UserError(
            f"{strategy} needs a task with goals and a time limit, "
            f"which env_name={config.env_name} is not"
        )
    if spec.action_repeat > 1:
        raise UserError(
            f"{strategy} needs action_repeat=1 (a reward that is a sum over frames cannot be "
            f"computed anew), got {spec.action_repeat}"
        )
    if config.start_training < spec.horizon:
        raise UserError(
            f"{strategy} needs start_training of at least {spec.horizon} (the longest episode of "
            f"{config.env_name}: there must be a whole one), got {config.start_training}"
        )
    # A whole one beside one that goes on and one that is being overwritten,
    # also in a compact ring that gave up rows.
    if ring_capacity(config) < 4 * spec.horizon:
        raise UserError(
            f"{strategy} needs replay.capacity and max_steps of at least {4 * spec.horizon} "
            f"(4 episodes of {config.env_name}), got {ring_capacity(config)}"
        )

"""What hindsight and validation episodes ask of the task and of the sizes."""

from __future__ import annotations

from rr_scale.clock import ReplayRatio, firing_steps
from rr_scale.config import RunConfig
from rr_scale.envs.spec import EnvSpec
from rr_scale.errors import UserError
from rr_scale.train.budget import ring_capacity


def check(config: RunConfig, spec: EnvSpec) -> None:
    """Refuses what would leave hindsight without a goal, or training without an episode.

    Raises:
      UserError: in one line that names both settings.
    """
    if config.replay.hindsight != "none":
        _check_hindsight(config, spec)
    # One episode may be kept for validation; its neighbours never are. A ring of a whole run begins
    # with one that is trained on.
    capacity, share = config.replay.capacity, config.replay.validation_share
    holds_two = spec.horizon is not None and capacity >= 2 * spec.horizon
    if share > 0 and capacity < config.max_steps and not holds_two:
        raise UserError(
            f"replay.validation_share={share} needs replay.capacity of at least two of the "
            f"longest episodes of {config.env_name} ({spec.horizon or 'no time limit'}) or of "
            f"max_steps ({config.max_steps}), got {capacity}"
        )


def _check_hindsight(config: RunConfig, spec: EnvSpec) -> None:
    strategy = f"replay.hindsight={config.replay.hindsight}"
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
    recycling = tuple(rule for rule in config.resets if rule.how == "recycle")
    ratio = ReplayRatio(config.updates_per_step, config.start_training)
    early = firing_steps(recycling, ratio, spec.horizon - 1)
    if early:
        raise UserError(
            f"{strategy} needs resets with how=recycle to fire from env step {spec.horizon} on "
            f"(the longest episode of {config.env_name}: they look at whole ones), got {early[0]}"
        )
    # A whole one beside one that goes on and one that is being overwritten,
    # also in a compact ring that gave up rows.
    if ring_capacity(config) < 4 * spec.horizon:
        raise UserError(
            f"{strategy} needs replay.capacity and max_steps of at least {4 * spec.horizon} "
            f"(4 episodes of {config.env_name}), got {ring_capacity(config)}"
        )

"""Checking that the ingredients of an agent fit each other.

Every complaint is one line that names the two settings.
"""

from __future__ import annotations

import math

from rr_scale.config import AgentConfig, NetworkConfig, ResetRule, RunConfig
from rr_scale.errors import UserError

# Rules that compare critics point by point, which probabilities of atoms do not allow.
_POINTWISE = ("min", "mean", "truncated")
# Activations that give exactly 0 for half of their arguments.
_CAN_DIE = ("relu",)
_LEARNED_PESSIMISM = ("gpl", "vpl")
# What e^x with x from -10 to 7.5 can be; see core/duals.py.
_LEAST_DUAL, _GREATEST_DUAL = math.exp(-10.0), math.exp(7.5)


def check_combinations(config: RunConfig) -> None:
    """Refuses ingredients that cannot work together.

    Raises:
      UserError: the first such pair, in one line.
    """
    agent = config.agent
    _check_rules(agent)
    _check_pessimism(config)
    _check_explorer(config)
    for index, rule in enumerate(config.resets):
        _check_reset(config.agent, rule, f"resets.{index}")
    for hp in config.variant_hps():
        _require(
            agent.critic.value != "categorical" or hp.v_min < hp.v_max,
            f"hp.v_min must be below hp.v_max ({hp.v_max}) for agent.critic.value=categorical, "
            f"got {hp.v_min}",
        )
        _require(
            agent.reward_scale != "return_bound" or hp.v_max > 0,
            f"hp.v_max must be above 0 for agent.reward_scale=return_bound, got {hp.v_max}",
        )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(message)


def _check_rules(agent: AgentConfig) -> None:
    critic = agent.critic
    rules = {
        "agent.critic.target_ensemble": critic.target_ensemble,
        "agent.actor.objective_ensemble": agent.actor.objective_ensemble,
    }
    points = critic.num_quantiles if critic.value == "quantile" else 1
    for path, rule in rules.items():
        _require(
            critic.value != "categorical" or rule not in _POINTWISE,
            f"{path} must be first, smaller_mean, mixture or pessimistic for "
            f"agent.critic.value=categorical, got '{rule}'",
        )
        _require(
            rule != "truncated" or critic.dropped_quantiles < points,
            f"agent.critic.dropped_quantiles must be below the {points} a critic has for "
            f"{path}=truncated, got {critic.dropped_quantiles}",
        )
    _require(
        critic.target_subset <= critic.ensemble_size,
        f"agent.critic.target_subset must be at most agent.critic.ensemble_size "
        f"({critic.ensemble_size}), got {critic.target_subset}",
    )


def _check_pessimism(config: RunConfig) -> None:
    agent = config.agent
    rules = (agent.critic.target_ensemble, agent.actor.objective_ensemble)
    _require(
        agent.pessimism == "fixed" or "pessimistic" in rules,
        f"agent.pessimism={agent.pessimism} needs agent.critic.target_ensemble=pessimistic (or "
        f"agent.actor.objective_ensemble), got '{agent.critic.target_ensemble}'",
    )
    _require(
        agent.pessimism != "vpl" or config.replay.validation_share > 0,
        f"agent.pessimism=vpl learns from validation episodes: replay.validation_share must be "
        f"above 0, got {config.replay.validation_share}",
    )
    _require(
        agent.critic.loss == "squared" or agent.critic.value == "scalar",
        f"agent.critic.loss={agent.critic.loss} needs agent.critic.value=scalar, "
        f"got '{agent.critic.value}'",
    )
    learned = agent.pessimism in _LEARNED_PESSIMISM
    _check_step(agent, "pessimism", "critic", learned, f"agent.pessimism={agent.pessimism}")
    for hp in config.variant_hps():
        _require(
            not learned or hp.pessimism_min <= hp.pessimism <= hp.pessimism_max,
            f"hp.pessimism must be from hp.pessimism_min to hp.pessimism_max "
            f"({hp.pessimism_min} to {hp.pessimism_max}), got {hp.pessimism}",
        )


def _check_explorer(config: RunConfig) -> None:
    agent, explorer = config.agent, config.agent.explorer
    optimistic = explorer.kind == "optimistic"
    cause = f"agent.explorer.kind={explorer.kind}"
    _check_step(agent, "explorer", "critic", optimistic, cause, neighbours=False)
    _check_step(agent, "optimism", "explorer", optimistic, cause)
    if not optimistic:
        return
    _require(
        agent.actor.distribution != "deterministic",
        f"{cause} needs a policy with a sigma, got "
        f"agent.actor.distribution={agent.actor.distribution}",
    )
    _require(
        agent.critic.ensemble_size > 1,
        f"{cause} needs critics that can disagree: agent.critic.ensemble_size must be at least 2, "
        f"got {agent.critic.ensemble_size}",
    )
    network = explorer.network
    _require(
        not network.has_batch_statistics and network.kernel != "spectral_norm",
        f"{cause} needs a network without running statistics, got agent.explorer.network."
        f"normalization={network.normalization} and kernel={network.kernel}",
    )
    for hp in config.variant_hps():
        for name in ("init_optimism", "init_kl_weight"):
            value = getattr(hp, name)
            _require(
                _LEAST_DUAL < value < _GREATEST_DUAL,
                f"hp.{name} must be above e^-10 and below e^7.5 (bounds of the learned value), "
                f"got {value}",
            )


def _check_step(
    agent: AgentConfig, step: str, source: str, wanted: bool, cause: str, neighbours: bool = True
) -> None:
    """A step is there if and only if it is wanted, and after the one whose numbers it uses."""
    order, shown = agent.update_order, ",".join(agent.update_order)
    relation = "contain" if wanted else "not contain"
    _require(
        (step in order) == wanted,
        f"agent.update_order must {relation} '{step}' while {cause}, got {shown}",
    )
    if not wanted or not neighbours:
        return
    between = order[order.index(source) : order.index(step)] if source in order else ()
    _require(
        bool(between) and all(agent.delay(each) == agent.delay(step) for each in between),
        f"agent.update_order must have '{step}' after '{source}' with no step of another delay "
        f"between them, got {shown}",
    )


def _check_reset(agent: AgentConfig, rule: ResetRule, path: str) -> None:
    recycles = rule.how == "recycle"
    cause = f"{path}.how=recycle" if recycles else f"{path}.layers={','.join(rule.layers)}"
    if not recycles and not rule.layers:
        return
    _require(
        rule.what != "last_layers",
        f"{cause} is about hidden layers: {path}.what must be all, actor or critic, "
        f"got 'last_layers'",
    )
    for part in rule.networks:
        if part == "explorer" and agent.explorer.kind == "none":
            continue
        network = getattr(agent, part).network
        where = f"agent.{part}.network"
        unknown = [name for name in rule.layers if name not in network.layer_names]
        _require(
            not unknown,
            f"{path}.layers must be names of layers that {where}.hidden has "
            f"({', '.join(network.layer_names) or 'none'}), got '{''.join(unknown[:1])}'",
        )
        if recycles:
            _check_recycled(network, rule, path, where)


def _check_recycled(network: NetworkConfig, rule: ResetRule, path: str, where: str) -> None:
    refused = {
        "trunk": ("simba_v2", "keeps activations on a sphere, where no unit can leave alone"),
        "kernel": ("weight_norm", "lengthens the other weights where some become 0"),
        "activation": ("crelu", "has no unit that is silent"),
    }
    for name, (value, reason) in refused.items():
        _require(
            getattr(network, name) != value,
            f"{path}.how=recycle does not go with {where}.{name}={value}, which {reason}",
        )
    _require(
        rule.threshold > 0 or network.activation in _CAN_DIE,
        f"{path}.threshold must be above 0 for {where}.activation={network.activation}, whose "
        f"units are never exactly 0",
    )

"""SAC, TD3 and DDPG once more, by hand: NumPy float64, own gradients, own Adam.

Reads an agent's initial parameters and nothing else of it. The only thing it
shares with the package is the noise, which it is given.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import numpy as np

from rr_scale.rng import Stream, stream_key


class Noise(NamedTuple):
    """Standard normal numbers of one update, each [B, A]."""

    next_action: np.ndarray
    smoothing: np.ndarray
    action: np.ndarray


def draw_noise(root: Any, update: int, shape: tuple[int, int]) -> Noise:
    """What an update with this root key and index draws."""
    critic_key, actor_key = jax.random.split(stream_key(root, Stream.UPDATE, update))
    smoothing_key = jax.random.split(critic_key)[1]
    keys = (critic_key, smoothing_key, actor_key)
    return Noise(*(np.asarray(jax.random.normal(key, shape), np.float64) for key in keys))


def _dense(layer: dict, x: np.ndarray) -> np.ndarray:
    return x @ layer["kernel"] + layer["bias"]


def _dense_gradient(x: np.ndarray, slope: np.ndarray) -> dict:
    return {"kernel": x.T @ slope, "bias": slope.sum(axis=0)}


def _trunk(params: dict, x: np.ndarray) -> list[np.ndarray]:
    """Input and the output of every ReLU layer."""
    outputs = [x]
    for name in sorted(params):
        outputs.append(np.maximum(_dense(params[name], outputs[-1]), 0.0))
    return outputs


def _trunk_gradient(params: dict, outputs: list, slope: np.ndarray) -> tuple[dict, np.ndarray]:
    """(gradient of the parameters, of the input) from the gradient of the features."""
    gradient = {}
    for index, name in reversed(list(enumerate(sorted(params)))):
        slope = slope * (outputs[index + 1] > 0)
        gradient[name] = _dense_gradient(outputs[index], slope)
        slope = slope @ params[name]["kernel"].T
    return gradient, slope


class _Q:
    """One critic at given inputs."""

    def __init__(self, params: dict, observation: np.ndarray, action: np.ndarray):
        self._params, self._split = params, observation.shape[1]
        inputs = np.concatenate([observation, action], axis=1)
        self._outputs = _trunk(params["trunk"], inputs)
        self.features = self._outputs[-1]
        self.value = _dense(params["value"], self.features)[:, 0]

    def gradient(self, slope: np.ndarray) -> tuple[dict, np.ndarray]:
        """(of the parameters, of the action) for dL/dQ = slope [B]."""
        slope = slope[:, None]
        head = _dense_gradient(self._outputs[-1], slope)
        back = slope @ self._params["value"]["kernel"].T
        trunk, inputs = _trunk_gradient(self._params["trunk"], self._outputs, back)
        return {"trunk": trunk, "value": head}, inputs[:, self._split :]


class _Pi:
    """The policy at given observations and noise."""

    def __init__(self, config: Any, params: dict, observation: np.ndarray, noise: np.ndarray):
        self._params, self._noise = params, noise
        self._outputs = _trunk(params["trunk"], observation)
        self.features = self._outputs[-1]
        u = self.mean = _dense(params["mean"], self.features)
        self._stochastic = "log_sigma" in params
        self.log_prob = np.zeros(len(u))
        if self._stochastic:
            raw = _dense(params["log_sigma"], self._outputs[-1])
            low, high = config.log_sigma_min, config.log_sigma_max
            if config.log_sigma_map == "tanh":
                log_sigma = low + (high - low) * (np.tanh(raw) + 1.0) / 2.0
                self._raw_slope = (high - low) / 2.0 / np.cosh(raw) ** 2
            else:
                log_sigma = np.clip(raw, low, high)
                self._raw_slope = ((raw > low) & (raw < high)).astype(float)
            self.log_sigma, self._sigma = log_sigma, np.exp(log_sigma)
            u = u + self._sigma * noise
            extra = 1e-6 if config.log_prob == "epsilon" else 0.0
            jacobian = 1.0 / np.cosh(u) ** 2
            self._log_prob_slope = 2.0 * np.tanh(u) * jacobian / (jacobian + extra)
            density = -(noise**2) / 2.0 - log_sigma - math.log(2.0 * math.pi) / 2.0
            self.log_prob = np.sum(density - np.log(jacobian + extra), axis=1)
        self._squash = 1.0 / np.cosh(u) ** 2
        self.action = np.tanh(u)

    def gradient(self, action_slope: np.ndarray, log_prob_slope: float) -> dict:
        """For dL/da [B, A] and one dL/dlog pi for all samples."""
        features = self._outputs[-1]
        slope = action_slope * self._squash
        if self._stochastic:
            slope = slope + log_prob_slope * self._log_prob_slope
        heads = {"mean": slope}
        if self._stochastic:
            log_sigma_slope = slope * self._sigma * self._noise - log_prob_slope
            heads["log_sigma"] = log_sigma_slope * self._raw_slope
        back = sum(s @ self._params[name]["kernel"].T for name, s in heads.items())
        gradient = {name: _dense_gradient(features, s) for name, s in heads.items()}
        gradient["trunk"], _ = _trunk_gradient(self._params["trunk"], self._outputs, back)
        return gradient


class _Adam:
    """Kingma & Ba 2015, algorithm 1, with an L2 penalty and a global-norm clip."""

    def __init__(self, params: Any):
        self._first = jax.tree.map(np.zeros_like, params)
        self._second, self._count = self._first, 0

    def step(self, hp: Any, rate: float, params: Any, gradient: Any, clip=math.inf, decay=0.0):
        gradient = jax.tree.map(lambda g, p: g + decay * p, gradient, params)
        norm = math.sqrt(sum(np.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))
        gradient = jax.tree.map(lambda g: g * min(1.0, clip / max(norm, 1e-300)), gradient)
        self._count += 1
        b1, b2 = hp.adam_b1, hp.adam_b2
        self._first = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, self._first, gradient)
        self._second = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, self._second, gradient)
        unbias1, unbias2 = 1 - b1**self._count, 1 - b2**self._count
        return jax.tree.map(
            lambda p, m, v: p - rate * (m / unbias1) / (np.sqrt(v / unbias2) + hp.adam_eps),
            params,
            self._first,
            self._second,
        )


class Reference:
    """An agent's learning, restated.

    Args:
      config: its `AgentConfig`.
      hp: Python floats.
      state: the `TrainState` to start from, with fresh optimisers.
    """

    def __init__(self, config: Any, hp: Any, state: Any):
        double = lambda tree: jax.tree.map(lambda x: np.asarray(x, np.float64), tree)  # noqa: E731
        self.config, self.hp = config, hp
        self.actor, self.critic = double(state.actor.params), double(state.critic.params)
        self.actor_target = self.actor if config.critic.bootstrap_policy != "current" else None
        self.critic_target = self.critic
        self.log_alpha = np.log(np.float64(hp.init_temperature)) if hp.init_temperature else None
        self._optimizers = [_Adam(self.actor), _Adam(self.critic), _Adam(self.log_alpha)]

    def update(self, batch: Any, index: int, noise: Noise) -> dict[str, Any]:
        """Does the steps that are due; returns the numbers each of them saw."""
        batch = jax.tree.map(lambda x: np.asarray(x, np.float64), batch)
        seen: dict[str, Any] = {}
        for step in self.config.update_order:
            delayed = "target" if step == "target" else "actor"
            delay = 1 if step == "critic" else getattr(self.config, f"{delayed}_delay")
            if index % delay == 0:
                getattr(self, f"_{step}_step")(batch, noise, seen)
        return seen

    def policy(self, observation: np.ndarray, noise: np.ndarray) -> _Pi:
        """The actor at [B, O], with noise [B, A]."""
        return _Pi(self.config.actor, self.actor, observation, noise)

    def members(self, observation: np.ndarray, action: np.ndarray) -> list[_Q]:
        """Each critic at (s, a)."""
        return self._members(self.critic, observation, action)

    def _alpha(self) -> float:
        return 0.0 if self.config.temperature == "none" else math.exp(self.log_alpha)

    def _members(self, params: Any, observation: np.ndarray, action: np.ndarray) -> list[_Q]:
        count = self.config.critic.ensemble_size
        each = [jax.tree.map(lambda leaf, i=i: leaf[i], params) for i in range(count)]
        return [_Q(member, observation, action) for member in each]

    def _critic_step(self, batch: Any, noise: Noise, seen: dict) -> None:
        hp, config = self.hp, self.config.critic
        policy = self.actor if config.bootstrap_policy == "current" else self.actor_target
        pi = _Pi(self.config.actor, policy, batch.next_observation, noise.next_action)
        action = pi.action
        if config.bootstrap_policy == "target_noise":
            limit = hp.target_noise_clip
            action = np.clip(
                action + np.clip(hp.target_noise * noise.smoothing, -limit, limit), -1, 1
            )
        members = self._members(self.critic_target, batch.next_observation, action)
        values = np.stack([member.value for member in members])
        value = {"min": values.min(0), "mean": values.mean(0), "first": values[0]}
        bonus = -self._alpha() * pi.log_prob
        target = batch.reward + batch.discount * (value[config.target_ensemble] + bonus)
        members = self._members(self.critic, batch.observation, batch.action)
        errors = np.stack([member.value - target for member in members])
        slopes = config.loss_scale * 2.0 * batch.weight * errors / len(target)
        each = [member.gradient(s)[0] for member, s in zip(members, slopes, strict=True)]
        gradient = jax.tree.map(lambda *leaves: np.stack(leaves), *each)
        self.critic = self._optimizers[1].step(
            hp,
            hp.critic_lr,
            self.critic,
            gradient,
            hp.critic_max_grad_norm,
            hp.critic_weight_decay,
        )
        seen["train/critic_loss"] = config.loss_scale * np.sum(
            np.mean(batch.weight * errors**2, axis=1)
        )
        seen["train/q_mean"] = np.mean(errors + target)
        seen["train/target_q_mean"] = np.mean(target)
        seen["td_error"] = np.mean(np.abs(errors), axis=0)
        seen["train/td_error"] = np.mean(seen["td_error"])

    def _actor_step(self, batch: Any, noise: Noise, seen: dict) -> None:
        alpha, size, hp = self._alpha(), len(batch.reward), self.hp
        pi = _Pi(self.config.actor, self.actor, batch.observation, noise.action)
        members = self._members(self.critic, batch.observation, pi.action)
        values = np.stack([member.value for member in members])
        share = {
            "min": np.arange(len(members))[:, None] == values.argmin(axis=0),
            "mean": np.full(values.shape, 1.0 / len(members)),
            "first": np.arange(len(members))[:, None] == np.zeros(size, int),
        }[self.config.actor.objective_ensemble]
        slopes = -1.0 / size * share
        back = sum(m.gradient(s)[1] for m, s in zip(members, slopes, strict=True))
        gradient = pi.gradient(back, alpha / size)
        self.actor = self._optimizers[0].step(
            hp, hp.actor_lr, self.actor, gradient, hp.actor_max_grad_norm
        )
        seen["train/actor_loss"] = np.mean(alpha * pi.log_prob) - np.mean(np.sum(share * values, 0))
        self._entropy = -np.mean(pi.log_prob)
        if self.config.actor.distribution != "deterministic":
            seen["train/entropy"] = self._entropy
        if self.config.temperature != "none":
            seen["train/temperature"] = alpha

    def _temperature_step(self, batch: Any, noise: Noise, seen: dict) -> None:
        gap = self._entropy + self.hp.target_entropy_scale * batch.action.shape[1]
        form = self.config.temperature
        slope = gap * (self._alpha() if form == "alpha" else 1.0)
        seen["train/temperature_loss"] = slope if form == "alpha" else gap * self.log_alpha
        self.log_alpha = self._optimizers[2].step(
            self.hp, self.hp.temperature_lr, self.log_alpha, slope
        )

    def _target_step(self, batch: Any, noise: Noise, seen: dict) -> None:
        follow = lambda slow, fast: slow + self.hp.tau * (fast - slow)  # noqa: E731
        self.critic_target = jax.tree.map(follow, self.critic_target, self.critic)
        if self.actor_target is not None:
            self.actor_target = jax.tree.map(follow, self.actor_target, self.actor)

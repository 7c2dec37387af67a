"""BRO, SimbaV2 and XQC once more, each as one update from beginning to end.

After the papers and their authors' descriptions, in plain `jax.numpy` on dictionaries of arrays: no
module, no optimiser and no loss of the package. JAX differentiates, in float64. Shared with the
package are the initial parameters, the noise, and the names of the parameters.

A restatement is built from a configuration and an agent's first state; `update` takes what is
learned, by name, and returns it one update later. `due` says whether a delayed actor moves.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rr_scale.rng import Stream, stream_key

Learned = dict[str, Any]


def widened(tree: Any) -> Any:
    """In float64, which must be enabled."""

    def wide(leaf):
        return leaf.astype(jnp.float64) if leaf.dtype == jnp.float32 else leaf

    return jax.tree.map(wide, tree)


class Noise(NamedTuple):
    """Standard normal numbers of one update, each [B, A]."""

    next_action: Any
    action: Any
    explorer: Any


def draw_noise(root: Any, update: int, shape: tuple[int, int]) -> Noise:
    """What an update with this root key and index draws."""
    keys = jax.random.split(stream_key(root, Stream.UPDATE, update), 4)[:3]
    return Noise(*(jax.random.normal(key, shape) for key in keys))


def dense(layer, x):
    return x @ layer["kernel"] + layer["bias"]


def unit_dense(layer, x):
    return x @ layer["unit_kernel"] + layer.get("bias", 0.0)


def on_sphere(x):
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def bounded_log_sigma(raw):
    return -10.0 + 6.0 * (1.0 + jnp.tanh(raw))


def squashed(mean, log_sigma, noise):
    """(tanh(u), log-probability) of u = mean + sigma noise."""
    u = mean + jnp.exp(log_sigma) * noise
    density = -(noise**2) / 2 - log_sigma - math.log(2 * math.pi) / 2
    return jnp.tanh(u), jnp.sum(density - jnp.log1p(-(jnp.tanh(u) ** 2)), axis=-1)


def normal_columns(params):
    """Every weight matrix that is kept on the sphere, put back there."""

    def put(path, leaf):
        if path[-1].key != "unit_kernel":
            return leaf
        return leaf / jnp.linalg.norm(leaf, axis=-2, keepdims=True)

    return jax.tree_util.tree_map_with_path(put, params)


def two_hot(value, atoms):
    """Masses [K] of one return on the atoms beside it."""
    width = atoms[1] - atoms[0]
    place = jnp.clip((value - atoms[0]) / width, 0, len(atoms) - 1)
    low = jnp.minimum(jnp.floor(place), len(atoms) - 2).astype(int)
    return jnp.zeros(len(atoms)).at[low].set(low + 1 - place).at[low + 1].set(place - low)


def adam(hp, rate, learned, name, gradient, decays, weight_decay=0.0):
    """A step of one entry of `learned`, with decoupled decay of all of it (AdamW, as optax's)."""
    params, (first, second, count) = learned[name], learned[f"adam of {name}"]
    b1, b2 = decays
    count = count + 1
    first = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, first, gradient)
    second = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g**2, second, gradient)

    def move(p, m, v):
        m, v = m / (1 - b1**count), v / (1 - b2**count)
        return p - rate * (m / (jnp.sqrt(v) + hp.adam_eps) + weight_decay * p)

    learned[f"adam of {name}"] = (first, second, count)
    learned[name] = jax.tree.map(move, params, first, second)


class _Restatement:
    """What the three share: SAC's temperature, its slow critics, the step sizes."""

    def __init__(self, config: Any, state: Any):
        self.config, self.hp = config, config.hp

    def begin(self, state: Any) -> Learned:
        """What is learned of an agent's first state, and Adam's moments of it."""
        learned = self.parameters(state)
        zeros = {name: jax.tree.map(jnp.zeros_like, tree) for name, tree in learned.items()}
        return learned | {f"adam of {name}": (zero, zero, 0) for name, zero in zeros.items()}

    def parameters(self, state: Any) -> Learned:
        return {
            "actor": state.actor.params,
            "critic": state.critic.params,
            "critic_target": state.critic.params,
            "log_alpha": jnp.log(self.hp.init_temperature),
        }

    def rate(self, base, index):
        """Falling linearly to `lr_end` of itself over all updates of the run."""
        if self.config.agent.lr_schedule == "constant":
            return base
        steps = self.config.max_steps - self.config.start_training
        done = index / (steps * self.config.updates_per_step)
        return base * (1 - (1 - self.hp.lr_end) * done)

    def move(self, learned, name, gradient, index):
        """The actor, the explorer beside it, or the critics."""
        hp, kind = self.hp, "critic" if name == "critic" else "actor"
        rate = self.rate(getattr(hp, f"{kind}_lr"), index)
        decays, weight_decay = (hp.adam_b1, hp.adam_b2), getattr(hp, f"{kind}_weight_decay")
        adam(hp, rate, learned, name, gradient, decays, weight_decay)

    def move_dual(self, learned, name, base, gradient, index):
        hp = self.hp
        first = hp.temperature_b1 if name == "log_alpha" else hp.dual_b1
        first = first if first >= 0 else hp.adam_b1
        adam(hp, self.rate(base, index), learned, name, gradient, (first, hp.adam_b2))

    def move_temperature(self, learned, log_prob, action_size, index):
        gap = -jnp.mean(log_prob) + self.hp.target_entropy_scale * action_size
        slope = jnp.exp(learned["log_alpha"]) * gap
        self.move_dual(learned, "log_alpha", self.hp.temperature_lr, slope, index)

    def follow(self, learned):
        slow, tau = learned["critic_target"], self.hp.tau
        learned["critic_target"] = jax.tree.map(
            lambda slow, fast: (1 - tau) * slow + tau * fast, slow, learned["critic"]
        )

    @staticmethod
    def members(network, params, *inputs):
        """[N, B, K]."""
        return jax.vmap(lambda member: network(member, jnp.concatenate(inputs, -1)))(params)


class Bro(_Restatement):
    """Nauman et al. 2024: quantile critics, no pessimism, an optimistic second actor."""

    def parameters(self, state: Any) -> Learned:
        raw = lambda value: jnp.arctanh(2 * (jnp.log(value) + 10) / 17.5 - 1)  # noqa: E731
        return super().parameters(state) | {
            "explorer": state.explorer.params,
            "optimism": raw(self.hp.init_optimism),
            "kl_weight": raw(self.hp.init_kl_weight),
        }

    @staticmethod
    def trunk(params, x):
        def norm(index, x):
            layer = params[f"FeatureNorm_{index}"]["LayerNorm_0"]
            centred = x - jnp.mean(x, -1, keepdims=True)
            deviation = jnp.sqrt(jnp.mean(centred**2, -1, keepdims=True) + 1e-6)
            return centred / deviation * layer["scale"] + layer["bias"]

        count = sum(name.startswith("Dense") for name in params)
        h = jax.nn.relu(norm(0, dense(params["Dense_0"], x)))
        for index in range(1, count, 2):
            inner = jax.nn.relu(norm(index, dense(params[f"Dense_{index}"], h)))
            h = h + norm(index + 1, dense(params[f"Dense_{index + 1}"], inner))
        return h

    def policy(self, params, observation):
        features = self.trunk(params["trunk"], observation)
        mean = dense(params["mean"], features)
        return mean, bounded_log_sigma(dense(params["log_sigma"], features))

    def quantiles(self, params, observation, action):
        def network(member, x):
            return dense(member["value"], self.trunk(member["trunk"], x))

        return self.members(network, params, observation, action)

    def update(self, learned: Learned, batch: Any, noise: Noise, index: Any, due: bool) -> Learned:
        learned = dict(learned)
        hp, alpha = self.hp, jnp.exp(learned["log_alpha"])
        next_action, next_log_prob = squashed(
            *self.policy(learned["actor"], batch.next_observation), noise.next_action
        )
        low, high = self.quantiles(learned["critic_target"], batch.next_observation, next_action)
        next_value = (low + high) / 2 - hp.pessimism * jnp.abs(low - high) / 2
        entropy = -alpha * next_log_prob[:, None]
        target = batch.reward[:, None] + batch.discount[:, None] * (next_value + entropy)

        def critic_loss(params):
            total = 0.0
            for z in self.quantiles(params, batch.observation, batch.action):
                count = z.shape[1]
                delta = target[:, None, :] - z[:, :, None]  # [B, predicted, target]
                huber = jnp.where(jnp.abs(delta) < 1, delta**2 / 2, jnp.abs(delta) - 0.5)
                tau = ((jnp.arange(count) + 0.5) / count)[None, :, None]
                pairs = jnp.abs(tau - (delta < 0)) * huber
                per_sample = pairs.sum(axis=1).mean(axis=1)
                total = total + jnp.mean(batch.weight * per_sample)
            return total

        gradient = jax.grad(critic_loss)(learned["critic"])
        self.move(learned, "critic", gradient, index)
        self.follow(learned)

        def actor_loss(params):
            action, log_prob = squashed(*self.policy(params, batch.observation), noise.action)
            low, high = self.quantiles(learned["critic"], batch.observation, action)
            value = (low + high) / 2 - hp.pessimism * jnp.abs(low - high) / 2
            return jnp.mean(alpha * log_prob - value.mean(-1)), log_prob

        gradient, log_prob = jax.grad(actor_loss, has_aux=True)(learned["actor"])
        self.move(learned, "actor", gradient, index)

        mean, log_sigma = self.policy(learned["actor"], batch.observation)
        bounded = lambda raw: jnp.exp(-10 + 17.5 * (1 + jnp.tanh(raw)) / 2)  # noqa: E731

        def explorer_loss(params):
            features = self.trunk(params["trunk"], jnp.concatenate([batch.observation, mean], -1))
            shift = features @ params["mean"]["kernel"]
            sigma = hp.explorer_std * jnp.exp(log_sigma)
            action, _ = squashed(mean + shift, jnp.log(sigma), noise.explorer)
            low, high = self.quantiles(learned["critic"], batch.observation, action)
            value = (low + high) / 2 + bounded(learned["optimism"]) * jnp.abs(low - high) / 2
            kl = jnp.sum(shift**2 / (2 * jnp.exp(log_sigma) ** 2), -1).mean()
            return bounded(learned["kl_weight"]) * kl - jnp.mean(value), kl

        gradient, kl = jax.grad(explorer_loss, has_aux=True)(learned["explorer"])
        self.move(learned, "explorer", gradient, index)
        action_size = mean.shape[1]
        self.move_temperature(learned, log_prob, action_size, index)
        gap = kl / action_size - hp.target_kl
        for name, sign in (("optimism", 1.0), ("kl_weight", -1.0)):
            slope = jax.grad(lambda raw, sign=sign: sign * bounded(raw) * gap)(learned[name])
            self.move_dual(learned, name, hp.optimism_lr, slope, index)
        return learned


class _Categorical(_Restatement):
    """What SimbaV2 and XQC share: masses on atoms, weights on the sphere."""

    def __init__(self, config: Any, state: Any):
        super().__init__(config, state)
        self.atoms = np.linspace(self.hp.v_min, self.hp.v_max, config.agent.critic.num_atoms)

    def move(self, learned, name, gradient, index):
        super().move(learned, name, gradient, index)
        learned[name] = normal_columns(learned[name])

    def expected(self, logits):
        return jax.nn.softmax(logits) @ self.atoms

    def target_masses(self, learned, reward, discount, log_prob, logits):
        """[B, K], from the member [N, B, K] that expects less in each state."""
        chosen = jnp.argmin(self.expected(logits), axis=0)
        mass = jax.nn.softmax(jnp.stack([logits[n, b] for b, n in enumerate(chosen)]))
        entropy = -jnp.exp(learned["log_alpha"]) * log_prob
        moved = reward[:, None] + discount[:, None] * (self.atoms + entropy[:, None])
        hot = jax.vmap(jax.vmap(lambda value: two_hot(value, self.atoms)))(moved)
        return jnp.sum(mass[:, :, None] * hot, axis=1)

    def cross_entropy(self, logits, masses, weight):
        """Summed over members, mean over the batch."""
        each = -jnp.sum(masses * jax.nn.log_softmax(logits), axis=-1)
        return jnp.sum(jnp.mean(weight * each, axis=-1))


class SimbaV2(_Categorical):
    """Lee et al. 2025: features and weights on spheres, the actor before the critic."""

    def __init__(self, config: Any, state: Any):
        super().__init__(config, state)
        moments = state.normalizers["observation"]
        self.mean = moments.mean
        self.deviation = jnp.sqrt(moments.spread / moments.seen + 1e-8)
        returns = state.normalizers["reward"]
        variance = returns.moments.spread / returns.moments.seen
        self.divisor = jnp.maximum(jnp.sqrt(variance + 1e-8), returns.largest / self.hp.v_max)

    @staticmethod
    def trunk(params, x):
        width = params["UnitDense_0"]["unit_kernel"].shape[-1]
        blocks = (sum(name.startswith("UnitDense") for name in params) - 1) // 2
        scaler = lambda index: params[f"Scaler_{index}"]["scaler"]  # noqa: E731
        x = on_sphere(jnp.concatenate([x, jnp.full((len(x), 1), 3.0)], -1))
        h = on_sphere(scaler(0) * unit_dense(params["UnitDense_0"], x))
        for block in range(blocks):
            inner = scaler(2 * block + 1) * unit_dense(params[f"UnitDense_{2 * block + 1}"], h)
            inner = jax.nn.relu(inner) + 1e-8
            new = on_sphere(unit_dense(params[f"UnitDense_{2 * block + 2}"], inner))
            alpha = scaler(2 * block + 2) * math.sqrt(width) / (blocks + 1)
            h = on_sphere(h + alpha * (new - h))
        return h

    @staticmethod
    def head(params, h):
        h = params["Scaler_0"]["scaler"] * unit_dense(params["UnitDense_0"], h)
        return unit_dense(params["UnitDense_1"], h) + params["bias"]

    def policy(self, params, observation):
        features = self.trunk(params["trunk"], observation)
        mean = self.head(params["mean"], features)
        return mean, bounded_log_sigma(self.head(params["log_sigma"], features))

    def logits(self, params, observation, action):
        def network(member, x):
            return self.head(member["value"], self.trunk(member["trunk"], x))

        return self.members(network, params, observation, action)

    def update(self, learned: Learned, batch: Any, noise: Noise, index: Any, due: bool) -> Learned:
        learned = dict(learned)
        now = (batch.observation - self.mean) / self.deviation
        after = (batch.next_observation - self.mean) / self.deviation

        def actor_loss(params):
            action, log_prob = squashed(*self.policy(params, now), noise.action)
            value = self.expected(self.logits(learned["critic"], now, action)).min(axis=0)
            return jnp.mean(jnp.exp(learned["log_alpha"]) * log_prob - value), log_prob

        gradient, log_prob = jax.grad(actor_loss, has_aux=True)(learned["actor"])
        self.move(learned, "actor", gradient, index)
        self.move_temperature(learned, log_prob, batch.action.shape[1], index)

        next_action, next_log_prob = squashed(
            *self.policy(learned["actor"], after), noise.next_action
        )
        logits = self.logits(learned["critic_target"], after, next_action)
        reward = batch.reward / self.divisor
        masses = self.target_masses(learned, reward, batch.discount, next_log_prob, logits)

        def critic_loss(params):
            return self.cross_entropy(self.logits(params, now, batch.action), masses, batch.weight)

        self.move(learned, "critic", jax.grad(critic_loss)(learned["critic"]), index)
        self.follow(learned)
        return learned


class Xqc(_Categorical):
    """Palenicek et al. 2026: batch normalisation over both halves, unit columns, a slow copy."""

    def __init__(self, config: Any, state: Any):
        super().__init__(config, state)
        returns = state.normalizers["reward"].moments
        self.divisor = jnp.sqrt(returns.spread / returns.seen) + 1e-8

    def parameters(self, state: Any) -> Learned:
        stats = {"actor_stats": state.actor.stats, "critic_stats": state.critic.stats}
        return super().parameters(state) | stats

    @staticmethod
    def network(params, stats, x, train, heads):
        """(outputs of the heads, new statistics)."""
        trunk, new = params["trunk"], {}

        def norm(index, x):
            name = f"BatchNorm_{index}"
            layer, old = trunk[name], stats["trunk"][name]
            mean, variance = old["running_mean"], old["running_variance"]
            if train:
                mean, variance = x.mean(axis=0), x.var(axis=0)
                new[name] = {
                    "running_mean": 0.99 * old["running_mean"] + 0.01 * mean,
                    "running_variance": 0.99 * old["running_variance"] + 0.01 * variance,
                    "batches": old["batches"] + 1,
                }
            return (x - mean) / jnp.sqrt(variance + 1e-3) * layer["scale"] + layer["bias"]

        h = norm(0, x)
        for index in range(sum(name.startswith("UnitDense") for name in trunk)):
            h = jax.nn.relu(norm(index + 1, unit_dense(trunk[f"UnitDense_{index}"], h)))
        return [unit_dense(params[head], h) for head in heads], {"trunk": new}

    def policy(self, params, stats, observation, train):
        heads, stats = self.network(params, stats, observation, train, ("mean", "log_sigma"))
        return heads[0], jnp.clip(heads[1], -10.0, 2.0), stats

    def logits(self, params, stats, observation, action, train):
        x = jnp.concatenate([observation, action], -1)
        one = functools.partial(self.network, x=x, train=train, heads=("value",))
        (logits,), stats = jax.vmap(one)(params, stats)
        return logits, stats

    def update(self, learned: Learned, batch: Any, noise: Noise, index: Any, due: bool) -> Learned:
        learned = dict(learned)
        size = len(batch.action)
        mean, log_sigma, _ = self.policy(
            learned["actor"], learned["actor_stats"], batch.next_observation, False
        )
        next_action, next_log_prob = squashed(mean, log_sigma, noise.next_action)
        observations = jnp.concatenate([batch.observation, batch.next_observation])
        actions = jnp.concatenate([batch.action, next_action])
        slow, _ = self.logits(
            learned["critic_target"], learned["critic_stats"], observations, actions, True
        )
        reward = batch.reward / self.divisor
        masses = self.target_masses(learned, reward, batch.discount, next_log_prob, slow[:, size:])

        def critic_loss(params):
            logits, stats = self.logits(
                params, learned["critic_stats"], observations, actions, True
            )
            return self.cross_entropy(logits[:, :size], masses, batch.weight), stats

        gradient, stats = jax.grad(critic_loss, has_aux=True)(learned["critic"])
        self.move(learned, "critic", gradient, index)
        learned["critic_stats"] = stats
        self.follow(learned)
        if not due:
            return learned

        def actor_loss(params):
            mean, log_sigma, stats = self.policy(
                params, learned["actor_stats"], batch.observation, True
            )
            action, log_prob = squashed(mean, log_sigma, noise.action)
            logits, _ = self.logits(
                learned["critic"], learned["critic_stats"], batch.observation, action, False
            )
            value = self.expected(logits).min(axis=0)
            return jnp.mean(jnp.exp(learned["log_alpha"]) * log_prob - value), (log_prob, stats)

        gradient, (log_prob, stats) = jax.grad(actor_loss, has_aux=True)(learned["actor"])
        self.move(learned, "actor", gradient, index)
        learned["actor_stats"] = stats
        self.move_temperature(learned, log_prob, batch.action.shape[1], index)
        return learned

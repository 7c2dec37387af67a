"""Soft actor-critic for one seed in one file, sharing nothing with the package.

To compare whole learning curves with: its own networks, optimiser, replay, loop and evaluation,
from dm_control, NumPy and jax.numpy only.

    python plain_sac.py --task walker-walk --seed 0 --replay_ratio 8 --steps 20000 --out curve.csv
"""

import argparse
import os
from pathlib import Path

os.environ["MUJOCO_GL"] = "disabled"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from dm_control import suite  # noqa: E402

GAMMA, TAU, RATE, BATCH, WIDTH, WARM_UP = 0.99, 0.005, 3e-4, 256, 256, 10_000


def flat(time_step):
    """One float32 row of an observation."""
    parts = [np.atleast_1d(value).ravel() for value in time_step.observation.values()]
    return np.concatenate(parts).astype(np.float32)


def orthogonal(rng, rows, columns, gain):
    """A random matrix with orthonormal rows or columns, times gain."""
    gaussian = rng.normal(size=(max(rows, columns), min(rows, columns)))
    basis, triangle = np.linalg.qr(gaussian)
    basis = basis * np.sign(np.diag(triangle))
    return np.asarray(gain * (basis if rows >= columns else basis.T), np.float32)


def dense(rng, rows, columns, gain=2**0.5):
    return {"w": orthogonal(rng, rows, columns, gain), "b": np.zeros(columns, np.float32)}


def affine(layer, x):
    return x @ layer["w"] + layer["b"]


def hidden(layers, x):
    for layer in layers:
        x = jax.nn.relu(affine(layer, x))
    return x


def q_value(net, s, a):
    return affine(net["out"], hidden(net["hidden"], jnp.concatenate([s, a], -1)))[:, 0]


def policy(net, s):
    x = hidden(net["hidden"], s)
    log_sigma = -10.0 + 6.0 * (1.0 + jnp.tanh(affine(net["log_sigma"], x)))
    return affine(net["mu"], x), log_sigma


def sample(net, s, key):
    """Actions and their log-densities under the squashed Gaussian."""
    mu, log_sigma = policy(net, s)
    noise = jax.random.normal(key, mu.shape)
    raw = mu + jnp.exp(log_sigma) * noise
    gaussian = -0.5 * noise**2 - log_sigma - 0.5 * jnp.log(2 * jnp.pi)
    volume = 2.0 * (jnp.log(2.0) - raw - jax.nn.softplus(-2.0 * raw))
    return jnp.tanh(raw), (gaussian - volume).sum(-1)


def adam(parameters, moments, gradients, count):
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments[0], gradients)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, moments[1], gradients)
    one, two = 1 - 0.9**count, 1 - 0.999**count

    def move(p, m, v):
        return p - RATE * (m / one) / (jnp.sqrt(v / two) + 1e-8)

    return jax.tree.map(move, parameters, first, second), (first, second)


def update(state, batch):
    """One update, and None for `lax.scan`."""
    key, for_critic, for_actor = jax.random.split(state["key"], 3)
    return {**update_with(state, batch, for_critic, for_actor), "key": key}, None


def update_with(state, batch, for_critic, for_actor):
    """Critics, their targets, the actor, the temperature, in this order."""
    s, a, r, mask, following = batch
    count = state["count"] + 1
    alpha = jnp.exp(state["log_alpha"])

    next_a, next_log = sample(state["actor"], following, for_critic)
    next_q = jnp.minimum(*[q_value(net, following, next_a) for net in state["targets"]])
    y = r + GAMMA * mask * (next_q - alpha * next_log)

    def critic_loss(nets):
        return sum(jnp.mean((q_value(net, s, a) - y) ** 2) for net in nets)

    critics, critic_moments = adam(
        state["critics"], state["critic_moments"], jax.grad(critic_loss)(state["critics"]), count
    )
    targets = jax.tree.map(lambda p, t: TAU * p + (1 - TAU) * t, critics, state["targets"])

    def actor_loss(net):
        actions, log = sample(net, s, for_actor)
        q = jnp.minimum(*[q_value(critic, s, actions) for critic in critics])
        return jnp.mean(alpha * log - q), -jnp.mean(log)

    gradient, entropy = jax.grad(actor_loss, has_aux=True)(state["actor"])
    actor, actor_moments = adam(state["actor"], state["actor_moments"], gradient, count)

    missing = entropy + 0.5 * a.shape[-1]
    log_alpha, alpha_moments = adam(
        state["log_alpha"], state["alpha_moments"], alpha * missing, count
    )
    return {
        **state,
        "actor": actor,
        "actor_moments": actor_moments,
        "critics": critics,
        "critic_moments": critic_moments,
        "targets": targets,
        "log_alpha": log_alpha,
        "alpha_moments": alpha_moments,
        "count": count,
    }


def begin(seed, size_s, size_a):
    rng = np.random.default_rng(seed)

    def layers(inputs):
        return [dense(rng, inputs, WIDTH), dense(rng, WIDTH, WIDTH)]

    actor = {
        "hidden": layers(size_s),
        "mu": dense(rng, WIDTH, size_a),
        "log_sigma": dense(rng, WIDTH, size_a, gain=1.0),
    }
    critics = [{"hidden": layers(size_s + size_a), "out": dense(rng, WIDTH, 1)} for _ in range(2)]
    log_alpha = jnp.float32(0)

    def nothing(tree):
        zeros = jax.tree.map(jnp.zeros_like, tree)
        return (zeros, zeros)

    return jax.tree.map(
        jnp.asarray,
        {
            "actor": actor,
            "actor_moments": nothing(actor),
            "critics": critics,
            "critic_moments": nothing(critics),
            "targets": critics,
            "log_alpha": log_alpha,
            "alpha_moments": nothing(log_alpha),
            "count": jnp.int32(0),
            "key": jax.random.PRNGKey(seed),
        },
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", default="walker-walk")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replay_ratio", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--eval_interval", type=int, default=2_500)
    parser.add_argument("--out", required=True)
    flags = parser.parse_args()

    domain, task = flags.task.split("-")
    env = suite.load(domain, task, task_kwargs={"random": flags.seed})
    judge = suite.load(domain, task, task_kwargs={"random": flags.seed + 42})
    size_a = env.action_spec().shape[0]
    time_step = env.reset()
    observation = flat(time_step)
    size_s = observation.size
    state = begin(flags.seed, size_s, size_a)
    rng = np.random.default_rng([flags.seed, 7])
    acting_key = jax.random.PRNGKey(1_000 + flags.seed)

    s = np.zeros((flags.steps, size_s), np.float32)
    following = np.zeros_like(s)
    a = np.zeros((flags.steps, size_a), np.float32)
    r = np.zeros(flags.steps, np.float32)
    mask = np.zeros(flags.steps, np.float32)

    many = jax.jit(lambda state, batches: jax.lax.scan(update, state, batches)[0])
    act = jax.jit(lambda net, row, key: sample(net, row[None], key)[0][0])
    best = jax.jit(lambda net, row: jnp.tanh(policy(net, row[None])[0])[0])

    def evaluate():
        total = 0.0
        for _ in range(10):
            now = judge.reset()
            while not now.last():
                now = judge.step(np.asarray(best(state["actor"], flat(now))))
                total += now.reward
        return total / 10

    with Path(flags.out).open("w") as out:
        out.write("seed,env_step,return\n")
        for i in range(1, flags.steps + 1):
            if i < WARM_UP:
                action = rng.uniform(-1, 1, size_a).astype(np.float32)
            else:
                acting_key, key = jax.random.split(acting_key)
                action = np.clip(np.asarray(act(state["actor"], observation, key)), -1, 1)
            time_step = env.step(action)
            at = i - 1
            s[at], a[at], r[at] = observation, action, time_step.reward
            following[at] = observation = flat(time_step)
            mask[at] = 0.0 if time_step.last() and time_step.discount == 0 else 1.0
            if time_step.last():
                observation = flat(env.reset())
            if i >= WARM_UP:
                rows = rng.integers(0, i, (flags.replay_ratio, BATCH))
                state = many(state, (s[rows], a[rows], r[rows], mask[rows], following[rows]))
            if i % flags.eval_interval == 0:
                line = f"{flags.seed},{i},{evaluate():.1f}\n"
                out.write(line)
                out.flush()
                print(line, end="", flush=True)


if __name__ == "__main__":
    main()

"""The same batches and the same noise through `plain_sac.py` and through the package.

    PYTHONPATH=. python results/sr_sac-walker-walk-plain/same_updates.py RUN

RUN is the folder of a walker-walk run with checkpoints; its first lane's replay is what both learn
from, beginning with the same weights, with the default settings of `sr_sac`.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import plain_sac

from rr_scale.agents.build import make_agent
from rr_scale.presets import preset
from rr_scale.rng import Stream, root_key, stream_key
from rr_scale.types import Batch, Clock

SHOWN = (1, 10, 100, 1000, 2000)

chunks = [np.load(path) for path in sorted(Path(sys.argv[1]).glob("checkpoints/replay/*.npz"))]
rows = {name: np.concatenate([chunk[name][0] for chunk in chunks]) for name in chunks[0].files}
size, size_s = rows["observation"].shape
size_a = rows["action"].shape[1]

config = preset("sr_sac")
hp = jax.tree.map(jnp.float32, config.hp)
agent = make_agent(config, size_s, size_a)
root = root_key(0)


def layer(params):
    return {"w": params["kernel"], "b": params["bias"]}


def hidden(params):
    return [layer(params["trunk"][name]) for name in ("Dense_0", "Dense_1")]


def actor_of(params):
    heads = {"mu": layer(params["mean"]), "log_sigma": layer(params["log_sigma"])}
    return {"hidden": hidden(params), **heads}


def critics_of(params):
    members = [jax.tree.map(lambda x, n=n: x[n], params) for n in (0, 1)]
    return [{"hidden": hidden(member), "out": layer(member["value"])} for member in members]


@jax.jit
def both(ours, plain, picked, update):
    """One update of each."""
    data = {name: jnp.asarray(field)[picked] for name, field in rows.items()}
    mask = 1.0 - data["terminated"]
    moved = (data["observation"], data["action"], data["reward"])
    batch = Batch(*moved, 0.99 * mask, data["next_observation"], jnp.ones(len(picked)))
    ours, _ = agent.update(hp, ours, {"train": batch}, Clock(jnp.int32(0), update, update))
    keys = jax.random.split(stream_key(root, Stream.UPDATE, update), 4)
    plain = plain_sac.update_with(plain, (*moved, mask, data["next_observation"]), keys[0], keys[1])
    return ours, plain


ours = jax.jit(agent.init)(root, hp)
plain = plain_sac.begin(0, size_s, size_a)
plain["actor"] = actor_of(ours.actor.params)
plain["critics"] = plain["targets"] = critics_of(ours.critic.params)
rng = np.random.default_rng(0)
print(f"{size} rows; largest difference of a weight, and log alpha of both")
for count in range(1, max(SHOWN) + 1):
    ours, plain = both(ours, plain, rng.integers(0, size, 256), jnp.int32(count - 1))
    if count in SHOWN:
        pairs = [
            (actor_of(ours.actor.params), plain["actor"]),
            (critics_of(ours.critic.params), plain["critics"]),
        ]
        apart = [
            max(
                float(jnp.abs(a - b).max())
                for a, b in zip(*map(jax.tree.leaves, pair), strict=True)
            )
            for pair in pairs
        ]
        alphas = (float(ours.duals["temperature"].params), float(plain["log_alpha"]))
        moved = f"actor {apart[0]:.1e}, critics {apart[1]:.1e}"
        print(f"update {count}: {moved}, log alpha {alphas[0]:.6f} and {alphas[1]:.6f}")

"""What a watched pass shows, and that nobody else notices it."""

from __future__ import annotations

import flax.linen as nn
import jax
import numpy as np
import pytest

from rr_scale.config import ActorConfig, CriticConfig, NetworkConfig
from rr_scale.nets.build import build_critic, build_policy
from rr_scale.nets.trunks import TRUNKS

OBSERVATION, ACTION, BATCH, WIDTH = 3, 2, 5, 4
RNG = np.random.default_rng(0)
S = RNG.normal(size=(BATCH, OBSERVATION)).astype(np.float32)
A = RNG.normal(size=(BATCH, ACTION)).astype(np.float32)
INNER = {
    "mlp": WIDTH,
    "bronet": WIDTH,
    "simba": 4 * WIDTH,
    "simba_v2": 4 * WIDTH,
    "flash": 4 * WIDTH,
}


def network(trunk="mlp", **settings):
    defaults = {"hidden": (WIDTH, WIDTH), "initializer": "fan_in_uniform"}
    return NetworkConfig(trunk=trunk, **(defaults | settings))


def critics(config):
    """(two critics, their parameters moved off zero biases, their statistics)."""
    critic = build_critic(CriticConfig(network=config, ensemble_size=2), OBSERVATION, ACTION)
    params, stats = critic.init(jax.random.key(0))
    rng = np.random.default_rng(1)
    return critic, jax.tree.map(lambda p: p + 0.1 * rng.normal(size=p.shape), params), stats


@pytest.mark.parametrize("trunk", TRUNKS)
def test_every_trunk_shows_its_hidden_layers_and_features(trunk):
    config = network(trunk, dropout=0.5, normalization="batch_norm")
    critic, params, stats = critics(config)
    seen = jax.eval_shape(critic.watch, params, stats, S, A)
    assert {name: leaf.shape for name, leaf in seen.hidden.items()} == {
        f"hidden_{index}": (2, BATCH, INNER[trunk]) for index in range(2)
    }
    assert seen.features.shape == (2, BATCH, WIDTH)
    policy = build_policy(ActorConfig(network=config), OBSERVATION, ACTION)
    shown = jax.eval_shape(lambda: policy.watch(*policy.init(jax.random.key(0)), S))
    assert shown.features.shape == (BATCH, WIDTH)
    assert {leaf.shape for leaf in shown.hidden.values()} == {(BATCH, INNER[trunk])}


@pytest.mark.parametrize("trunk", TRUNKS)
def test_ordinary_passes_are_the_programs_they_would_be_without_marks(trunk, monkeypatch):
    critic, params, stats = critics(network(trunk, normalization="batch_norm"))

    def programs():
        inits = jax.make_jaxpr(critic.init)(jax.random.key(0))
        passes = [
            jax.make_jaxpr(critic.apply, static_argnums=(4, 5))(params, stats, S, A, None, train)
            for train in (False, True)
        ]
        return [str(program) for program in (inits, *passes)]

    marked = programs()
    monkeypatch.setattr(nn.Module, "sow", lambda *args, **kwargs: False)
    assert programs() == marked


@pytest.mark.parametrize("after", [False, True])
def test_the_numbers_are_what_the_activation_gave_in_inference(after):
    """Batch normalisation with running statistics (0, 1), no dropout; features follow both."""
    config = network(
        hidden=(WIDTH,), normalization="batch_norm", normalize_after_activation=after, dropout=0.5
    )
    critic, params, stats = critics(config)
    seen = critic.watch(params, stats, S, A)
    for member in range(2):
        own = jax.tree.map(lambda leaf, i=member: np.asarray(leaf[i]), params["trunk"])
        dense, norm = own["Dense_0"], own["BatchNorm_0"]

        def normalized(x, norm=norm):
            return x / np.sqrt(1 + 1e-3) * norm["scale"] + norm["bias"]

        x = np.concatenate([S, A], -1) @ dense["kernel"] + dense["bias"]
        x = np.maximum(x if after else normalized(x), 0)
        np.testing.assert_allclose(seen.hidden["hidden_0"][member], x, atol=1e-5)
        features = normalized(x) if after else x
        np.testing.assert_allclose(seen.features[member], features, atol=1e-5)


def test_heads_read_the_features():
    critic, params, stats = critics(network("bronet", normalization="layer_norm"))
    output, _ = critic.apply(params, stats, S, A, None, False)
    head, features = params["value"], critic.watch(params, stats, S, A).features
    expected = features @ head["kernel"] + head["bias"][:, None]
    np.testing.assert_allclose(output, expected, atol=1e-5)

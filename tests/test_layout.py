"""Hidden layers are where the layout says they are, in every trunk."""

from __future__ import annotations

import functools

import jax
import numpy as np
import pytest

from rr_scale.agents.recycle import names_on, recycle
from rr_scale.agents.state import Learner
from rr_scale.config import CriticConfig, NetworkConfig, ResetRule
from rr_scale.nets.build import build_critic
from rr_scale.nets.layout import below, layout
from rr_scale.nets.trunks import TRUNKS

# Each program runs once: compiling it well would cost more than it saves.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
OBSERVATION, ACTION, BATCH, WIDTH = 3, 2, 5, 4
KINDS = {
    "mlp": ("free", "unit_norm", "weight_norm", "spectral_norm"),
    "bronet": ("free", "spectral_norm"),
    "simba": ("unit_norm", "spectral_norm"),
    "flash": ("free", "spectral_norm"),
}


def build(trunk, kernel="free", **settings):
    defaults = {"hidden": (WIDTH, WIDTH), "initializer": "fan_in_uniform"}
    network = NetworkConfig(trunk=trunk, kernel=kernel, **(defaults | settings))
    return network, build_critic(CriticConfig(network=network), OBSERVATION, ACTION)


CASES = [
    *((trunk, "free", "none", False) for trunk in TRUNKS),
    *(
        (trunk, kernel, "batch_norm", True)
        for trunk, kernels in KINDS.items()
        for kernel in kernels
    ),
    ("bronet", "free", "layer_norm", True),
]


@pytest.mark.parametrize(("trunk", "kernel", "normalization", "normalize_input"), CASES)
def test_modules_of_a_layer_have_an_entry_for_every_unit(
    trunk, kernel, normalization, normalize_input
):
    network, critic = build(
        trunk, kernel, normalization=normalization, normalize_input=normalize_input
    )
    params, stats = jax.eval_shape(critic.init, jax.random.key(0))
    given = (jax.ShapeDtypeStruct((BATCH, size), np.float32) for size in (OBSERVATION, ACTION))
    seen = jax.eval_shape(critic.watch, params, stats, *given)
    leaves = {names_on(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    described = layout(network)
    assert list(described) == list(seen.hidden)
    for name, layer in described.items():
        units = seen.hidden[name].shape[-1]

        def shapes(module):
            return [leaf.shape for names, leaf in leaves.items() if below(names, module)]  # noqa: B023

        assert shapes(layer.dense)
        for module in (layer.dense, *layer.per_unit):
            assert all(shape[-1] == units for shape in shapes(module))
        normalized = trunk != "simba" and (normalization != "none" or trunk == "simba_v2")
        assert bool(layer.per_unit and shapes(layer.per_unit[0])) == normalized
        kernels = [s for module in layer.outgoing for s in shapes(module) if len(s) == 3]
        assert kernels and all(shape[-2] == units for shape in kernels)


def slow(*case):
    return pytest.param(*case, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("trunk", "settings"),
    [
        ("mlp", {"normalization": "batch_norm", "normalize_input": True}),
        ("bronet", {"normalization": "batch_norm"}),
        slow("mlp", {"normalization": "batch_norm", "normalize_after_activation": True}),
        slow("mlp", {"kernel": "unit_norm", "unit_head": True}),
        slow("mlp", {"kernel": "spectral_norm"}),
        slow("simba", {"normalization": "layer_norm"}),
        slow("flash", {"normalization": "batch_norm"}),
    ],
)
def test_what_leads_to_units_changes_them_and_only_what_reads_them_passes_that_on(trunk, settings):
    """Two draws for the same units of one layer: these differ, the rest of the network does not."""
    network, critic = build(trunk, **settings)
    (name, layer), *_ = layout(network).items()
    units = np.arange(WIDTH * (4 if trunk in ("simba", "flash") else 1)) % 2 == 0
    s, a = (np.ones((BATCH, size), np.float32) for size in (OBSERVATION, ACTION))

    def learner(seed):
        params, stats = critic.init(jax.random.key(seed))
        return Learner(params, None, (), stats)

    def both():
        old = learner(0)
        seen = critic.watch(old.params, old.stats, s, a)
        # Of all the units only half are said to be silent.
        silent = jax.tree.map(lambda x: x * 0.0 + 1.0, seen.hidden)
        silent[name] = silent[name] * ~units
        one = functools.partial(
            recycle, ResetRule(how="recycle"), {name: layer}, seen._replace(hidden=silent), old
        )
        found = [one(learner(seed)) for seed in (1, 2)]
        return [
            (
                critic.watch(now.params, now.stats, s, a),
                critic.apply(now.params, now.stats, s, a, None, False)[0],
            )
            for now in found
        ]

    program = jax.jit(both).lower().compile(compiler_options=QUICK)
    (left, q_left), (right, q_right) = program()
    differs = (np.asarray(left.hidden[name]) != np.asarray(right.hidden[name])).any(axis=(0, 1))
    assert differs[units].any() and not differs[~units].any()
    for other in set(left.hidden) - {name}:
        np.testing.assert_allclose(left.hidden[other], right.hidden[other], atol=1e-6)
    np.testing.assert_allclose(q_left, q_right, atol=1e-6)

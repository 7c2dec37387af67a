"""Ingredients drawn at random, whether anybody published the combination or not.

What does not fit is refused by `validate` and drawn again; what is accepted
must learn: everything finite and everything changed after 50 updates, by a
program that is not that of `sac`. And a run with it, with a way of replay and
a reset drawn at random as well, must resume exactly.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import agent_of, changed, host, make_batch, named, tiny, traced
from rr_scale import run
from rr_scale.config import ResetRule
from rr_scale.core.aggregate import AGGREGATES
from rr_scale.errors import UserError
from rr_scale.presets.registry import with_settings
from rr_scale.rng import root_key
from rr_scale.types import Clock
from rr_scale.validation import validate
from small_runs import dying, exact_files, share_engines

UPDATES, BATCHES = 50, 4
# Each program runs once: compiling it well would cost more than it saves.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
TRUNKS = {"trunk": ("mlp", "bronet", "simba", "simba_v2", "flash"), "hidden": ((16,), (8, 8))}
LAYERS = {
    "normalization": ("none", "layer_norm", "rms_norm", "batch_norm", "batch_renorm"),
    "activation": ("relu", "elu", "crelu"),
    "kernel": ("free", "unit_norm", "weight_norm", "spectral_norm"),
    "unit_head": (False, True),
    "normalize_input": (False, True),
    "dropout": (0.0, 0.1),
}
NETWORK = TRUNKS | LAYERS
CHOICES = {
    **{f"agent.actor.network.{name}": values for name, values in NETWORK.items()},
    **{f"agent.critic.network.{name}": values for name, values in NETWORK.items()},
    **{f"agent.explorer.network.{name}": values for name, values in TRUNKS.items()},
    "agent.actor.optimizer.name": ("adam", "adamw"),
    "agent.actor.log_sigma_map": ("tanh", "clip"),
    "agent.actor.objective_ensemble": tuple(AGGREGATES),
    "agent.actor.num_samples": (1, 2),
    "agent.critic.value": ("scalar", "categorical", "quantile"),
    "agent.critic.num_atoms": (11,),
    "agent.critic.num_quantiles": (5,),
    "agent.critic.dropped_quantiles": (0, 2),
    "agent.critic.ensemble_size": (1, 2, 3),
    "agent.critic.target_subset": (0, 2),
    "agent.critic.target_ensemble": tuple(AGGREGATES),
    "agent.critic.bootstrap_policy": ("current", "target", "target_noise"),
    "agent.critic.target_network": ("polyak", "hard", "none"),
    "agent.pessimism": ("fixed", "gpl", "top"),
    "agent.explorer.kind": ("none", "optimistic"),
    "agent.temperature": ("alpha", "log", "fixed", "none"),
    "agent.actor_delay": (1, 3),
    "agent.target_delay": (1, 2),
    "agent.lr_schedule": ("constant", "linear", "cosine"),
    "agent.normalize_observations": (False, True),
    "agent.reward_scale": ("none", "return_std", "return_bound"),
    "agent.noise_repeat": (1, 4),
    "hp.critic_weight_decay": (0.0, 0.01),
    "hp.critic_max_grad_norm": (np.inf, 1.0),
}
# What only whole runs have.
AT = {"unit": "env_steps", "at": (50, 70)}
IN_RUNS = {
    "replay.sampling": ("uniform", "prioritized", "lap"),
    "replay.hindsight": ("none", "future", "final", "episode"),
    "replay.validation_share": (0.0, 0.3),
    "replay.storage": ("plain", "compact"),
    "replay.n_step": (1, 3),
    "agent.exploration": ("policy", "gaussian", "ou"),
    "resets": (
        (ResetRule(**AT),),
        (ResetRule(**AT, what="last_layers"),),
        (ResetRule(**AT, what="critic", how="shrink_perturb"),),
        (ResetRule(**AT, what="actor", layers=("hidden_0",)),),
        (ResetRule(**AT, how="recycle", score="relative", threshold=0.5),),
    ),
}
RUN = {
    # Has goals and episodes of 8 steps, so the ring wraps and keeps several.
    "env_name": "probe-bit-flip",
    "max_steps": 90,
    "eval_interval": 45,
    "eval_episodes": 1,
    "log_interval": 15,
    "checkpoint_freq": 30,
    "replay.capacity": 50,
}


def in_order(values):
    """The steps that these ingredients need."""
    steps = ["critic"]
    steps += ["pessimism"] if values["agent.pessimism"] == "gpl" else []
    follows = values["agent.critic.target_network"] != "none"
    follows |= values["agent.critic.bootstrap_policy"] != "current"
    steps += ["target"] if follows else []
    explores = values["agent.explorer.kind"] == "optimistic"
    steps += ["actor"] + ["explorer"] * explores
    steps += ["temperature"] if values["agent.temperature"] in ("alpha", "log") else []
    return (*steps, *["optimism"] * explores)


def first_that_fits(rng, choices, build):
    """The first configuration that `validate` accepts.

    Args:
      rng: draws a value of each of `choices`, by path.
      build: of a configuration from these values.
    """
    for _ in range(1000):
        values = {path: options[rng.integers(len(options))] for path, options in choices.items()}
        config = build(values)
        try:
            validate(config)
        except UserError:
            continue
        return config
    raise AssertionError("nothing fits")


def draw(seed):
    """The first combination of this seed that fits."""

    def build(values):
        return tiny("sac", values | {"agent.update_order": in_order(values)})

    return first_that_fits(np.random.default_rng(seed), CHOICES, build)


BATCH_STACK = jax.tree.map(lambda *leaves: np.stack(leaves), *map(make_batch, range(BATCHES)))


def traced_run(config):
    """Init and 50 updates as one program: hp -> (state before, state after, sum of metrics)."""
    agent = agent_of(config)

    def run(hp):
        before = agent.init(root_key(0), hp)

        def body(index, carry):
            state, total = carry
            batch = jax.tree.map(lambda x: jnp.asarray(x)[index % BATCHES], BATCH_STACK)
            now = Clock(jnp.int32(100), index, index)
            state, feedback = agent.update(hp, state, {"train": batch}, now)
            return state, total + sum(mean.total for mean in feedback.metrics.values())

        after, total = jax.lax.fori_loop(0, UPDATES, body, (before, jnp.zeros(())))
        return before, after, total

    return jax.jit(run).trace(traced(config.hp))


@functools.cache
def program_of_sac():
    return str(traced_run(tiny("sac")).jaxpr)


def seeds(normal):
    """A hundred, of which the first few are in the normal tests."""
    return [
        pytest.param(seed, marks=() if seed < normal else pytest.mark.slow) for seed in range(100)
    ]


@pytest.mark.parametrize("seed", seeds(10))
def test_what_fits_learns_in_all_its_parts(seed):
    config = draw(seed)
    traced_program = traced_run(config)
    assert str(traced_program.jaxpr) != program_of_sac()
    program = traced_program.lower().compile(compiler_options=QUICK)
    before, after, total = host(program(traced(config.hp)))
    assert np.isfinite(total)
    for path, leaf in named(after).items():
        assert np.isfinite(leaf).all(), path
    # What observing changes, updates must leave alone.
    constant = {path for path in named(before) if path == ".root" or "normalizers" in path}
    assert changed(before, after) == set(named(before)) - constant


def draw_run(seed):
    """A run with the combination of this seed, and with a way of replay and resets that fits."""
    config = draw(seed)
    if config.agent.pessimism == "gpl":
        config = with_settings(config, {"agent.pessimism": ("gpl", "vpl")[seed % 2]})
    rng = np.random.default_rng([seed, 1])
    return first_that_fits(rng, IN_RUNS, lambda values: with_settings(config, RUN | values))


@pytest.mark.parametrize("seed", seeds(3))
def test_what_fits_resumes_exactly(seed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    share_engines(monkeypatch)
    config = draw_run(seed)
    whole, crashed = (
        dataclasses.replace(config, save_dir=str(tmp_path / name)) for name in ("whole", "crashed")
    )
    assert run(whole).exit_status == 0
    with dying("_step", 80):
        run(crashed)
    assert run(dataclasses.replace(crashed, resume="must")).exit_status == 0
    assert exact_files(tmp_path / "crashed") == exact_files(tmp_path / "whole")


def test_draws_are_combinations_that_differ():
    drawn = [draw(seed) for seed in range(10)]
    assert len(set(drawn)) == 10
    for path in ("value", "target_ensemble"):
        assert len({getattr(config.agent.critic, path) for config in drawn}) > 1
    assert len({config.agent.explorer.kind for config in drawn}) == 2

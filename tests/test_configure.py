"""Operations on configurations: typed setting, checking, storing, comparing, lanes."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import replace
from typing import Any

import pytest

from rr_scale import configure, fields
from rr_scale.config import HyperParams, ResetRule, RunConfig, Variant
from rr_scale.errors import UserError
from rr_scale.presets import PRESETS, preset
from rr_scale.validation import validate


def value_at(config: RunConfig, path: str) -> Any:
    return configure.flatten(config)[path]


def changed(leaf: fields.Leaf) -> Any:
    """Another value of the same type; it need not be a legal one."""
    if leaf.path == "variants":
        return (Variant("a"),)
    if isinstance(leaf.value, bool):
        return not leaf.value
    if isinstance(leaf.value, tuple):
        return (*leaf.value, "critic" if leaf.kind == tuple[str, ...] else 7)
    if isinstance(leaf.value, str):
        return leaf.value + "x"
    return 1.0 if leaf.value == math.inf else leaf.value + 1


def with_value(thing: Any, path: str, value: Any) -> Any:
    """`thing` with the setting at `path` replaced, without any check."""
    name, _, rest = path.partition(".")
    if isinstance(thing, tuple):
        inner = with_value(thing[int(name)], rest, value)
        return (*thing[: int(name)], inner, *thing[int(name) + 1 :])
    inner = with_value(getattr(thing, name), rest, value) if rest else value
    return replace(thing, **{name: inner})


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("agent.critic.ensemble_size", "4", 4),
        ("max_steps", "3e5", 300_000),
        ("max_steps", " 12 ", 12),
        ("updates_per_step", "2", 2.0),
        ("hp.target_noise_clip", "inf", math.inf),
        ("hp.adam_eps", "1e-5", 1e-5),
        ("tqdm", "False", False),
        ("fallback", "yes", True),
        ("exp_name", "a=b, c", "a=b, c"),
        ("agent.actor.network.hidden", "512,128", (512, 128)),
        ("agent.actor.network.hidden", "[512, 128]", (512, 128)),
        ("agent.actor.network.hidden", "", ()),
        ("agent.actor.network.hidden.1", "64", (256, 64)),
        ("agent.update_order", "critic, actor,target", ("critic", "actor", "target")),
        ("agent.update_order", '["critic","actor"]', ("critic", "actor")),
        ("resets.0.interval", "5", 5),
        ("resets.0.at", "10,20", (10, 20)),
    ],
)
def test_set_path_types_the_text(path: str, text: str, expected: Any) -> None:
    config = configure.set_path(RunConfig(), path, text)
    got = value_at(config, path.removesuffix(".1"))
    assert got == expected
    assert type(got) is type(expected)
    assert value_at(RunConfig(), path.removesuffix(".1")) != expected


def test_set_path_takes_a_whole_list_of_rules() -> None:
    text = '[{"unit": "env_steps", "interval": 20000}, {"what": "actor", "at": [3]}]'
    config = configure.set_path(RunConfig(), "resets", text)
    first = ResetRule(unit="env_steps", interval=20_000)
    assert config.resets == (first, ResetRule(what="actor", at=(3,)))
    assert configure.set_path(config, "resets", "[]").resets == ()


def test_set_path_takes_variants() -> None:
    text = '[{"name": "slow", "overrides": [["tau", 0.001]]}]'
    config = configure.set_path(RunConfig(), "variants", text)
    assert config.variants == (Variant("slow", (("tau", 0.001),)),)


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("agent.critic.ensembl_size", "4", ["agent.critic.ensembl_size", "critic.ensemble_size'"]),
        ("discount", "0.9", ["unknown", "hp.discount"]),
        ("agnt", "1", ["unknown", "'agent'"]),
        ("hp", "1", ["hp is a group", "hp.actor_lr"]),
        ("resets.0", "1", ["resets.0 is a group", "resets.0.unit"]),
        ("resets.1.interval", "5", ["resets.1.interval", "1 entries"]),
        ("resets.x.interval", "5", ["unknown", "resets.0.interval"]),
        ("max_steps.a", "5", ["unknown", "max_steps"]),
        ("agent.critic.ensemble_size", "two", ["ensemble_size", "an integer", "'two'"]),
        ("max_steps", "1.5", ["max_steps", "an integer", "1.5"]),
        ("max_steps", "inf", ["max_steps", "an integer", "inf"]),
        ("max_steps", "true", ["max_steps", "an integer", "true"]),
        ("updates_per_step", "nan", ["updates_per_step", "a number", "nan"]),
        ("tqdm", "maybe", ["tqdm", "true or false", "maybe"]),
        ("agent.actor.network.hidden", "256,big", ["hidden", "an integer", "big"]),
        ("agent.actor.network.hidden", "[256", ["hidden", "JSON", "[256"]),
        ("agent.actor.network.hidden", "[[1]]", ["hidden.0", "an integer"]),
        ("resets", "5", ["resets", "JSON list of ResetRule"]),
        ("resets", '[{"intervall": 5}]', ["resets.0.intervall", "'interval'"]),
        ("resets", '[{"interval": true}]', ["resets.0.interval", "an integer", "True"]),
        ("variants", '[{"overrides": [["tau"]]}]', ["variants.0.overrides.0", "list"]),
    ],
)
def test_set_path_explains_what_is_wrong(path: str, text: str, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        configure.set_path(RunConfig(), path, text)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid_and_survive_json(name: str) -> None:
    config = preset(name)
    validate(config)
    stored = json.loads(json.dumps(configure.to_dict(config), allow_nan=False))
    assert configure.from_dict(stored) == config
    assert stored["hp"]["actor_max_grad_norm"] == "inf"


def test_from_dict_restores_types_and_fills_defaults() -> None:
    config = replace(
        RunConfig(),
        updates_per_step=2,
        variants=(Variant("a", (("tau", 1),)),),
        resets=(ResetRule(at=(1, 2)), ResetRule()),
    )
    stored = configure.to_dict(config)
    del stored["log_interval"]
    restored = configure.from_dict(json.loads(json.dumps(stored)))
    assert restored == config
    assert type(restored.updates_per_step) is float
    assert configure.to_dict(restored) == configure.to_dict(config)


@pytest.mark.parametrize("stored", [[], {"hp": 3}, {"seeed": 1}, {"seed": "1"}, {"seed": None}])
def test_from_dict_refuses_what_does_not_fit(stored: Any) -> None:
    with pytest.raises(UserError):
        configure.from_dict(stored)


FREE = {leaf.path for leaf in fields.leaves(RunConfig()) if leaf.field.metadata.get("free")}
# The entries of `variants` are a leaf only while there are none.
LEAVES = {leaf.path: leaf for leaf in fields.leaves(configure.resolve(RunConfig()))}


@pytest.mark.parametrize("path", LEAVES)
def test_exactly_the_fixed_fields_make_another_experiment(path: str) -> None:
    config = configure.resolve(RunConfig())
    other = with_value(config, path, changed(LEAVES[path]))
    found = configure.differences(config, other)
    same_digest = configure.fixed_digest(config) == configure.fixed_digest(other)
    if path in FREE:
        assert found == []
        assert same_digest
    else:
        assert [one[0] for one in found] == [path]
        assert found[0][1:] == (LEAVES[path].value, changed(LEAVES[path]))
        assert not same_digest


def test_free_fields_are_the_declared_ones() -> None:
    assert set(configure.free_fields(RunConfig())) == FREE
    assert {"max_steps", "replay.storage"} <= FREE
    assert "seed" not in FREE


def test_lists_of_other_length_are_one_difference() -> None:
    with_two = replace(RunConfig(), resets=(ResetRule(interval=3), ResetRule()), seed=1)
    found = configure.differences(RunConfig(), with_two)
    assert [path for path, _, _ in found] == ["seed", "resets"]


def test_digest_does_not_depend_on_how_a_number_is_written() -> None:
    digests = [configure.fixed_digest(replace(RunConfig(), updates_per_step=n)) for n in (2, 2.0)]
    assert digests[0] == digests[1]


def test_flatten_names_every_setting() -> None:
    flat = configure.flatten(RunConfig())
    assert flat["agent.critic.network.hidden"] == (256, 256)
    assert flat["resets.0.unit"] == "updates"
    assert flat["variants"] == ()
    assert not any(dataclasses.is_dataclass(value) for value in flat.values())


def test_lanes_without_variants_share_one_folder() -> None:
    found = configure.lanes(replace(RunConfig(), seed=3, num_seeds=2))
    assert [(lane.seed, lane.folder, lane.exp_name) for lane in found] == [
        (3, "", "sr_sac"),
        (4, "", "sr_sac"),
    ]
    assert found[0].hp == HyperParams()


def test_lanes_are_seeds_times_variants() -> None:
    variants = (Variant("slow", (("tau", 0.001),)), Variant("plain"))
    config = replace(RunConfig(), num_seeds=2, variants=variants, exp_name="e")
    found = configure.lanes(config)
    assert [(lane.folder, lane.seed, lane.exp_name, lane.hp.tau) for lane in found] == [
        ("slow", 0, "e_slow", 0.001),
        ("slow", 1, "e_slow", 0.001),
        ("plain", 0, "e_plain", 0.005),
        ("plain", 1, "e_plain", 0.005),
    ]


def test_resolve_fills_names_and_is_idempotent() -> None:
    config = configure.resolve(preset("td3"))
    assert config.exp_name == "td3"
    assert config.save_dir == configure.default_save_dir(preset("td3"))
    assert configure.resolve(config) == config
    assert configure.resolve(replace(config, save_dir="x")).save_dir == "x"


def test_default_save_dir_is_one_safe_folder_per_experiment() -> None:
    config = RunConfig(env_name="dm_control/cheetah-run-v0", exp_name="../my exp")
    folder = configure.default_save_dir(config)
    assert folder == (f"runs/dm_control-cheetah-run-v0-..-my-exp-{configure.fixed_digest(config)}")
    assert folder == configure.default_save_dir(replace(config, max_steps=5, tqdm=False))
    assert folder != configure.default_save_dir(replace(config, seed=1))


def test_schedule_horizon_is_the_first_budget_unless_given() -> None:
    assert RunConfig(max_steps=70).schedule_horizon == 70
    assert RunConfig(max_steps=70, noise_horizon=30).schedule_horizon == 30

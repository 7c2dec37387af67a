"""From a grid to jobs: what shares a program is one job, and mistakes are one line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from rr_scale import configure
from rr_scale.envs.suites import check_name
from rr_scale.errors import UserError
from rr_scale.sweep.grid import Grid, from_flags, from_tables, read_grid
from rr_scale.sweep.plan import make_jobs
from rr_scale.sweep.suites import SUITES

TOY: dict[str, Any] = {
    "tasks": ["cartpole-swingup", "pendulum-swingup"],
    "presets": ["sac", "td3"],
    "seeds": 3,
    "grid": {"hp.actor_lr, hp.critic_lr": [1e-3, 3e-4]},
}


def jobs_of(**changes: Any):
    return make_jobs(from_tables(TOY | changes))


def test_seeds_and_hyper_parameters_share_a_job_and_structures_do_not():
    jobs = jobs_of()
    assert [job.name for job in jobs] == [
        "cartpole-swingup-sac-rr1",
        "cartpole-swingup-td3-rr1",
        "pendulum-swingup-sac-rr1",
        "pendulum-swingup-td3-rr1",
    ]
    assert [job.num_lanes for job in jobs] == [6] * 4
    lanes = configure.lanes(jobs[0].config)
    assert [lane.seed for lane in lanes] == [0, 1, 2] * 2
    rates = [(lane.hp.actor_lr, lane.hp.critic_lr, lane.hp.temperature_lr) for lane in lanes]
    assert rates == [(1e-3, 1e-3, 3e-4)] * 3 + [(3e-4, 3e-4, 3e-4)] * 3
    assert lanes[0].exp_name == "sac-rr1_actor_lr+critic_lr=0.001"


def test_replay_ratios_and_structural_axes_are_jobs_of_their_own():
    sizes = {"replay.batch_size": [64, 128], "hp.tau": [0.01]}
    jobs = jobs_of(tasks=["cheetah-run"], presets="sac", replay_ratios=[1, 0.5], grid=sizes)
    assert [job.name for job in jobs] == [
        "cheetah-run-sac-rr1-batch_size=64",
        "cheetah-run-sac-rr1-batch_size=128",
        "cheetah-run-sac-rr0.5-batch_size=64",
        "cheetah-run-sac-rr0.5-batch_size=128",
    ]
    assert [job.config.updates_per_step for job in jobs] == [1.0, 1.0, 0.5, 0.5]
    assert [job.config.replay.batch_size for job in jobs] == [64, 128, 64, 128]
    assert {job.config.variants[0].overrides for job in jobs} == {(("tau", 0.01),)}


def test_lists_can_be_values_and_axes_of_one_name_stay_apart():
    axes = {"agent.actor.network.hidden": [[8, 8], [16]], "agent.critic.network.hidden": [[32]]}
    jobs = jobs_of(tasks=["cheetah-run"], presets="sac", grid=axes)
    assert [job.config.agent.actor.network.hidden for job in jobs] == [(8, 8), (16,)]
    assert "agent.actor.network.hidden=8x8-agent.critic.network.hidden=32" in jobs[0].name


@pytest.mark.parametrize(("limit", "expected"), [(4, 2), (3, 2), (2, 4), (1, 6), (100, 1)])
def test_many_lanes_are_split_over_jobs_and_none_is_lost(limit: int, expected: int):
    jobs = jobs_of(tasks=["cheetah-run"], presets="sac", max_lanes=limit)
    assert len(jobs) == expected == len({job.name for job in jobs})
    assert all(job.num_lanes <= limit for job in jobs)
    lanes = [(v.name, s) for job in jobs for v in job.config.variants for s in _seeds(job)]
    assert sorted(lanes) == sorted(
        (f"actor_lr+critic_lr={rate}", seed) for rate in ("0.001", "0.0003") for seed in range(3)
    )


def _seeds(job: Any) -> range:
    return range(job.config.seed, job.config.seed + job.config.num_seeds)


def test_settings_win_over_the_budget_of_a_suite_and_the_suite_over_the_preset():
    plain = make_jobs(from_tables({"suite": "dmc15-500k"}))
    assert {job.config.max_steps for job in plain} == {500_000}
    short = from_tables({"suite": "DMC15-500k", "settings": {"max_steps": 1e5}})
    assert {job.config.max_steps for job in make_jobs(short)} == {100_000}


def test_suites_hold_tasks_that_exist():
    sizes = {name: len(set(suite.tasks)) for name, suite in SUITES.items()}
    assert sizes == {
        "dmc15-500k": 15,
        "dmc-easy": 9,
        "dmc-medium": 12,
        "dmc-hard": 7,
        "dog": 4,
        "humanoid": 3,
        "mujoco-5": 5,
    }
    assert not set(SUITES["dmc-easy"].tasks) & set(SUITES["dmc-medium"].tasks)
    for suite in SUITES.values():
        for task in suite.tasks:
            check_name(task)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"suite": "dmc-hart"}, "unknown suite 'dmc-hart'; did you mean 'dmc-hard'?"),
        ({"tasks": []}, "no tasks: name some, or a suite"),
        ({"tasks": ["cheeta-run"]}, "unknown environment 'cheeta-run'"),
        ({"presets": ["sacc"]}, "unknown preset 'sacc'; did you mean 'sac'?"),
        ({"preset": ["sac"]}, "unknown key 'preset'; did you mean 'presets'?"),
        ({"seeds": "many"}, "seeds: expected an integer, got 'many'"),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"grid": {"hp.actor_rate": [1]}}, "unknown setting 'hp.actor_rate'"),
        ({"grid": {"hp.tau": []}}, "grid: hp.tau must be a list of values"),
        ({"grid": {"hp.tau": [0.1, 0.1]}}, "variants.1.name must be unique"),
        ({"grid": {"hp.tau": [2]}}, "variants.0.overrides.tau must be at most 1, got 2.0"),
        ({"grid": {"hp.tau, replay.batch_size": [1]}}, "mixes hp.* with structure"),
        ({"grid": {"seed": [1, 2]}}, "'seed' cannot be set in a sweep: use first_seed"),
        ({"grid": {"max_steps": [1, 2]}}, "makes no other experiment: put it in settings"),
        ({"settings": {"max_step": 5}}, "unknown setting 'max_step'; did you mean 'max_steps'?"),
        ({"settings": {"save_dir": "x"}}, "'save_dir' cannot be set in a sweep"),
        ({"settings": {"hp.critic_lr": 1e-4}}, "'hp.critic_lr' is set twice"),
        ({"replay_ratios": [1, 1.0]}, "'cartpole-swingup-sac-rr1' occurs twice"),
        ({"slurm": {"minuets": 5}}, "unknown setting 'slurm.minuets'; did you mean 'minutes'?"),
        ({"slurm": 5}, "slurm must be a table"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(changes: dict[str, Any], message: str):
    with pytest.raises(UserError) as error:
        jobs_of(**changes)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_is_read_with_nested_and_quoted_paths(tmp_path: Path):
    file = tmp_path / "grid.toml"
    file.write_text(
        'tasks = ["cheetah-run"]\npresets = "sac"\n[settings]\nreplay.batch_size = 32\n'
        '"overlap" = true\nresets = [{unit = "env_steps", at = [100]}]\n'
        '[grid]\nhp.tau = [0.1]\n[slurm]\nminutes = 5\nextra = {qos = "low"}\n'
    )
    grid = read_grid(file)
    (job,) = make_jobs(grid)
    assert job.config.replay.batch_size == 32
    assert job.config.overlap
    assert job.config.resets[0].at == (100,)
    assert job.config.variants[0].name == "tau=0.1"
    assert (grid.slurm.minutes, grid.slurm.extra) == (5, (("qos", "low"),))


@pytest.mark.parametrize(("text", "message"), [("tasks = [", "not valid TOML"), (None, "No such")])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str | None, message: str):
    file = tmp_path / "grid.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        read_grid(file)
    assert str(file) in str(error.value)


def test_flags_win_over_a_file():
    given: dict[str, Any] = dict.fromkeys(field.name for field in dataclasses.fields(Grid))
    given |= {"seeds": "5", "replay_ratios": "2,4", "minutes": "7"}
    given |= {"set": ["max_steps=1e4"], "grid": ["hp.tau=0.1, 0.2"]}
    grid = from_flags(from_tables(TOY | {"settings": {"max_steps": 5, "overlap": True}}), given)
    assert (grid.seeds, grid.replay_ratios, grid.slurm.minutes) == (5, (2.0, 4.0), 7)
    assert dict(grid.settings) == {"max_steps": "1e4", "overlap": "true"}
    assert dict(grid.grid)["hp.tau"] == ("0.1", "0.2")
    assert grid.tasks == tuple(TOY["tasks"])

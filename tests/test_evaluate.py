"""Policies of a finished run, played again: the numbers of training, and new ones."""

from __future__ import annotations

import csv
import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rr_scale import run, runfile
from rr_scale.errors import UserError
from rr_scale.seeds import Role, episode_seed
from rr_scale.train.examine import Examiner
from rr_scale.train.policies import load_policy, save_policy
from small_runs import all_files, keep_environment, make_walks, results, share_engines, tiny
from stand_ins import Walk

SCRIPT = Path(__file__).parents[1] / "scripts" / "evaluate.py"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    share_engines(monkeypatch)
    make_walks(monkeypatch)
    keep_environment(monkeypatch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two seeds whose episodes depend on the policy."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        share_engines(patch)
        make_walks(patch)
        # All that acting depends on: parameters, running statistics, normaliser.
        settings = {
            "env_name": "probe-walk",
            "agent.normalize_observations": True,
            "agent.actor.network.normalization": "batch_norm",
        }
        assert run(tiny("sac", folder / "run", **settings)).exit_status == 0
    return folder / "run"


@pytest.fixture(scope="module")
def main() -> Callable[[list[str]], int]:
    spec = importlib.util.spec_from_file_location("evaluate_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_episodes_of_training_give_the_returns_of_training(finished, main, tmp_path, capsys):
    before = all_files(finished)
    assert main([str(finished), "--episodes", "5", "--out", str(tmp_path / "r.csv")]) == 0
    written = rows(tmp_path / "r.csv")
    assert [(row["seed"], row["episode"]) for row in written] == [
        (seed, str(episode)) for seed in "01" for episode in range(5)
    ]
    recorded = {row.seed: row.value for row in results(finished) if row.env_step == 160}
    for seed, value in recorded.items():
        own = [float(row["return"]) for row in written if row["seed"] == str(seed)]
        assert np.mean(own[:2]) == value
        assert len(set(own)) == 5
    assert "the same, bit for bit" in capsys.readouterr().out
    assert all_files(finished) == before


def test_the_best_policy_is_the_one_of_the_best_evaluation(finished):
    examiner = Examiner(runfile.read_run(finished), "best")
    played = examiner.play(2)
    for seed in (0, 1):
        curve = [row for row in results(finished) if row.seed == seed]
        best = max(curve, key=lambda row: row.value)
        own = [one for one in played if one.policy.lane.seed == seed]
        assert own[0].policy.facts["env_step"] == best.env_step
        assert np.mean([one.value for one in own]) == best.value


def test_a_seed_means_the_same_new_episodes_for_every_policy(finished):
    record = runfile.read_run(finished)
    played = Examiner(record, "last", test_seed=7).play(3)
    expected = [episode_seed(7, Role.TEST, number) for number in range(3)]
    assert [one.seed for one in played] == expected * 2
    again = Examiner(record, "last", seeds=[1], test_seed=7).play(2)
    # Neither the other policies nor the number of episodes matter.
    assert [one.value for one in again] == [one.value for one in played[3:5]]
    assert {one.value for one in played}.isdisjoint(
        one.value for one in Examiner(record, "last", test_seed=8).play(3)
    )


def test_recorded_actions_lead_to_the_recorded_return(finished):
    examiner = Examiner(runfile.read_run(finished), "last", test_seed=3)
    seed, actions = examiner.actions(4)
    walk = Walk()
    walk.reset(seed)
    assert actions.shape == (7, 1)
    assert sum(walk.step(action).reward for action in actions) == examiner.play(5)[4].value


def broken(finished: Path, folder: Path, what: str) -> Path:
    shutil.copytree(finished, folder)
    path = folder / "policies" / "0-last.npz"
    arrays, facts = load_policy(path)
    if what == "none":
        shutil.rmtree(folder / "policies")
    elif what == "other configuration":
        save_policy(path, arrays, {**facts, "env_name": "cheetah-run"})
    elif what == "other shapes":
        name = next(iter(arrays))
        save_policy(path, {**arrays, name: arrays[name][:1]}, facts)
    elif what == "damaged":
        path.write_bytes(path.read_bytes()[:-100])
    return folder


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("none", "holds no last policy"),
        ("other configuration", "another configuration"),
        ("other shapes", "does not fit"),
        ("damaged", "not a readable policy file"),
    ],
)
def test_a_policy_that_cannot_be_played_is_refused(finished, tmp_path, what, message):
    record = runfile.read_run(broken(finished, tmp_path / "run", what))
    with pytest.raises(UserError, match=message):
        Examiner(record, "last")


def test_a_policy_from_before_a_setting_existed_has_its_default(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    path = tmp_path / "run/policies/0-last.npz"
    arrays, facts = load_policy(path)
    del facts["agent"]["exploration"]
    save_policy(path, arrays, facts)
    assert Examiner(runfile.read_run(tmp_path / "run"), "last").policies
    facts["agent"]["exploration"] = "ou"
    save_policy(path, arrays, facts)
    with pytest.raises(UserError, match="another configuration"):
        Examiner(runfile.read_run(tmp_path / "run"), "last")


def test_a_lane_without_a_policy_is_left_out(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run/policies/0-last.npz").unlink()
    whole, part = (
        Examiner(runfile.read_run(folder), "last").play(2)
        for folder in (finished, tmp_path / "run")
    )
    assert [one.value for one in part] == [one.value for one in whole if one.policy.lane.seed == 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}"], "holds no run"),
        (["{run}", "--episodes", "0"], "at least 1"),
        (["{run}", "--lanes", "x"], "--lanes takes seeds"),
        (["{run}", "--lanes", "5"], "no last policy of seed 5"),
        (["{run}", "--out", "{run}/returns.csv"], "folder of the run, which is left alone"),
        (["{run}", "--out", "{folder}/there.csv"], "--force overwrites"),
        (["{run}", "--out", "{folder}/none/returns.csv"], "is no folder"),
        (["{run}", "--video", "{folder}/film.avi"], ".mp4 or .gif"),
        (["{run}", "--policy", "worst"], "invalid choice"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_input_is_one_line(finished, main, tmp_path, capsys, arguments, message):
    empty = tmp_path / "folder"
    (empty / "kept").mkdir(parents=True)
    shutil.rmtree(empty / "kept")
    names = {"run": finished, "folder": empty}
    if "there.csv" in arguments[-1]:
        (empty / "there.csv").write_text("mine")
    assert main([word.format(**names) for word in arguments]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert len(said.err.splitlines()) == 1
    assert said.out == ""
    assert [path.read_text() for path in empty.iterdir()] in ([], ["mine"])

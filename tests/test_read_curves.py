"""From files and folders to curves, with everything that is wrong named."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from result_files import LONG_HEADER, long_table, write_run
from rr_scale.analysis.curves import Curves
from rr_scale.analysis.read import Input, read_curves
from rr_scale.config import ResetRule, Variant
from rr_scale.errors import UserError


def kinds(curves: Curves) -> list[str]:
    return [problem.kind for problem in curves.problems]


def values(curves: Curves) -> dict[tuple, list[float]]:
    return {curve.key[:3]: curve.values.tolist() for curve in curves}


def test_a_run_folder_has_curves_with_all_units_and_its_record(tmp_path):
    rule = ResetRule(unit="env_steps", interval=25)
    write_run(
        tmp_path,
        "sac",
        {0: [1, 2, 3], 1: [4, 5, 6]},
        action_repeat=2,
        replay_ratio=4,
        wall_s_per_step=0.5,
        resets=(rule,),
    )
    found = read_curves([tmp_path])
    assert found.problems == ()
    assert values(found) == {
        ("sac", "cheetah-run", 0): [1, 2, 3],
        ("sac", "cheetah-run", 1): [4, 5, 6],
    }
    curve = found.curves[0]
    assert curve.env_steps.tolist() == [10, 20, 30]
    assert curve.frames.tolist() == [20, 40, 60]
    assert curve.updates.tolist() == [40, 80, 120]
    assert curve.wall_s.tolist() == [5, 10, 15]
    run = found.run_of(curve)
    assert (run.seeds, run.replay_ratio, run.max_steps) == ((0, 1), 4.0, 30)
    assert (run.reset_steps, run.wall_s) == ((25,), 15.0)
    assert found.replay_ratio("sac") == 4.0


def test_a_reset_rule_of_an_older_version_is_compared_with_what_it_did_not_have_yet(tmp_path):
    old = write_run(tmp_path / "old", "sac", {0: [1, 2]}, resets=(ResetRule(interval=25),))
    record = json.loads((old / "run.json").read_text())
    for name in ("layers", "threshold", "score"):
        del record["config"]["resets"][0][name]
    (old / "run.json").write_text(json.dumps(record))
    new = write_run(tmp_path / "new", "sac", {1: [3, 4]}, resets=(ResetRule(interval=25),))
    assert len(read_curves([old, new]).curves) == 2
    other = write_run(tmp_path / "other", "sac", {2: [3, 4]}, resets=(ResetRule(interval=26),))
    with pytest.raises(UserError, match="differ in resets"):
        read_curves([old, other])
    record["config"]["resets"][0]["of_a_newer_version"] = 1
    (old / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="differ in resets"):
        read_curves([old, new])


def test_metrics_are_chosen_and_none_means_all(tmp_path):
    write_run(tmp_path, "sac", {0: [1, 2]}, wall_s_per_step=1.0)
    assert read_curves([tmp_path]).metrics == ("avg_return",)
    assert set(read_curves([tmp_path], None).metrics) == {
        "avg_return",
        "avg_length",
        "return_std",
        "time/wall_s",
    }


def test_a_sweep_folder_is_read_to_its_depth_and_a_folder_given_twice_once(tmp_path):
    write_run(tmp_path / "a" / "seeds0", "sac", {0: [1, 2]})
    write_run(tmp_path / "a" / "seeds1", "sac", {1: [3, 4]})
    write_run(tmp_path / "b", "td3", {0: [5, 6]})
    (tmp_path / "a" / "seeds0" / "checkpoints").mkdir()
    (tmp_path / "a" / "seeds0" / "checkpoints" / "results.csv").write_text("not ours")
    found = read_curves([tmp_path, tmp_path / "b", tmp_path])
    assert sorted(values(found)) == [
        ("sac", "cheetah-run", 0),
        ("sac", "cheetah-run", 1),
        ("td3", "cheetah-run", 0),
    ]


def test_published_tables_are_read_and_renamed(tmp_path):
    path = long_table(tmp_path / "theirs.csv", {("sr_sac_rr16", "walker-walk", 0): [1.5, 2.5]})
    curve = read_curves([path]).curves[0]
    assert (curve.frames, curve.updates, curve.wall_s) == (None, None, None)
    assert read_curves([path]).replay_ratio("sr_sac_rr16") == 16.0
    renamed = read_curves([f"published={path}"])
    assert values(renamed) == {("published", "walker-walk", 0): [1.5, 2.5]}
    assert read_curves([path], action_repeat=2).curves[0].frames.tolist() == [20, 40]


def test_text_folders_are_named_by_their_path(tmp_path):
    folder = tmp_path / "sr_sac" / "cheetah-run"
    folder.mkdir(parents=True)
    (folder / "3.txt").write_text("5000 1.5\n10000 2.5\n")
    (folder / "notes.txt").write_text("not a curve\n")
    assert values(read_curves([tmp_path])) == {("sr_sac", "cheetah-run", 3): [1.5, 2.5]}
    assert set(values(read_curves([f"a:b={folder}"]))) == {("a", "b", 3)}
    (folder / "3.txt").write_text("5000 1.5\n10000\n")
    with pytest.raises(UserError, match=r"3\.txt:2: expected 'env_step return'"):
        read_curves([folder])


def test_wandb_exports_are_taken_apart(tmp_path):
    path = tmp_path / "wandb_export.csv"
    run = "sr_sac-cheetah-run-"
    columns = [f"{run}{s} - avg_return{end}" for s in (0, 1) for end in ("", "__MIN", "__MAX")]
    rows = ["5000,1.5,1.5,1.5,,,", "10000,2.5,2.5,2.5,7.5,7.5,7.5"]
    header = ",".join(f'"{name}"' for name in ["env_step", *columns])
    path.write_text("\n".join([header, *rows]) + "\n")
    found = read_curves([path])
    assert values(found) == {
        ("sr_sac", "cheetah-run", 0): [1.5, 2.5],
        ("sr_sac", "cheetah-run", 1): [7.5],
    }
    path.write_text(path.read_text().replace("env_step", "Step"))
    assert any("own Step" in problem.text for problem in read_curves([path]).problems)
    path.write_text(path.read_text().replace('"Step"', '"Relative Time (Process)"'))
    with pytest.raises(UserError, match="x axis"):
        read_curves([path])


def test_wandb_runs_without_task_or_seed_are_named_and_reported(tmp_path):
    path = tmp_path / "my_task.csv"
    path.write_text('"env_step","good name - avg_return","Group: g - avg_return"\n1,2,3\n')
    found = read_curves([path])
    assert set(values(found)) == {("good name", "my_task", 0), ("Group: g", "my_task", 0)}
    text = " ".join(problem.text for problem in found.problems)
    assert "names no seed" in text
    assert "names no task" in text
    assert "average over a group" in text


def test_repeated_steps_are_reported_and_the_last_row_counts(tmp_path):
    path = tmp_path / "t.csv"
    rows = ["10,1", "20,2", "20,5", "10,1"]
    path.write_text(LONG_HEADER + "".join(f"a,b,0,avg_return,{row}\n" for row in rows))
    found = read_curves([path])
    assert values(found) == {("a", "b", 0): [1, 5]}
    assert kinds(found) == ["duplicate"]
    assert "2 steps occur again, 1 with other values" in found.problems[0].text


def test_what_does_not_fit_together_is_listed(tmp_path):
    curves = {("x", "t1", seed): np.arange(6.0) for seed in range(3)}
    curves |= {("x", "t2", 0): np.arange(6.0), ("x", "t2", 1): np.arange(4.0)}
    path = long_table(tmp_path / "t.csv", curves)
    text = path.read_text().replace("x,t1,2,avg_return,30,2.0\n", "")
    path.write_text(text.replace("x,t1,0,avg_return,20,1.0", "x,t1,0,avg_return,20,nan"))
    found = read_curves([path])
    assert kinds(found) == ["non-finite", "gap", "unequal", "unequal"]
    lines = [problem.text for problem in found.problems]
    assert "seed 0: 1 values" in lines[0]
    assert "env step 20 and 40" in lines[1]
    assert "3 on t1, 2 on t2" in lines[2]
    assert "1 at 40" in lines[3]


def test_mixed_action_repeats_are_listed(tmp_path):
    write_run(tmp_path / "a", "one", {0: [1, 2]}, action_repeat=1)
    write_run(tmp_path / "b", "two", {0: [1, 2]}, action_repeat=2)
    assert kinds(read_curves([tmp_path])) == ["units"]


def test_tasks_of_one_experiment_with_other_settings_are_listed(tmp_path):
    write_run(tmp_path / "a", "x", {0: [1, 2]}, env_name="cheetah-run")
    write_run(tmp_path / "b", "x", {0: [1, 2]}, env_name="walker-run", replay_ratio=8)
    found = read_curves([tmp_path])
    assert kinds(found) == ["mixed"]
    assert "updates_per_step" in found.problems[0].text
    assert found.replay_ratio("x") is None


def test_two_experiments_of_one_name_are_refused(tmp_path):
    write_run(tmp_path / "a", "x", {0: [1, 2]})
    write_run(tmp_path / "b", "x", {1: [1, 2]}, replay_ratio=8)
    with pytest.raises(UserError, match=r"called 'x'.*updates_per_step \(2.0 and 8.0\)") as caught:
        read_curves([tmp_path])
    assert "\n" not in str(caught.value)
    both = read_curves([tmp_path / "a", f"y={tmp_path / 'b'}"])
    assert both.experiments == ("x", "y")


def test_one_seed_in_two_places_is_refused(tmp_path):
    for name in "ab":
        write_run(tmp_path / name, "x", {0: [1, 2]})
    with pytest.raises(UserError, match="seed 0 is there twice"):
        read_curves([tmp_path])


@pytest.mark.parametrize("ours", [True, False])
def test_half_written_rows_are_errors_or_problems(tmp_path, ours):
    if ours:
        path = write_run(tmp_path, "x", {0: [1, 2.25]}) / "results.csv"
        path.write_text(path.read_text().removesuffix("\n"))
        expected = [1, 2.25]  # the row that was cut is one of another metric
    else:
        path = long_table(tmp_path / "t.csv", {("x", "t", 0): [1, 2.25]})
        path.write_text(path.read_text().removesuffix(",2.25\n"))
        expected = [1]
    with pytest.raises(UserError, match=rf"{re.escape(str(path))}:\d+: half-written last row"):
        read_curves([path if not ours else tmp_path])
    found = read_curves([path if not ours else tmp_path], strict=False)
    assert kinds(found) == ["half-written"]
    assert list(values(found).values()) == [expected]


def test_a_whole_last_row_without_line_end_counts_in_published_tables(tmp_path):
    path = long_table(tmp_path / "t.csv", {("x", "t", 0): [1, 2]})
    path.write_text(path.read_text().removesuffix("\n"))
    assert list(values(read_curves([path])).values()) == [[1, 2]]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "the header has no exp_name"),
        ("a,b\n1,2\n", "the header has no exp_name"),
        (LONG_HEADER + "x,t,0,avg_return,10\n", ":2: expected 6 columns, found 5"),
        (LONG_HEADER + "x,t,0,avg_return,10,1\nx,t,0,avg_return,20,?\n", r":3: value is '\?'"),
        (LONG_HEADER + "x,t,0,avg_return,1.5,1\n", ":2: env_step is '1.5'"),
        (LONG_HEADER + "x,t,first,avg_return,1,1\n", ":2: seed is 'first'"),
        (LONG_HEADER + "x,t,0,loss,1,1\n", "no row of avg_return"),
    ],
)
def test_malformed_tables_are_named_by_file_and_line(tmp_path, content, reason):
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=reason) as caught:
        read_curves([path])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_without_evaluations_is_an_error_or_a_problem(tmp_path):
    write_run(tmp_path / "a", "x", {0: [1, 2]})
    write_run(tmp_path / "b", "y", {0: [1, 2]})
    (tmp_path / "b" / "results.csv").unlink()
    with pytest.raises(UserError, match="b: no evaluations"):
        read_curves([tmp_path])
    found = read_curves([tmp_path], strict=False)
    assert kinds(found) == ["unfinished"]
    assert [run.exp_name for run in found.runs] == ["x", "y"]


def test_nothing_to_read_is_one_clear_line(tmp_path):
    for inputs, reason in (
        ([], "name at least one"),
        ([tmp_path], "no results in there"),
        ([tmp_path / "nowhere"], "no such file"),
    ):
        with pytest.raises(UserError, match=reason):
            read_curves(inputs)


def test_a_path_that_exists_is_not_taken_for_a_name(tmp_path):
    place = tmp_path / "lr=0.1"
    place.mkdir()
    assert Input.parse(str(place)) == Input(place)
    assert Input.parse(f"a:b={tmp_path}") == Input(tmp_path, "a", "b")
    assert Input.parse("a=x/lr=0.1") == Input(tmp_path.__class__("x/lr=0.1"), "a")


def test_folders_of_variants_have_the_record_above_them_and_their_own_settings(tmp_path):
    variants = (
        Variant("slow", (("critic_lr", 1e-4),)),
        Variant("fast", (("critic_lr", 1e-3), ("tau", 0.01))),
    )
    run = write_run(tmp_path / "run", "x", {0: [1, 2]}, variants=variants)
    (run / "results.csv").unlink()
    for variant in variants:
        write_run(run / variant.name, f"x_{variant.name}", {0: [3, 4]}, record=False)
    for inputs in ([tmp_path], [run / "slow", run / "fast"]):
        found = read_curves(inputs)
        assert found.problems == ()
        rates = {item.exp_name: item.config["hp.critic_lr"] for item in found.runs}
        assert rates == {"x_slow": 1e-4, "x_fast": 1e-3}
        assert {item.config["hp.tau"] for item in found.runs} == {0.005, 0.01}
    (run / "fast" / "results.csv").unlink()
    assert kinds(read_curves([tmp_path], strict=False)) == ["unfinished"]
    with pytest.raises(UserError, match="fast: no evaluations"):
        read_curves([tmp_path])

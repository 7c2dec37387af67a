"""From curves to matrices of scores: positions that runs share, scales, what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from result_files import long_table, write_run
from rr_scale.analysis.read import read_curves
from rr_scale.analysis.score_scales import SUITES, Scale, parse_scale, scale_of
from rr_scale.analysis.scores import common_tasks, last_shared, tabulate
from rr_scale.errors import UserError


def table(tmp_path, curves, every=10):
    return read_curves([long_table(tmp_path / "t.csv", curves, every)])


def test_scores_are_normalised_and_sorted_by_seed(tmp_path):
    curves = table(
        tmp_path,
        {
            ("x", "walker-run", 1): [0, 500],
            ("x", "walker-run", 0): [250, 1000],
            ("x", "cheetah-run", 0): [100, 200],
        },
    )
    scores = tabulate(curves, "x")
    assert scores.tasks == ("cheetah-run", "walker-run")
    assert scores.seeds == ((0,), (0, 1))
    assert scores.of("walker-run").tolist() == [[0.25, 1.0], [0.0, 0.5]]
    assert [part.tolist() for part in scores.at(10)] == [[0.1], [0.25, 0.0]]
    assert [part.tolist() for part in scores.area()] == [[pytest.approx(0.15)], [0.625, 0.25]]
    with pytest.raises(UserError, match="no evaluation that all runs share at env_steps 15"):
        scores.at(15)


@pytest.mark.parametrize(
    ("task", "suite", "scale"),
    [
        ("ball_in_cup-catch", "auto", (0, 1000)),
        ("dm_control/cheetah-run-v0", "auto", (0, 1000)),
        ("Ant-v5", "auto", (-70.288, 3942)),
        ("h1-run-v0", "auto", (2.02, 700)),
        ("button-press-v2", "success", (0, 1)),
        ("anything", "none", (0, 1)),
        ("anything", "dmc", (0, 1000)),
    ],
)
def test_scales_follow_the_suite(task, suite, scale):
    assert scale_of(task, suite) == scale


def test_unknown_suites_and_tasks_are_one_clear_line():
    assert scale_of("mine", given=dict([parse_scale("mine=-5:10")])) == Scale(-5, 10)
    with pytest.raises(UserError, match="unknown suite 'dmcc'; did you mean 'dmc'") as caught:
        scale_of("cheetah-run", "dmcc")
    assert all(suite in str(caught.value) for suite in SUITES)
    for task in ("mine", "Swimmer-v5", "probe-action"):
        with pytest.raises(UserError, match=f"no scale for '{task}'"):
            scale_of(task)
    for text in ("mine", "mine=1", "=1:2", "mine=1:1", "mine=a:b", "mine=0:inf"):
        with pytest.raises(UserError, match="TASK=ZERO:ONE"):
            parse_scale(text)


def test_only_positions_that_all_runs_have_are_used(tmp_path):
    path = long_table(tmp_path / "t.csv", {("x", "a", 0): [1, 2, 3, 4], ("x", "b", 0): [5, 6, 7]})
    path.write_text(path.read_text().replace("x,a,0,avg_return,20,2.0\n", ""))
    scores = tabulate(read_curves([path]), "x", suite="none")
    assert scores.positions.tolist() == [10, 30]
    assert scores.of("b").tolist() == [[5, 7]]
    assert "ends at env_steps 30 of 40, because of x on b, seed 0" in scores.problems[0].text


def test_incomplete_runs_end_the_experiment_or_are_left_out_and_named(tmp_path):
    nan = float("nan")
    curves = table(
        tmp_path,
        {
            ("x", "a", 0): [1, 2, 3],
            ("x", "a", 1): [1, 2],
            ("x", "a", 2): [1, nan, 9],
            ("x", "b", 0): [1, 2, 3],
        },
    )
    stopped = tabulate(curves, "x", suite="none")
    assert stopped.positions.tolist() == [10]
    assert stopped.runs == 4
    dropped = tabulate(curves, "x", suite="none", drop_incomplete=True)
    assert dropped.positions.tolist() == [10, 20, 30]
    assert dropped.seeds == ((0,), (0,))
    assert "2 runs" in dropped.problems[0].text
    without = curves.where(keep=lambda curve: curve.key[1:3] != ("a", 0))
    with pytest.raises(UserError, match="no run on a reaches env_steps 30"):
        tabulate(without, "x", suite="none", drop_incomplete=True)


def test_runs_without_shared_positions_are_refused_or_interpolated(tmp_path):
    one = long_table(tmp_path / "1.csv", {("x", "a", 0): [0, 20, 40]}, every=20)
    two = long_table(tmp_path / "2.csv", {("x", "a", 1): [0, 30, 60]}, every=30)
    two.write_text(two.read_text().replace("avg_return,60,", "avg_return,50,"))
    curves = read_curves([one, two])
    with pytest.raises(UserError, match="share no evaluation on env_steps"):
        tabulate(curves, "x", suite="none")
    scores = tabulate(curves, "x", suite="none", points=3)
    assert scores.positions.tolist() == [30, 45, 60]
    assert scores.of("a")[:, 1].tolist() == [25, 22.5]


def test_other_axes_are_used_where_they_are_known(tmp_path):
    write_run(tmp_path, "x", {0: [10, 20], 1: [30, 40]}, action_repeat=2, wall_s_per_step=0.5)
    curves = read_curves([tmp_path])
    assert tabulate(curves, "x", axis="frames").positions.tolist() == [20, 40]
    assert tabulate(curves, "x", axis="updates").positions.tolist() == [20, 40]
    wall = tabulate(curves, "x", axis="wall_s", points=3)
    assert wall.positions.tolist() == [5, 7.5, 10]
    np.testing.assert_allclose(wall.of("cheetah-run"), [[0.01, 0.015, 0.02], [0.03, 0.035, 0.04]])
    with pytest.raises(UserError, match="unknown axis 'steps'"):
        tabulate(curves, "x", axis="steps")
    published = table(tmp_path, {("p", "walker-run", 0): [1, 2]})
    with pytest.raises(UserError, match="frames are not known"):
        tabulate(published, "p", axis="frames")


def test_comparisons_use_tasks_and_positions_that_all_experiments_have(tmp_path):
    curves = table(
        tmp_path,
        {("x", "a", 0): [1, 2, 3], ("x", "b", 0): [1, 2, 3], ("y", "a", 0): [1, 2]},
    )
    tasks, problems = common_tasks(curves)
    assert tasks == ("a",)
    assert [problem.text for problem in problems] == [
        "b is left out of comparisons: y does not have it"
    ]
    scores = [tabulate(curves, name, suite="none", tasks=tasks) for name in "xy"]
    assert last_shared(scores) == 20
    with pytest.raises(UserError, match="y: no avg_return on b"):
        tabulate(curves, "y", tasks=["b"])

"""Reading, summarising and plotting result files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rr_scale.analysis.load import Row, lane_curves, read_results
from rr_scale.analysis.plots import learning_curves
from rr_scale.analysis.summary import best_window, final_table
from rr_scale.errors import UserError
from rr_scale.train.logging import ResultFiles

ROOT = Path(__file__).resolve().parent.parent
HEADER = "exp_name,env_name,seed,metric,env_step,frames,updates,value\n"
GOOD = "sr_sac,cheetah-run,0,avg_return,10,10,320,1.5\n"


def curve_rows(returns: dict[int, list[float]], exp_name: str = "sr_sac") -> list[Row]:
    """Rows of evaluations every 10 env steps; a shorter list is a dropped lane."""
    rows = []
    for index in range(max(len(values) for values in returns.values())):
        step = 10 * (index + 1)
        for seed, values in returns.items():
            if index < len(values):
                value = values[index]
                rows.append(Row(exp_name, "cheetah-run", seed, "avg_return", step, step, 0, value))
    return rows


def write_run(
    folder: Path,
    name: str,
    returns: list[float],
    reset_at: int | None = None,
    env_name: str = "cheetah-run",
) -> None:
    files = ResultFiles(folder, [0], name, env_name, 1)
    for index, value in enumerate(returns):
        metrics = {"avg_return": value, "avg_length": 1.0, "return_std": 0.0}
        files.evaluation(10 * (index + 1), 0, [metrics])
    if reset_at is not None:
        files.metrics(reset_at, 0, [None], {"reset/fired": 0})


def script(name: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd="/")


def test_rows_are_read_with_their_types(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text(HEADER + GOOD + '"a,b",cheetah-run,,time/wall_s,20,20,640,nan\n')
    rows = read_results(path)
    assert rows[0] == Row("sr_sac", "cheetah-run", 0, "avg_return", 10, 10, 320, 1.5)
    assert rows[1][:7] == ("a,b", "cheetah-run", None, "time/wall_s", 20, 20, 640)
    assert np.isnan(rows[1].value)


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("", 1, "header"),
        ("exp_name,value\n", 1, "header"),
        (HEADER + GOOD + GOOD[:-1], 3, "half-written"),
        (HEADER + GOOD + "sr_sac,cheetah-run,0\n" + GOOD, 3, "8 columns"),
        (HEADER + GOOD.replace("1.5", "x"), 2, "could not convert"),
        (HEADER + GOOD.replace(",10,10,", ",1e1,10,"), 2, "invalid literal"),
        (HEADER + GOOD + '"sr_sac,cheetah-run\n', 3, "unexpected end"),
    ],
)
def test_a_malformed_row_is_named_by_file_and_line(tmp_path, content, line, reason):
    path = tmp_path / "results.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=f"{re.escape(str(path))}:{line}: .*{reason}") as caught:
        read_results(path)
    assert "\n" not in str(caught.value)


def test_a_missing_or_binary_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_results(tmp_path / "results.csv")
    (tmp_path / "results.csv").write_bytes(b"\xff\xfe\n")
    with pytest.raises(UserError, match="not a text file"):
        read_results(tmp_path / "results.csv")


def test_curves_are_split_by_seed_and_metric():
    rows = curve_rows({1: [5.0, 6.0], 0: [7.0]})
    rows.append(rows[0]._replace(metric="avg_length", value=99.0))
    assert lane_curves(rows, "avg_return") == {1: {10: 5.0, 20: 6.0}, 0: {10: 7.0}}


def test_best_window_is_the_best_consecutive_mean():
    curve = dict(zip(range(10, 80, 10), [0.0, 9.0, 1.0, 5.0, 6.0, 3.0, 0.0], strict=True))
    assert best_window(curve, 3) == (5.0, 40)
    assert best_window(curve, 1) == (9.0, 20)
    assert best_window(curve, 100) == (24 / 7, 70)
    assert best_window({}, 3) is None


def test_best_window_skips_windows_with_non_finite_returns():
    curve = {10: 1.0, 20: float("nan"), 30: 2.0, 40: 3.0, 50: float("inf")}
    assert best_window(curve, 2) == (2.5, 40)
    assert best_window({10: float("nan")}, 2) is None


def cells(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines()[2:]]


def test_final_table_shows_each_seed_and_the_spread():
    table = final_table(curve_rows({0: [1.0, 8.0, 6.0], 1: [2.0, 4.0, 10.0]}), 10, window=2)
    assert table.splitlines()[0].startswith("sr_sac on cheetah-run, env step 30")
    assert cells(table) == [
        ["0", "6.0", "7.0", "30", "20"],
        ["1", "10.0", "7.0", "30", "20"],
        ["mean", "8.0", "7.0"],
        ["std", "2.8", "0.0"],
    ]


def test_final_table_marks_failed_seeds_and_leaves_them_out():
    rows = curve_rows({0: [1.0, 2.0], 1: [50.0], 2: [1.0, float("nan")]})
    table = final_table(rows, None, window=1, seeds=[0, 1, 2, 3])
    assert cells(table) == [
        ["0", "2.0", "2.0", "20", "-"],
        ["1", "failed", "50.0", "10", "-"],
        ["2", "failed", "1.0", "10", "-"],
        ["3", "failed", "-", "-", "-"],
        ["mean", "2.0", "2.0"],
        ["std", "-", "-"],
    ]
    assert "without 3 failed" in table


def test_final_table_without_evaluations_says_so():
    assert final_table([], None) == "no evaluations"


def is_png(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_learning_curves_are_drawn_also_for_one_point_and_failed_seeds(tmp_path):
    for name, returns in {
        "one": {0: [1.0]},
        "failed": {0: [1.0, 2.0, 3.0], 1: [1.0], 2: [float("nan"), 2.0, 2.0]},
    }.items():
        path = tmp_path / "plots" / f"{name}.png"
        learning_curves(curve_rows(returns), path, name, reset_steps=[10, 20])
        assert is_png(path)


def test_nothing_to_plot_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="no avg_return"):
        learning_curves([], tmp_path / "x.png", "")
    with pytest.raises(UserError, match="bad: no finite"):
        learning_curves(curve_rows({0: [float("nan")]}), tmp_path / "x.png", "bad")


def test_plot_script_overlays_runs(tmp_path):
    write_run(tmp_path / "a", "sac", [1.0, 2.0])
    write_run(tmp_path / "b", "sr_sac", [1.0, 3.0], reset_at=10)
    out = tmp_path / "curves.png"
    done = script("plot.py", tmp_path / "a", tmp_path / "b", "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert is_png(out)


@pytest.mark.parametrize(
    "arguments", [["somewhere"], ["nowhere", "--out", "x.png"], ["a", "--out", "x.y"]]
)
def test_plot_script_answers_bad_input_with_one_line_and_status_2(arguments):
    done = script("plot.py", *arguments)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("plot: ")


def test_check_demo_answers_bad_input_with_one_line_and_status_2(tmp_path):
    done = script("check_demo.py", tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("returns", "status"), [([0.0, 6.0], 0), ([6.0, 4.0], 1)])
def test_check_demo_compares_the_last_return_with_random_actions(tmp_path, returns, status):
    # Every episode of this probe returns 1, whatever one does.
    write_run(tmp_path, "sac", returns, env_name="probe-constant")
    done = script("check_demo.py", tmp_path, "--multiple", 5)
    assert done.returncode == status, done.stderr
    assert f"{returns[-1]:.2f}" in done.stdout
    assert "10 episodes: 1.00" in done.stdout


def test_check_demo_fails_when_a_seed_stopped_early(tmp_path):
    files = ResultFiles(tmp_path, [0, 1], "sac", "probe-constant", 1)
    row = {"avg_return": 100.0, "avg_length": 1.0, "return_std": 0.0}
    files.evaluation(10, 0, [row, row])
    files.evaluation(20, 0, [row, None])
    assert script("check_demo.py", tmp_path).returncode == 1


def test_analysis_loads_neither_jax_nor_matplotlib():
    code = (
        "import sys, rr_scale.analysis.plots, rr_scale.analysis.summary, rr_scale.train.tracker,"
        " rr_scale.train.logging, rr_scale.train.policies, rr_scale.train.progress;"
        "sys.exit(any(name in sys.modules for name in ('jax', 'matplotlib', 'wandb')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0

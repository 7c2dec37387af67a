"""Result files: their bytes, their order, and what truncating them does."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest

from rr_scale.analysis.load import read_results
from rr_scale.errors import CheckpointError
from rr_scale.train.logging import ResultFiles
from rr_scale.train.metrics import EVALUATION, METRICS
from rr_scale.train.progress import Progress

ROOT = Path(__file__).resolve().parent.parent


def make(folder: Path, **changes) -> ResultFiles:
    settings = {"exp_name": "sr_sac", "env_name": "cheetah-run", "action_repeat": 2} | changes
    return ResultFiles(folder, [3, 4], **settings)


def row(value: float, **more: float) -> dict[str, float]:
    # Not in the order of the file, on purpose.
    return {"return_std": 0.5, "avg_length": 1000.0, "avg_return": value, **more}


def write(files: ResultFiles, steps: range) -> None:
    for step in steps:
        files.evaluation(step, 32 * step, [row(step / 3), row(step / 7)])
        files.metrics(step, 32 * step, [{"train/q_mean": 1.0}] * 2, {"time/wall_s": 2.0})


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_evaluation_writes_these_exact_bytes(tmp_path):
    make(tmp_path).evaluation(10, 320, [row(0.1, avg_success=1), row(np.float32(0.1))])
    assert (tmp_path / "results.csv").read_text() == (
        "exp_name,env_name,seed,metric,env_step,frames,updates,value\n"
        "sr_sac,cheetah-run,3,avg_return,10,20,320,0.1\n"
        "sr_sac,cheetah-run,3,avg_length,10,20,320,1000.0\n"
        "sr_sac,cheetah-run,3,return_std,10,20,320,0.5\n"
        "sr_sac,cheetah-run,3,avg_success,10,20,320,1.0\n"
        "sr_sac,cheetah-run,4,avg_return,10,20,320,0.10000000149011612\n"
        "sr_sac,cheetah-run,4,avg_length,10,20,320,1000.0\n"
        "sr_sac,cheetah-run,4,return_std,10,20,320,0.5\n"
    )
    assert (tmp_path / "4.txt").read_text() == "10 0.10000000149011612\n"


def test_seed_files_are_read_by_loadtxt(tmp_path):
    write(make(tmp_path), range(1, 4))
    table = np.loadtxt(tmp_path / "3.txt")
    np.testing.assert_array_equal(table, [[1, 1 / 3], [2, 2 / 3], [3, 1.0]])


def test_a_dropped_lane_has_no_rows(tmp_path):
    files = make(tmp_path)
    files.evaluation(10, 0, [None, row(1.0)])
    assert {r.seed for r in read_results(tmp_path / "results.csv")} == {4}
    assert not (tmp_path / "3.txt").exists()


def test_shared_metrics_have_an_empty_seed_and_follow_the_lanes(tmp_path):
    make(tmp_path).metrics(
        5, 0, [{"train/entropy": 2, "train/q_mean": 1}, None], {"time/wall_s": 3.5}
    )
    rows = read_results(tmp_path / "metrics.csv")
    assert [(r.seed, r.metric, r.value) for r in rows] == [
        (3, "train/q_mean", 1.0),
        (3, "train/entropy", 2.0),
        (None, "time/wall_s", 3.5),
    ]


def test_an_unregistered_metric_is_refused_and_writes_nothing(tmp_path):
    files = make(tmp_path)
    with pytest.raises(KeyError, match="train/typo"):
        files.metrics(1, 0, [{"train/q_mean": 1.0, "train/typo": 1.0}, None], {})
    with pytest.raises(KeyError, match="time/wall_s"):
        files.evaluation(1, 0, [row(1.0, **{"time/wall_s": 1.0}), None])
    with pytest.raises(KeyError, match="return_std"):
        files.evaluation(1, 0, [{"avg_return": 1.0, "avg_length": 1.0}, None])
    assert contents(tmp_path) == {}


def test_lanes_are_counted(tmp_path):
    with pytest.raises(ValueError):
        make(tmp_path).evaluation(1, 0, [row(1.0)])
    with pytest.raises(ValueError, match="distinct"):
        ResultFiles(tmp_path, [1, 1], "a", "b", 1)


def test_names_with_commas_quotes_and_lines_survive(tmp_path):
    name = 'a,"b"\nc'
    make(tmp_path, exp_name=name).evaluation(1, 0, [row(1.0), row(2.0)])
    rows = read_results(tmp_path / "results.csv")
    assert {r.exp_name for r in rows} == {name}
    assert len(rows) == 6


def test_non_finite_values_survive(tmp_path):
    make(tmp_path).evaluation(1, 0, [row(float("nan")), row(float("-inf"))])
    values = [r.value for r in read_results(tmp_path / "results.csv") if r.metric == "avg_return"]
    assert np.isnan(values[0])
    assert values[1] == float("-inf")


def test_truncating_and_writing_again_gives_the_uninterrupted_bytes(tmp_path):
    write(make(tmp_path / "whole"), range(1, 7))
    files = make(tmp_path / "cut")
    write(files, range(1, 4))
    lengths = files.lengths()
    write(files, range(4, 6))
    with (tmp_path / "cut" / "results.csv").open("a") as file:
        file.write("sr_sac,cheetah-r")  # killed while writing
    resumed = make(tmp_path / "cut")
    resumed.truncate(lengths)
    write(resumed, range(4, 7))
    resumed.close()
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_truncate_removes_files_that_appeared_since_and_no_others(tmp_path):
    files = make(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "99.txt").write_text("not ours")
    assert files.lengths() == {}
    write(files, range(1, 3))
    files.truncate({})
    assert set(contents(tmp_path)) == {"run.json", "99.txt"}


@pytest.mark.parametrize("damage", ["missing", "shorter"])
def test_truncate_names_a_damaged_file_and_changes_nothing(tmp_path, damage):
    files = make(tmp_path)
    write(files, range(1, 3))
    lengths = files.lengths()
    write(files, range(3, 5))
    victim = tmp_path / "4.txt"
    if damage == "missing":
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[: lengths["4.txt"] - 1])
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match=re.escape(str(victim))):
        files.truncate(lengths)
    assert contents(tmp_path) == before


def test_truncate_refuses_a_file_outside_the_run(tmp_path):
    outside = tmp_path / "precious.txt"
    outside.write_text("precious")
    with pytest.raises(CheckpointError, match="precious"):
        make(tmp_path / "run").truncate({"../precious.txt": 0})
    assert outside.read_text() == "precious"


def test_the_document_lists_exactly_the_registry():
    text = (ROOT / "docs" / "metrics.md").read_text()
    cells = re.findall(r"^\| `([\w/]+)` \| [^|]+ \| ([^|]+) \| [^|]+ \|$", text, re.MULTILINE)
    assert dict(cells) == METRICS
    assert len(cells) == len(METRICS)
    assert set(EVALUATION) <= set(METRICS)


def test_progress_prints_a_line_per_evaluation_off_a_terminal():
    stream, seconds = io.StringIO(), iter([0.0, 2.0])
    progress = Progress(1000, lanes=3, stream=stream, now=lambda: next(seconds))
    progress.step(100, 50)
    progress.evaluated(200, 150, [10.0, 14.0, None])
    progress.close()
    assert stream.getvalue() == (
        "env step 200/1000, return 12.0 ± 2.8 over 2 seeds (1 failed), 225 updates/s\n"
    )


def test_progress_draws_a_bar_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    progress = Progress(1000, lanes=1, env_step=400, stream=stream)
    progress.evaluated(500, 0, [7.0])
    progress.step(500, 0)
    progress.close()
    assert "return 7.0 over 1 seed," in stream.getvalue()
    assert "500/1000" in stream.getvalue()
    assert "\nenv step" not in stream.getvalue()

"""The report: what its numbers are, what the file may hold, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from report_data import HEADER, STEPS, write_run, write_sweep
from rr_scale.analysis import aggregates
from rr_scale.analysis.curves import Curve, Curves
from rr_scale.analysis.read import read_curves
from rr_scale.analysis.report import comparison, pack, page
from rr_scale.analysis.report.content import content
from rr_scale.analysis.report.series import statistics, tables
from rr_scale.presets import preset
from rr_scale.sweep.folder import SweepFolder
from rr_scale.sweep.plan import Job
from rr_scale.sweep.record import add_event

SCRIPT = Path(__file__).parents[1] / "scripts" / "report.py"


@pytest.fixture(scope="module")
def main() -> Callable[[list[str]], int]:
    spec = importlib.util.spec_from_file_location("report_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    write_sweep(tmp_path / "sweep")
    return tmp_path / "sweep"


def contents(*inputs: Path, strict: bool = True) -> dict:
    return content(read_curves(inputs, None, strict=strict), "title", ["inputs"], reps=200)


def test_returns_of_seeds_are_those_of_the_files_digit_by_digit(tmp_path):
    written = write_sweep(tmp_path / "sweep")
    found = contents(tmp_path / "sweep")
    returns = {(row["experiment"], row["task"], row["seed"]): row["y"] for row in found["returns"]}
    assert returns == written
    axes = {axis: found["grids"][found["returns"][0][axis]] for axis in ("env_steps", "frames")}
    assert axes == {"env_steps": list(STEPS), "frames": [2 * step for step in STEPS]}


def test_aggregates_are_those_of_the_last_env_step(tmp_path):
    written = write_sweep(tmp_path / "sweep")
    found = contents(tmp_path / "sweep")
    assert (found["common_step"], found["common_tasks"]) == (4000, ["cheetah-run", "walker-walk"])
    for row in found["aggregate"]:
        scores = [
            np.array([written[row["experiment"], task, seed][-1] / 1000 for seed in range(3)])
            for task in row["tasks"]
        ]
        for name in ("iqm", "median", "mean"):
            value, low, high = row["final"][name]
            assert value == pytest.approx(float(getattr(aggregates, name)(scores)), rel=1e-5)
            assert low <= value <= high
            assert row["curve"][name][0][-1] == pytest.approx(value, rel=1e-5)


def test_a_seed_that_stopped_counts_as_far_as_it_got(tmp_path):
    curves = write_run(tmp_path / "run", stops={1: 2000})
    found = contents(tmp_path / "run")
    row = found["per_task"][0]
    assert found["grids"][row["curve"]["runs"]] == [3, 3, 3, 2, 2]
    means = row["curve"]["mean"][0]
    assert means[2] == pytest.approx(np.mean([curves[seed][2] for seed in range(3)]), rel=1e-5)
    assert means[4] == pytest.approx((curves[0][4] + curves[2][4]) / 2, rel=1e-5)
    assert (row["final"]["runs"], row["final"]["started"]) == (2, 3)
    assert [(lost["seed"], lost["why"]) for lost in found["unfinished"]] == [
        (1, "stopped after env step 2,000 of 4,000")
    ]


def test_env_steps_that_few_seeds_have_do_not_count():
    steps = (np.array([0, 10, 20]), np.array([0, 20]), np.array([0, 20]))
    curves = [Curve("a", "b", seed, "avg_return", own, own * 1.0) for seed, own in enumerate(steps)]
    table = tables(Curves(tuple(curves)))["a", "b"]
    assert statistics([table], ["mean"], 10).env_steps.tolist() == [0, 20]


def test_averages_over_tasks_without_a_common_scale_are_not_made(tmp_path):
    write_run(tmp_path / "a/1", "sac", "cheetah-run")
    write_run(tmp_path / "a/2", "sac", "Mystery-v3")
    row = contents(tmp_path / "a")["aggregate"][0]
    assert row["without_scale"] == ["Mystery-v3"]
    assert "final" not in row


def test_experiments_are_compared_on_the_tasks_and_steps_that_all_have(tmp_path):
    write_run(tmp_path / "1", "a", "cheetah-run", stops={0: 3000, 1: 3000, 2: 3000})
    write_run(tmp_path / "2", "b", "cheetah-run")
    write_run(tmp_path / "3", "b", "walker-walk")
    found = contents(tmp_path)
    assert (found["common_tasks"], found["common_step"]) == (["cheetah-run"], 3000)
    assert [row["final"]["step"] for row in found["aggregate"]] == [3000, 3000]
    ends = {(row["experiment"], row["task"]): row["final"]["step"] for row in found["per_task"]}
    assert ends == {
        ("a", "cheetah-run"): 3000,
        ("b", "cheetah-run"): 3000,
        ("b", "walker-walk"): 4000,
    }


def test_settings_that_differ_come_first_and_name_their_values(sweep):
    found = contents(sweep)["settings"]
    differing = {row["name"]: row["values"] for row in found["rows"] if row["differs"]}
    assert differing == {"preset": [["sac"], ["td3"]], "updates_per_step": [["2.0"], ["16.0"]]}
    assert found["rows"][0]["differs"]
    assert {"hp.discount", "version: commit"} <= {row["name"] for row in found["rows"]}


def test_costs_are_those_of_the_run(tmp_path):
    write_run(tmp_path / "run", ratio=16)
    (cost,) = contents(tmp_path / "run")["costs"]
    assert (cost["env_steps"], cost["frames"], cost["updates"]) == (4000, 8000, 64000)
    assert (cost["wall_s"], cost["updates_per_s"], cost["seeds"]) == (400, 480, 3)


def test_published_tables_need_no_run_folder(tmp_path):
    rows = [f"pub_rr8,cheetah-run,{seed},avg_return,1000,{seed}.5" for seed in range(4)]
    table = tmp_path / "published.csv"
    table.write_text("\n".join(["exp_name,env_name,seed,metric,env_step,value", *rows, ""]))
    found = contents(table)
    assert found["experiments"] == [{"name": "pub_rr8", "preset": None, "ratio": 8.0}]
    assert found["aggregate"][0]["final"]["iqm"][0] == pytest.approx(0.002)
    assert found["costs"] == []


def test_long_diagnostics_are_thinned_to_means():
    steps, values = pack.thinned(np.arange(1000), np.arange(1000.0), 100)
    assert (len(steps), steps[0], steps[-1]) == (100, 9, 999)
    assert values[0] == 4.5


HOSTILE = "</script><img src=x onerror=alert(1)><!--\u2028 & {{DATA}}"


def test_names_cannot_leave_the_data(tmp_path):
    write_run(tmp_path / "run", HOSTILE)
    text = page.page(contents(tmp_path / "run") | {"title": HOSTILE})
    assert "<img" not in text
    assert text.count("</script>") == 2
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert json.loads(found[1])["experiments"][0]["name"] == HOSTILE


def test_a_page_asks_for_nothing_from_elsewhere(sweep):
    text = page.page(contents(sweep))
    assert set(re.findall(r"\w+://[^\"'`\s]*", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(
        r"<link|<iframe|\ssrc=|@import|url\(|\bimport\b[ (]|fetch\(|\beval\(", text
    )
    assert "default-src 'none'" in text
    assert "innerHTML" not in text


def test_the_same_runs_make_the_same_page(sweep):
    assert page.page(contents(sweep)) == page.page(contents(sweep))


def test_many_runs_make_a_page_of_some_megabytes(monkeypatch):
    monkeypatch.setattr(comparison, "CURVE_REPS", 20)
    draw = np.random.default_rng(0)
    steps = np.arange(1, 101) * 5000
    curves = [
        Curve(f"exp{e}", f"cheetah-{t}", seed, metric, steps, draw.normal(size=100), steps, steps)
        for e in range(2)
        for t in range(15)
        for seed in range(5)
        for metric in ("avg_return", *(f"train/{n}" for n in range(10)))
    ]
    text = page.page(content(Curves(tuple(curves)), "many", ["somewhere"], reps=20))
    assert 1e6 < len(text.encode()) < 5e6


def damaged(folder: Path, what: str) -> list[str]:
    """Arguments that cannot work."""
    out = ["--out", str(folder / "page.html")]
    write_run(folder / "run")
    if what == "empty":
        (folder / "empty").mkdir()
        return [str(folder / "empty"), *out]
    if what == "half-written":
        with (folder / "run/results.csv").open("a") as file:
            file.write("sac,cheetah-run,0,avg_ret")
    elif what == "no evaluations":
        (folder / "run/results.csv").write_text(",".join(HEADER) + "\n")
    elif what == "one name twice":
        write_run(folder / "other", settings={"hp": {"discount": 0.9}})
        return [str(folder / "run"), str(folder / "other"), *out]
    elif what == "taken":
        (folder / "page.html").write_text("<p>mine</p>")
    elif what == "no folder":
        out = ["--out", str(folder / "none/page.html")]
    elif what == "no page":
        out = ["--out", str(folder / "page.pdf")]
    elif what == "missing":
        shutil.rmtree(folder / "run")
    return [str(folder / "run"), *out]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("empty", "no results in there"),
        ("half-written", "half-written"),
        ("no evaluations", "no evaluations"),
        ("one name twice", "two experiments are called 'sac'"),
        ("taken", "is not a report; --force overwrites it"),
        ("no folder", "is no folder"),
        ("no page", "ends in .html"),
        ("missing", "no such file or folder"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(main, tmp_path, capsys, what, message):
    arguments = damaged(tmp_path, what)
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert len(said.err.splitlines()) == 1
    pages = [path.read_text() for path in tmp_path.glob("*.html")]
    assert pages == (["<p>mine</p>"] if what == "taken" else [])


def test_a_report_replaces_a_report_and_with_force_anything(main, sweep, tmp_path, capsys):
    arguments = [str(sweep), "--out", str(tmp_path / "page.html"), "--reps", "50"]
    (tmp_path / "page.html").write_text("mine")
    assert main([*arguments, "--force"]) == 0
    assert main(arguments) == 0
    assert "page.html: 0." in capsys.readouterr().out


def test_failed_jobs_of_a_sweep_are_named(main, sweep, tmp_path):
    jobs = [Job(name, preset("sac", env_name="probe-target")) for name in ("good", "bad")]
    folder = SweepFolder(sweep, jobs, cpus=1)
    folder.write()
    for event in ("started", "ended", "gave_up"):
        add_event(folder.job_dir(jobs[1]), event, status=1, message="out of luck")
    assert main([str(sweep), "--out", str(tmp_path / "page.html"), "--reps", "50"]) == 0
    text = (tmp_path / "page.html").read_text()
    assert "bad: failed, failures: 1, out of luck" in text
    assert "good: " not in text


def test_a_sweep_that_still_runs_is_reported_with_what_is_missing(main, sweep, tmp_path):
    waiting = sweep / "waiting"
    shutil.copytree(sweep / "0-cheetah-run", waiting)
    for name in ("results.csv", "metrics.csv"):
        (waiting / name).unlink()
    record = (waiting / "run.json").read_text().replace("cheetah-run", "fish-swim")
    (waiting / "run.json").write_text(record)
    with (sweep / "1-walker-walk/results.csv").open("a") as file:
        file.write("rr16,walker-walk,0,avg_ret")
    out = ["--out", str(tmp_path / "page.html"), "--reps", "50"]
    assert main([str(sweep), *out]) == 2
    assert main([str(sweep), "--partial", *out]) == 0
    text = (tmp_path / "page.html").read_text()
    assert "half-written" in text
    assert "no evaluation" in text

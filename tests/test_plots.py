"""Figures for papers: what is in them, and that bad input leaves everything as it was."""

from __future__ import annotations

import numpy as np
import pytest

from result_files import long_table, run_script, write_run
from rr_scale.analysis import plot_compare, plot_curves, plot_style
from rr_scale.analysis.read import read_curves
from rr_scale.config import ResetRule
from rr_scale.train.logging import ResultFiles


@pytest.fixture
def published(tmp_path):
    """Three replay ratios on two tasks, three seeds, better with the ratio."""
    rng = np.random.default_rng(0)
    curves = {
        (f"sac_rr{ratio}", task, seed): 100 * np.arange(1, 5) + ratio * 10 + rng.normal(0, 5, 4)
        for ratio in (2, 16, 8)
        for task in ("cheetah-run", "walker-run")
        for seed in range(3)
    }
    return long_table(tmp_path / "published.csv", curves)


def texts(figure) -> list[str]:
    """Legend entries, titles and labels of a figure."""
    found = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    for panel in figure.axes:
        found += [panel.get_title(), panel.get_xlabel(), panel.get_ylabel()]
    return [text for text in found if text]


@pytest.mark.parametrize("kind", ["curves", "aggregate", "ratio", "profile", "improvement"])
def test_every_comparison_is_drawn(published, tmp_path, kind, capsys):
    out = tmp_path / f"{kind}.svg"
    assert run_script("plot", published, "--kind", kind, "--reps", 50, "--out", out) == 0
    assert capsys.readouterr().out == f"wrote {out}\n"
    drawn = out.read_text()
    assert drawn.lstrip().startswith("<?xml")
    # Text stays text: names can be found. Ratios are ticks in the plot over them.
    expected = (">2<", ">16<") if kind == "ratio" else ("sac_rr2", "sac_rr16")
    assert all(name in drawn for name in expected)


def test_a_name_without_suffix_makes_both_files_and_equal_figures_are_equal_files(
    published, tmp_path
):
    arguments = [published, "--kind", "aggregate", "--reps", 50, "--out"]
    for name in ("a", "b"):
        assert run_script("plot", *arguments, tmp_path / name) == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_experiments_are_in_the_order_of_their_numbers(published):
    assert plot_style.in_order(["rr16", "rr8", "a", "rr2.5"]) == ["a", "rr2.5", "rr8", "rr16"]
    with plot_style.style():
        figure, _ = plot_curves.per_task(read_curves([published]), plot_curves.Options(reps=50))
    assert texts(figure)[:3] == ["sac_rr2", "sac_rr8", "sac_rr16"]
    assert {"cheetah-run", "walker-run", "environment steps"} <= set(texts(figure))


def test_the_legend_lies_outside_all_panels(published):
    with plot_style.style():
        figure, _ = plot_curves.per_task(read_curves([published]), plot_curves.Options(reps=50))
        figure.canvas.draw()
    legend = figure.legends[0].get_window_extent()
    for panel in figure.axes:
        assert not legend.overlaps(panel.get_window_extent())


def test_resets_and_the_dips_after_them_are_marked(tmp_path):
    rule = ResetRule(unit="env_steps", interval=25)
    returns = {0: [100, 200, 0, 210, 300, 290], 1: [100, 200, 20, 210, 300, 310]}
    write_run(tmp_path, "x", returns, resets=(rule,))
    curves = read_curves([tmp_path])
    with plot_style.style():
        figure, _ = plot_curves.per_task(curves, plot_curves.Options(reps=50))
    panel = figure.axes[0]
    ticks = [line.get_xdata()[0] for line in panel.lines if line.get_gid() == "reset"]
    dips = [
        (*line.get_xdata(), *line.get_ydata())
        for line in panel.lines
        if line.get_marker() == "v" and len(line.get_xdata())
    ]
    assert ticks == [25, 50]
    # The reset at 50 is followed by no lower return.
    assert dips == [(30, 10.0)]
    assert texts(figure)[1:3] == ["reset", "dip after it"]


def test_profiles_and_ratios_show_the_numbers(published):
    curves = read_curves([published])
    options = plot_curves.Options(reps=50, statistic="mean")
    with plot_style.style():
        figure, _ = plot_compare.replay_ratios(curves, options)
        line = figure.axes[0].lines[0]
    assert line.get_xdata().tolist() == [2, 8, 16]
    last = [
        np.mean([curve.values[-1] for curve in curves.where(exp_name=f"sac_rr{ratio}")]) / 1000
        for ratio in (2, 8, 16)
    ]
    np.testing.assert_allclose(line.get_ydata(), last)
    assert "at 40 env steps" in texts(figure)


def test_scores_are_drawn_against_wall_time_and_updates(tmp_path):
    write_run(tmp_path / "run", "x", {0: [10, 20], 1: [30, 40]}, wall_s_per_step=360.0)
    for axis, label in (("wall_s", "hours of training"), ("updates", "critic updates")):
        out = tmp_path / f"{axis}.svg"
        assert run_script("plot", tmp_path / "run", "--x", axis, "--reps", 50, "--out", out) == 0
        assert label in out.read_text()


def test_diagnostics_have_a_panel_per_training_metric(tmp_path, capsys):
    write_run(tmp_path, "x", {0: [10, 20], 1: [30, 40]})
    out = tmp_path / "diagnostics.svg"
    assert run_script("plot", tmp_path, "--kind", "diagnostics", "--out", out) == 2
    assert "no training metrics" in capsys.readouterr().err
    files = ResultFiles(tmp_path, [0, 1], "x", "cheetah-run", 1)
    for step in (10, 20):
        files.metrics(step, step, [{"train/q_mean": 1.0}, {"train/q_mean": 2.0}], {})
    assert run_script("plot", tmp_path, "--kind", "diagnostics", "--out", out) == 0
    assert all(name in out.read_text() for name in ("avg_return", "train/q_mean"))


def test_problems_are_printed_beside_the_figure(tmp_path, capsys):
    write_run(tmp_path / "run", "x", {0: [10, 20, 30], 1: [30, 40]})
    out = tmp_path / "curves.png"
    assert run_script("plot", tmp_path / "run", "--reps", 50, "--out", out) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "unequal: x on cheetah-run: seeds end before env step 30: 1 at 20"
    assert "ends at env_steps 20 of 30" in lines[1]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--suite", "dmcc"], "unknown suite 'dmcc'; did you mean 'dmc'"),
        (["--kind", "curve"], "unknown kind 'curve'; did you mean 'curves'"),
        (["--statistic", "iqr"], "unknown statistic 'iqr'"),
        (["--x", "steps"], "unknown axis 'steps'"),
        (["--x", "frames"], "frames are not known"),
        (["--task", "walker-rum"], "no results on 'walker-rum'; did you mean 'walker-run'"),
        (["--metric", "loss"], "no row of loss"),
        (["--reset_every", "x"], "NAME=ENV_STEPS"),
        (["--kind", "diagnostics"], "choose one with --task"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_overwritten(
    published, tmp_path, options, reason, capsys
):
    out = tmp_path / "old.png"
    out.write_text("old")
    assert run_script("plot", published, *options, "--out", out) == 2
    said = capsys.readouterr().err
    assert said.startswith("plot: ")
    assert reason in said
    assert len(said.splitlines()) == 1
    assert out.read_text() == "old"

"""The command line over the scaling laws."""

from __future__ import annotations

import json

import pytest

from result_files import run_script
from rr_scale.analysis.scaling_laws import rounded_batch
from rr_scale.analysis.scaling_report import suggest
from rr_scale.errors import UserError
from scaling_runs import write_scaling_runs


def test_the_script_fits_draws_and_suggests(tmp_path, capsys):
    write_scaling_runs(tmp_path / "runs", batches=(128, 256), seeds=2)
    out = tmp_path / "fit"
    options = [
        "--out",
        out,
        "--parameters",
        "1e6",
        "--resamples",
        "5",
        "--thresholds",
        "300,500,700",
    ]
    assert run_script("fit_scaling", "fit", tmp_path / "runs", *options) == 0
    assert "best batch size = value at ratio 1 x ratio^" in capsys.readouterr().out
    assert (out / "scaling.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (out / "scaling.svg").read_text()
    law = json.loads((out / "scaling.json").read_text())["batch"]
    question = ["--replay_ratio", 16, "--task", "walker-run"]
    assert run_script("fit_scaling", "suggest", out / "scaling.json", *question) == 0
    answer = capsys.readouterr().out
    size = law["at_one"]["walker-run"] * 16 ** law["slope"]
    assert f"batch size     {rounded_batch(size)} ({size:.4g};" in answer
    assert "beyond the measured replay ratios, 1 to 8" in answer


@pytest.mark.parametrize(
    "arguments",
    [
        ["suggest", "nowhere.json", "--replay_ratio", "16"],
        ["fit", "nowhere", "--out", "x"],
        ["fit", "nowhere", "--out", "x", "--thresholds", "800:200"],
        ["guess"],
    ],
)
def test_the_script_answers_bad_input_with_one_line_and_status_2(arguments, capsys):
    assert run_script("fit_scaling", *arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("fit_scaling: ")
    assert len(said.splitlines()) == 1


def test_suggestions_need_a_law_and_one_question():
    law = {"slope": -0.5, "at_one": {"a": 512.0}}
    laws = {"batch": law, "rate": None, "best_ratio": None, "ratios": [1.0, 8.0]}
    assert suggest(laws, 4.0) == "batch size     256 (256; also 176, 368)"
    assert "batch size     512" in suggest(
        laws | {"best_ratio": {"slope": 0.0, "intercept": 0.0}}, budget=1e9
    )
    for reason, arguments in (
        ("one of them", {}),
        ("one of them", {"replay_ratio": 1.0, "budget": 1.0}),
        ("no law of budgets", {"budget": 1.0}),
        ("positive", {"replay_ratio": 0.0}),
        ("no fit for task 'b'", {"replay_ratio": 1.0, "task": "b"}),
    ):
        with pytest.raises(UserError, match=reason):
            suggest(laws, **arguments)

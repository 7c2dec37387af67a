"""Tracking: real offline W&B runs, and every way in which W&B may fail."""

from __future__ import annotations

import http.server
import json
import socket
import sys
import threading

import pytest

from rr_scale.errors import CheckpointError, UserError
from rr_scale.train import tracker
from rr_scale.train.tracker import NullTracker, WandbTracker, choose_mode

KEY = {"WANDB_API_KEY": "k"}


@pytest.fixture(autouse=True)
def _no_account(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no_netrc"))


def start(folder, state=None, seeds=(3, 4)) -> WandbTracker:
    return WandbTracker({"max_steps": 10}, seeds, "sr_sac", "cheetah-run", folder, state)


def run_files(folder) -> list[str]:
    return sorted(path.name for path in folder.glob("wandb/offline-run-*/run-*.wandb"))


def test_offline_gives_one_run_per_seed_and_a_resume_reuses_the_ids(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "offline")
    first = start(tmp_path)
    first.log(10, 320, [{"avg_return": 1.0}, {"avg_return": 2.0}])
    state = json.loads(json.dumps(first.state()))
    first.log(20, 640, [{"avg_return": 1.0}, None])
    first.close()
    names = [f"run-{run_id}.wandb" for run_id in state["run_ids"]]
    assert len(set(names)) == 2
    assert run_files(tmp_path) == sorted(names)

    second = start(tmp_path, state)
    assert second.state() == state
    second.log(15, 480, [{"avg_return": 1.5}, {"avg_return": 2.5}])
    second.close()
    assert run_files(tmp_path) == sorted(names * 2)
    assert capsys.readouterr().err == ""


def test_rows_carry_seed_group_and_env_step(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    tracked = start(tmp_path)
    try:
        runs = tracked._runs
        assert [run.config["seed"] for run in runs] == [3, 4]
        assert {run.group for run in runs} == {"sr_sac-cheetah-run"}
        assert runs[0].id != runs[1].id
        tracked.log(20, 640, [{"avg_return": 1.0}, None])
        tracked.log(10, 320, [{"avg_return": 9.0}, None])
        assert runs[0].summary["env_step"] == 10
        assert runs[0].summary["avg_return"] == 9.0
        assert "avg_return" not in dict(runs[1].summary)
    finally:
        tracked.close()


class BrokenRun:
    """A run whose every call fails as a lost service would."""

    def define_metric(self, *_, **__):
        pass

    def log(self, *_):
        raise ConnectionResetError("gone\naway")

    def finish(self):
        raise TimeoutError("no answer")


def test_an_error_of_wandb_is_one_warning_and_no_more(tmp_path, monkeypatch, capsys):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(wandb, "init", lambda **_: BrokenRun())
    tracked = start(tmp_path)
    for step in range(3):
        tracked.log(step, 0, [{"avg_return": 1.0}, {"avg_return": 1.0}])
    tracked.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["warning: Weights & Biases could not log: gone away; going on without it"]


def test_a_start_that_fails_keeps_the_ids_for_the_next_one(tmp_path, monkeypatch, capsys):
    wandb = pytest.importorskip("wandb")

    def fail(**_):
        raise wandb.errors.CommError("refused")

    monkeypatch.setattr(wandb, "init", fail)
    tracked = start(tmp_path, {"run_ids": ["a", "b"]})
    tracked.log(1, 1, [{}, {}])
    tracked.close()
    assert tracked.state() == {"run_ids": ["a", "b"]}
    assert capsys.readouterr().err.count("warning") == 1


def test_a_missing_wandb_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"rr_scale\[track\]"):
        start(tmp_path)


def test_a_state_of_other_lanes_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="3 lanes, the run has 2"):
        start(tmp_path, {"run_ids": ["a", "b", "c"]})


@pytest.mark.parametrize(
    ("environ", "answers", "mode"),
    [
        ({}, True, "offline"),
        (KEY, True, "online"),
        (KEY, False, "offline"),
        (KEY | {"WANDB_MODE": "online"}, False, "online"),
        (KEY | {"WANDB_MODE": "offline"}, True, "offline"),
        ({"WANDB_MODE": "disabled"}, True, "disabled"),
        ({"WANDB_MODE": "online"}, True, "offline"),
    ],
)
def test_mode_is_online_only_with_a_key_and_an_answer(environ, answers, mode, tmp_path):
    environ = environ | {"NETRC": str(tmp_path / "none")}
    assert choose_mode(environ, lambda _: answers) == mode


def test_a_key_in_netrc_counts_for_its_host_only(tmp_path):
    path = tmp_path / "netrc"
    path.write_text("machine wandb.example.org login user password k\n")
    environ = {"NETRC": str(path)}
    there = environ | {"WANDB_BASE_URL": "https://wandb.example.org"}
    assert choose_mode(environ, lambda _: True) == "offline"
    assert choose_mode(there, lambda _: True) == "online"


def test_a_host_that_never_answers_costs_a_bounded_wait():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        assert not tracker._answers(f"http://127.0.0.1:{port}", seconds=0.2)


def test_any_http_answer_counts():
    class Refuse(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Refuse) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert tracker._answers(f"http://127.0.0.1:{server.server_port}", seconds=5)
        thread.join()


def test_the_null_tracker_has_nothing_to_remember():
    null = NullTracker()
    null.log(1, 1, [{"avg_return": 1.0}])
    null.close()
    assert null.state() == {}

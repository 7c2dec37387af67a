"""Worker processes: what they are, how they fail, and that nothing of them is left."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rr_scale.envs import suites, workers
from rr_scale.envs.workers import WorkerSimulators, open_simulators
from rr_scale.errors import UserError
from rr_scale.train.evaluate import Evaluator
from stand_ins import Faulty, Introspective, Walk, refuse, vanish

ROOT = Path(__file__).parents[1]
LIMIT_S = 60.0

PROGRAM = """
import os, signal, sys
sys.path[:0] = {paths!r}
from rr_scale.envs.workers import WorkerSimulators
from stand_ins import Faulty

{guard}
    simulators = WorkerSimulators(Faulty, 2)
    simulators.reset([0, 1], [1, 2])
    print(*(worker._process.pid for worker in simulators._workers), flush=True)
    {end}
"""


def program(end: str, guard: str = "if __name__ == '__main__':") -> str:
    """A program with two workers."""
    return PROGRAM.format(paths=[str(ROOT), str(ROOT / "tests")], end=end, guard=guard)


def is_running(pid: int) -> bool:
    """Whether there is such a process and it is no zombie, which only its new parent can end."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def pids(simulators: WorkerSimulators) -> list[int]:
    return [worker._process.pid for worker in simulators._workers]


@contextmanager
def faulty() -> Iterator[WorkerSimulators]:
    """Simulators 0, 1, 2 in two workers."""
    with closing(WorkerSimulators(Faulty, 2)) as simulators:
        simulators.reset([0, 1, 2], [0, 1, 2])
        yield simulators


def first_actions(*values: float) -> np.ndarray:
    return np.array([[value, 0] for value in values], np.float32)


def test_a_worker_knows_no_jax_has_one_thread_and_ignores_signals() -> None:
    with closing(WorkerSimulators(Introspective, 2)) as simulators:
        observations = simulators.reset([0, 1, 2, 3], [0] * 4)
        first, second = pids(simulators)
    knows_jax, more_threads, pid, ignores, blocked = observations.T
    assert not knows_jax.any()
    assert not more_threads.any()
    assert pid.tolist() == [first, second, first, second]
    assert ignores.all()
    assert not blocked.any()


def test_signals_to_the_whole_group_harm_no_worker_not_even_while_it_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(worker: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(worker._process.pid, number)

    def begin(worker: Any, *arguments: Any) -> None:
        interrupt(worker)
        original(worker, *arguments)

    original = workers._Worker.begin
    monkeypatch.setattr(workers._Worker, "begin", begin)
    with faulty() as simulators:
        for worker in simulators._workers:
            interrupt(worker)
        assert simulators.step([0, 1], first_actions(0, 0))["reward"].tolist() == [1, 1]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_closing_leaves_no_process_and_no_open_file() -> None:
    # Python's own helper stays once it was started, whoever starts it.
    with faulty():
        pass
    before = open_files()
    with faulty() as simulators:
        started = pids(simulators)
        assert all(map(is_running, started))
    assert not any(Path(f"/proc/{pid}").exists() for pid in started)
    assert multiprocessing.active_children() == []
    assert open_files() == before
    simulators.close()


@pytest.mark.parametrize("busy", [False, True])
def test_workers_end_when_their_parent_is_killed(busy: bool) -> None:
    end = "simulators.step([0, 1], [[-0.5, 0]] * 2)" if busy else "signal.pause()"
    with subprocess.Popen(
        [sys.executable, "-c", program(end)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        started = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(started) == 2
        assert all(map(is_running, started))
        parent.kill()
    wait_until(lambda: not any(map(is_running, started)))


def test_a_program_that_closes_nothing_still_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", program("pass")], capture_output=True, text=True, timeout=LIMIT_S
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not any(is_running(int(pid)) for pid in done.stdout.split())


def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(program("pass", guard="if True:"))
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, timeout=LIMIT_S
    )
    assert (done.returncode, done.stdout) == (1, "")
    last = done.stderr.splitlines()[-1]
    assert "UserError" in last
    assert "if __name__ == '__main__':" in last


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [(1, RuntimeError, "ValueError: the simulator is\nupset"), (2, UserError, "mend your ways")],
)
def test_an_exception_in_a_worker_is_raised_and_the_others_go_on(
    action: float, error: type[Exception], message: str
) -> None:
    with faulty() as simulators:
        with pytest.raises(error) as raised:
            simulators.step([0, 1, 2], first_actions(0, action, 0))
        assert str(raised.value).endswith(message)
        if error is RuntimeError:
            assert "line" in raised.value.__notes__[0]
        simulators.reset([1], [1])
        assert simulators.step([2, 1, 0], first_actions(0, 0, 0))["reward"].tolist() == [1] * 3


@pytest.mark.parametrize("when", ["in a step", "between steps"])
def test_a_killed_worker_is_one_clear_error(when: str) -> None:
    with faulty() as simulators:
        if when == "between steps":
            os.kill(pids(simulators)[1], signal.SIGKILL)
        with pytest.raises(UserError) as raised:
            simulators.step([0, 1], first_actions(0, 3 if when == "in a step" else 0))
        assert f"(pid {pids(simulators)[1]}) was killed by SIGKILL" in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("make_env", "message"), [(refuse, "no such simulator"), (vanish, "ended by itself")]
)
def test_workers_that_cannot_start_are_an_error_and_are_gone(
    make_env: Callable[[], Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        WorkerSimulators(make_env, 3)
    assert multiprocessing.active_children() == []


def test_after_an_exchange_was_broken_off_no_answer_is_taken_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(worker: Any) -> bytes:
        raise KeyboardInterrupt

    with faulty() as simulators:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(workers._Worker, "receive", interrupt)
            simulators.step([0, 1], first_actions(0, 0))
        with pytest.raises(RuntimeError, match="broken off"):
            simulators.step([0, 1], first_actions(0, 0))


def test_no_more_workers_are_started_than_there_are_simulators() -> None:
    with closing(open_simulators(Walk, workers=5, at_most=2)) as simulators:
        assert len(pids(simulators)) == 2


def act(observation: np.ndarray) -> np.ndarray:
    """Some policy [S, E, O] -> [S, E, 1]."""
    return np.sin(7 * observation.sum(axis=-1, keepdims=True))


def evaluate(
    make_env: Callable[[], Any], workers: int, max_envs: int, policy: Callable = act
) -> list[Any]:
    evaluator = Evaluator(make_env, [3, 4, 5], 4, max_envs, workers)
    with closing(evaluator):
        skipped = [[False, False, False], [False, True, False], [True, True, True]]
        return [
            evaluator.run(policy, env_step, lanes)
            for env_step, lanes in zip((0, 10, 20), skipped, strict=True)
        ]


@pytest.mark.parametrize(("workers", "max_envs"), [(1, 32), (2, 3), (0, 5)])
def test_evaluations_are_the_same_with_any_number_of_workers_and_simulators(
    workers: int, max_envs: int
) -> None:
    expected = evaluate(Walk, 0, 1)
    assert [[row is None for row in rows] for rows in expected] == [
        [False] * 3,
        [False, True, False],
        [True] * 3,
    ]
    assert expected[0][0]["avg_length"] == 7
    assert expected[0][0]["avg_return"] != expected[1][0]["avg_return"]
    assert evaluate(Walk, workers, max_envs) == expected


def test_evaluations_of_a_simulator_are_the_same_in_workers_and_in_a_background_thread() -> None:
    make_env = functools.partial(suites.make, "Hopper-v5")

    def policy(observation: np.ndarray) -> np.ndarray:
        return np.tanh(observation[..., :3])

    with ThreadPoolExecutor(1) as thread:
        rows = thread.submit(evaluate, make_env, 2, 5, policy).result()
    assert rows == evaluate(make_env, 0, 12, policy)


def test_an_evaluator_starts_its_workers_at_the_first_evaluation() -> None:
    with closing(Evaluator(Walk, [1], 2, 8, workers=2)) as evaluator:
        assert multiprocessing.active_children() == []
        evaluator.run(act, 0, [True])
        assert multiprocessing.active_children() == []
        evaluator.run(act, 0, [False])
        assert len(multiprocessing.active_children()) == 2
    assert multiprocessing.active_children() == []

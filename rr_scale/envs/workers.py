"""Simulators in processes of their own, which step them side by side.

A worker is a fresh interpreter, not a fork: the parent runs jax, whose threads
do not survive one. It owns a fixed share of the simulators.
"""

from __future__ import annotations

import atexit
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context, resource_tracker
from typing import Any, TypeVar

import numpy as np

from rr_scale.envs import exchange
from rr_scale.envs.serve import IGNORED_SIGNALS, serve
from rr_scale.envs.simulators import LocalSimulators, MakeEnv, Simulators, step_type
from rr_scale.envs.spec import EnvSpec
from rr_scale.errors import UserError

_PATIENCE_S = 10.0  # for a worker to notice that it is no longer wanted

Answer = TypeVar("Answer")


def open_simulators(make_env: MakeEnv, workers: int, at_most: int) -> Simulators:
    """Simulators of this process, or of others.

    Args:
      make_env: see `LocalSimulators`; importable from a module if there are
        workers.
      workers: processes; 0 means this one.
      at_most: simulators that will be used; more workers are not started.

    Raises:
      UserError: as `make_env`, or a worker did not start.
    """
    if workers == 0:
        return LocalSimulators(make_env)
    return WorkerSimulators(make_env, min(workers, at_most))


class WorkerSimulators:
    """Simulators of which number i is in worker i modulo the number of workers.

    The results are those of `LocalSimulators`, bit for bit. For one thread at a
    time; while it waits, others can run.

    Args:
      make_env: importable from a module, as functions and classes at the top
        level of one are, and `functools.partial` of them.
      workers: processes, at least 1.

    Raises:
      UserError: as `make_env`, or a worker did not start.
    """

    def __init__(self, make_env: MakeEnv, workers: int):
        self._workers: list[_Worker] = []
        self._unanswered = False
        atexit.register(self.close)
        try:
            with _signals_blocked():
                for _ in range(workers):
                    self._workers.append(_Worker())
            for first, worker in enumerate(self._workers):
                worker.begin(make_env, first)
            # Only now, so that all of them import and build at the same time.
            self.spec = [worker.finish_beginning() for worker in self._workers][0]
        except BaseException:
            self.close()
            raise
        self._step_type = step_type(self.spec.observation_size)
        self._request_type = exchange.step_request_type(self.spec.action_size)

    def reset(self, indices: Sequence[int], seeds: Sequence[int]) -> np.ndarray:
        """See `Simulators.reset`."""
        asked = np.empty(len(indices), exchange.RESET_TYPE)
        asked["index"], asked["seed"] = indices, seeds
        observations = np.empty((len(indices), self.spec.observation_size), np.float32)
        for places, answer in self._ask(exchange.RESET, asked):
            part = np.frombuffer(answer, np.float32)
            observations[places] = part.reshape(len(places), -1)
        return observations

    def step(self, indices: Sequence[int], actions: np.ndarray) -> np.ndarray:
        """See `Simulators.step`."""
        asked = np.empty(len(indices), self._request_type)
        asked["index"], asked["action"] = indices, actions
        steps = np.empty(len(indices), self._step_type)
        for places, answer in self._ask(exchange.STEP, asked):
            steps[places] = np.frombuffer(answer, self._step_type)
        return steps

    def close(self) -> None:
        """Ends the workers, and waits for their end."""
        atexit.unregister(self.close)
        for worker in self._workers:
            worker.hang_up()
        for worker in self._workers:
            worker.join()
        self._workers = []

    def _ask(self, letter: bytes, asked: np.ndarray) -> list[tuple[np.ndarray, bytes]]:
        """Sends every worker its elements of `asked` [n].

        Returns:
          Per worker that had any, their places in `asked`, and its answer.
        """
        if self._unanswered:
            # Whatever comes next through the pipes answers another question.
            raise RuntimeError("an exchange with the workers was broken off, or is going on")
        self._unanswered = True
        owners = asked["index"] % len(self._workers)
        waiting: list[tuple[np.ndarray, _Worker]] = []
        for number, worker in enumerate(self._workers):
            places = np.flatnonzero(owners == number)
            if places.size:
                worker.send(letter + asked[places].tobytes())
                waiting.append((places, worker))
        answers, failures = [], []
        for places, worker in waiting:
            try:
                answers.append((places, worker.receive()))
            except Exception as failure:
                # The others have to be heard first.
                failures.append(failure)
        self._unanswered = False
        if failures:
            raise failures[0]
        return answers


class _Worker:
    """A process and the pipe to it. Its death is a `UserError`, whoever notices it."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self._connection, other_end = context.Pipe()
        self._process = context.Process(target=serve, args=(other_end,), name="env-worker")
        self._started = False
        try:
            self._process.start()
        finally:
            # Held open here, it would hide that the worker is dead.
            other_end.close()

    def begin(self, make_env: MakeEnv, first: int) -> None:
        """Has the simulator `first` made."""
        self._talk(self._connection.send, (make_env, first))

    def finish_beginning(self) -> EnvSpec:
        """The sizes of that simulator, once it is made."""
        spec = self._talk(exchange.receive_spec, self._connection)
        self._started = True
        return spec

    def send(self, request: bytes) -> None:
        """Asks; `receive` waits for the answer."""
        self._talk(self._connection.send_bytes, request)

    def receive(self) -> bytes:
        """See `exchange.receive`."""
        return self._talk(exchange.receive, self._connection)

    def hang_up(self) -> None:
        """Lets the worker know that it is no longer needed."""
        self._connection.close()

    def join(self) -> None:
        """Waits for its end, and brings it about if need be."""
        self._process.join(_PATIENCE_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        self._process.close()

    def _talk(self, how: Callable[..., Answer], *arguments: Any) -> Answer:
        try:
            return how(*arguments)
        except (EOFError, OSError) as error:
            raise UserError(self._obituary()) from error

    def _obituary(self) -> str:
        self._process.join(_PATIENCE_S)
        status = self._process.exitcode or 0
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else "ended by itself"
        text = f"a process that steps environments (pid {self._process.pid}) {how}"
        if status == -signal.SIGKILL:
            text += "; if memory was short, lower env_workers or eval_envs"
        elif not self._started:
            text += (
                ": see its message above; a script that calls `run` with env_workers > 0 must do "
                "so below `if __name__ == '__main__':`"
            )
        return text


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Keeps from processes started inside the signals that they are going to ignore."""
    # Python's helper is started with the first process, and would unblock them.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

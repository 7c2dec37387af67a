"""What a worker and its parent say to each other.

The parent sends what `LocalSimulators` is made of and gets the sizes of the
environment. Then every request is a letter and an array, and every answer
`DONE` and an array. Instead of an answer there can be `FAILED`, and a second
message with what went wrong. Arrays travel as plain bytes: to pickle them takes
longer than the step of a small simulator, and shared memory is hardly faster.
"""

from __future__ import annotations

import contextlib
import traceback
from multiprocessing.connection import Connection

import numpy as np

from rr_scale.envs.simulators import LocalSimulators
from rr_scale.envs.spec import EnvSpec
from rr_scale.errors import UserError

RESET, STEP = b"r", b"s"
DONE, FAILED = b"+", b"-"

RESET_TYPE = np.dtype([("index", np.int64), ("seed", np.int64)])
"""Elements of the array of a `RESET`; it is answered by observations [n, O] float32."""


def step_request_type(action_size: int) -> np.dtype:
    """Elements of the array of a `STEP`; it is answered by an array of `step_type`."""
    return np.dtype([("index", np.int64), ("action", np.float32, (action_size,))])


def answer_requests(connection: Connection) -> None:
    """The worker's side, until the other end is closed."""
    with contextlib.suppress(EOFError, ConnectionError), contextlib.ExitStack() as stack:
        try:
            simulators = LocalSimulators(*connection.recv())
        except Exception as error:
            _send_failure(connection, error)
            return
        stack.callback(simulators.close)
        connection.send_bytes(DONE)
        connection.send(simulators.spec)
        while True:
            request = connection.recv_bytes()
            try:
                reply = _answer(simulators, request)
            except Exception as error:
                _send_failure(connection, error)
            else:
                connection.send_bytes(DONE + reply)


def _answer(simulators: LocalSimulators, request: bytes) -> bytes:
    if request[:1] == RESET:
        asked = np.frombuffer(request, RESET_TYPE, offset=1)
        return simulators.reset(asked["index"].tolist(), asked["seed"].tolist()).tobytes()
    asked = np.frombuffer(request, step_request_type(simulators.spec.action_size), offset=1)
    # A copy: environments may keep or change the actions they are given.
    return simulators.step(asked["index"].tolist(), asked["action"].copy()).tobytes()


def _send_failure(connection: Connection, error: Exception) -> None:
    # As text, because not every exception survives a journey as an object.
    kind = None if isinstance(error, UserError) else type(error).__name__
    connection.send_bytes(FAILED)
    connection.send((kind, str(error), traceback.format_exc()))


def receive_spec(connection: Connection) -> EnvSpec:
    """The first answer of a worker; raises like `receive`."""
    receive(connection)
    return connection.recv()


def receive(connection: Connection) -> bytes:
    """The array of an answer, as bytes.

    Raises:
      UserError: as the environment raised it.
      RuntimeError: the environment raised another exception; its name, message
        and traceback.
      EOFError, OSError: there is no worker any more.
    """
    answer = connection.recv_bytes()
    if answer[:1] == DONE:
        return answer[1:]
    kind, message, trace = connection.recv()
    if kind is None:
        raise UserError(message)
    error = RuntimeError(f"a simulator failed: {kind}: {message}")
    error.add_note(f"In the worker process:\n{trace}")
    raise error

"""How a worker process begins: signals and threads first, simulators afterwards.

Only modules of Python are imported at the top, since the number of threads
counts when numpy is imported.
"""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection

IGNORED_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""The parent decides: a Ctrl-C reaches every process of a terminal, the signals
of a cluster every process of a job, and the simulators must outlive the step and
the checkpoint that follow."""

_THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def serve(connection: Connection) -> None:
    """Steps simulators until the other end of `connection` is closed or its process dead.

    Args:
      connection: see `exchange`.
    """
    for number in IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # The parent blocked them, so that none could arrive before this line.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)
    os.environ.update(dict.fromkeys(_THREAD_LIMITS, "1"))
    from rr_scale.envs.exchange import answer_requests

    answer_requests(connection)

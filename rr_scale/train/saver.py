"""When a checkpoint is written: copied at its env step, committed once its evaluations are done.

A checkpoint of step t has the result rows of all evaluations up to t, that of
t itself among them, which has only begun when the checkpoint is taken.
Training does not wait for it: the state is copied at t, and what the
evaluation still changes (the rows it writes, the best returns) is added when
it is done, before a later evaluation writes anything.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

from rr_scale.train.background import Background
from rr_scale.train.evaluation import Evaluations
from rr_scale.train.outputs import Outputs
from rr_scale.train.policy_keeper import PolicyKeeper

Save = Callable[[dict[str, Any]], None]
"""Commits a checkpoint with this host state; runs beside training."""


class Saver:
    """Takes checkpoints, one at a time.

    Args:
      evaluations: those of the run.
      policies: knows the best returns.
    """

    def __init__(self, evaluations: Evaluations, policies: PolicyKeeper):
        self._evaluations = evaluations
        self._policies = policies
        self._writer = Background()
        self._taken: Callable[[], None] | None = None
        self.newest: int | None = None
        """Env step of the newest checkpoint that is committed."""

    def prepare(self, compile_rows: Callable[[], object]) -> None:
        """Compiles beside training what the first checkpoint would stop it for."""
        self._writer.start(compile_rows, lambda _: None)

    def take(self, env_step: int, host: dict[str, Any], outputs: Outputs, save: Save) -> None:
        """A checkpoint of now; call `finish` before, so that none pile up.

        Args:
          env_step: its name.
          host: host state; lengths of text files and best returns are added.
          outputs: has the text files.
          save: has copies of everything else.
        """
        before = outputs.lengths()
        host = copy.deepcopy(host)

        def write() -> None:
            host["best"] = list(self._policies.best)
            host["lengths"] = outputs.lengths(before)

            def commit() -> None:
                outputs.sync()
                save(host)

            self._writer.start(commit, partial(self._saved, env_step))

        self._taken = write
        self.poll()

    def poll(self) -> None:
        """Goes on with what need not be waited for."""
        self._evaluations.poll()
        if self._evaluations.idle:
            self._write()
        self._writer.poll()

    def settle(self) -> None:
        """Waits for evaluations; then no checkpoint waits for one."""
        self._evaluations.finish()
        self._write()

    def finish(self) -> None:
        """Waits until what was taken is committed."""
        if self._taken is not None:
            self.settle()
        self._writer.finish()

    def close(self) -> None:
        """Waits for what is being written."""
        self._writer.close()

    def _write(self) -> None:
        if self._taken is not None:
            write, self._taken = self._taken, None
            write()

    def _saved(self, env_step: int, _: None) -> None:
        self.newest = env_step

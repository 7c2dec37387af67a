"""When networks are diagnosed, and the rows that come of it."""

from __future__ import annotations

from collections.abc import Sequence

from rr_scale.agents.state import TrainState
from rr_scale.clock import every
from rr_scale.config import RunConfig
from rr_scale.engine import Engine, EngineState
from rr_scale.train.outputs import Outputs, Row
from rr_scale.types import Clock


class Diagnostics:
    """Every `diagnose_interval` env steps after warm-up, about the updates of that step.

    Args:
      engine: knows the programs.
      config: says when.
    """

    def __init__(self, engine: Engine, config: RunConfig):
        self._engine = engine
        self._interval = config.diagnose_interval
        self._warmup = config.start_training
        self._before: TrainState | None = None

    @property
    def due(self) -> bool:
        """Whether the env step that was last announced is to be diagnosed."""
        return self._before is not None

    def announce(self, state: EngineState, env_step: int) -> None:
        """Env step number `env_step` is about to be learned from; keeps its policy if it is due."""
        if env_step > self._warmup and every(env_step, self._interval):
            self._before = self._engine.policy(state)

    def write(
        self, state: EngineState, clock: Clock, dropped: Sequence[bool], outputs: Outputs
    ) -> None:
        """Diagnoses the env step that is due.

        Args:
          state: after its updates.
          clock: after its updates.
          dropped: lanes without rows [S].
          outputs: where to.
        """
        assert self._before is not None
        before, self._before = self._before, None
        found = self._engine.watch.diagnose(self._engine.hp, state, before, clock)
        rows: list[Row] = [
            None
            if skip
            else {
                name: float(mean.total[lane] / mean.terms[lane])
                for name, mean in found.items()
                if mean.terms[lane]
            }
            for lane, skip in enumerate(dropped)
        ]
        outputs.metrics(int(clock.env_step), int(clock.update), rows, {})

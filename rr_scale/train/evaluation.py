"""When an evaluation is due: a copy of the policies, their episodes, and what comes of it.

The episodes may run beside training. They are played with a copy of the actor
and with simulators of their own, so the numbers are the same either way; rows
are written in the order of steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from rr_scale.agents.state import TrainState
from rr_scale.config import RunConfig
from rr_scale.engine import Engine, EngineState
from rr_scale.train.background import Background
from rr_scale.train.bias import Bias
from rr_scale.train.evaluate import Evaluator
from rr_scale.train.outputs import Outputs, Row
from rr_scale.train.policy_keeper import PolicyKeeper

Report = Callable[[int, list[Row]], None]
"""(env step, a row per lane): tells people."""


class Evaluations:
    """All evaluations of a run.

    Args:
      engine: plays the policies.
      evaluator: has the simulators.
      keeper: writes actors.
      config: whether training goes on meanwhile, and whether critics are
        compared with the returns.
    """

    def __init__(
        self, engine: Engine, evaluator: Evaluator, keeper: PolicyKeeper, config: RunConfig
    ):
        self._engine = engine
        self._evaluator = evaluator
        self._keeper = keeper
        self._compares = config.diagnose_interval > 0
        self._background = Background(config.background_eval)
        self._spent_s = 0.0

    def start(
        self,
        state: EngineState,
        env_step: int,
        updates: int,
        dropped: list[bool],
        outputs: Outputs,
        report: Report,
    ) -> None:
        """Evaluates the policies of `state`, which may change as soon as this returns."""
        policy = self._engine.policy(state)
        bias = self._bias(state) if self._compares else None
        skipped = list(dropped)

        def episodes() -> tuple[list[Row], float]:
            begun = time.monotonic()
            rows = self._evaluator.run(
                lambda observation: self._engine.evaluate(policy, observation),
                env_step,
                skipped,
                bias,
            )
            return rows, time.monotonic() - begun

        def write(result: tuple[list[Row], float]) -> None:
            rows, seconds = result
            self._spent_s += seconds
            outputs.evaluation(env_step, updates, rows)
            self._keeper.save(outputs, self._engine.placement.to_host(policy), env_step, rows)
            report(env_step, rows)

        self._background.start(episodes, write)

    def _bias(self, state: EngineState) -> Bias:
        engine, hp = self._engine, self._engine.hp
        critics: TrainState = engine.watch.critics(state)
        discounts = engine.placement.to_host(hp.discount).tolist()
        return Bias(partial(engine.watch.appraise, hp, critics), discounts)

    @property
    def idle(self) -> bool:
        """Whether all that was started is written."""
        return self._background.idle

    def poll(self) -> None:
        """Writes what is ready."""
        self._background.poll()

    def finish(self) -> None:
        """Waits for the evaluation under way and writes it."""
        self._background.finish()

    def spent_s(self) -> float:
        """Seconds that finished evaluations took since this was last asked."""
        spent, self._spent_s = self._spent_s, 0.0
        return spent

    def close(self) -> None:
        """Frees the simulators."""
        self._background.close()
        self._evaluator.close()

"""The same work by SBX (stable-baselines3 in jax): `python peer_sbx.py JSON`.

Runs in an environment that has sbx-rl, and knows nothing of this project.
Prints one JSON line: log intervals of a real training run, as env steps,
updates and seconds.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time

from sbx import SAC
from stable_baselines3.common.callbacks import BaseCallback


class Watch(BaseCallback):
    """Takes the time and stops the run once enough intervals were seen."""

    def __init__(self, start_training: int, seconds: float, windows: int):
        super().__init__()
        self._start_training = start_training
        self._seconds = seconds
        self._wanted = windows
        self._mark: tuple[float, int, int] | None = None
        self._compiled = False
        self.windows: list[dict[str, float]] = []

    def _on_step(self) -> bool:
        # Called after an env step and before its updates; those before it are complete,
        # since their losses were read back.
        now = (time.perf_counter(), self.num_timesteps, self.model._n_updates)
        if now[2] == 0:
            return True
        if self._mark is None:
            self._mark = now
        elapsed = now[0] - self._mark[0]
        if elapsed < self._seconds:
            return True
        if self._compiled:
            steps, updates = now[1] - self._mark[1], now[2] - self._mark[2]
            self.windows.append({"env_steps": steps, "updates": updates, "wall_s": elapsed})
        self._compiled, self._mark = True, now
        return len(self.windows) < self._wanted


def main(arguments: list[str]) -> int:
    """Trains until `windows` intervals of `seconds` were seen."""
    request = json.loads(arguments[0])
    watch = Watch(request["start_training"], request["seconds"], request["windows"])
    train_freq = request["train_freq"]
    model = SAC(
        "MlpPolicy",
        request["env_name"],
        buffer_size=request["capacity"],
        learning_starts=request["start_training"],
        batch_size=request["batch_size"],
        train_freq=train_freq,
        gradient_steps=train_freq * request["replay_ratio"],
        policy_kwargs={"net_arch": request["hidden"], "n_critics": request["critics"]},
        seed=0,
    )
    model.learn(total_timesteps=10**9, callback=watch)
    versions = {name: importlib.metadata.version(name) for name in ("sbx-rl", "jax", "gymnasium")}
    print(json.dumps({"windows": watch.windows, "versions": versions}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

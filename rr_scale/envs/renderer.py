"""Finding a renderer that works here, and having episodes drawn with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from rr_scale.errors import UserError

BACKENDS = ("egl", "osmesa")
"""What `MUJOCO_GL` can name that needs no display, best first."""

_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE_S = 600.0
# A film drawn without a GPU on a busy machine takes long and is no failure.
_PATIENCE_PER_STEP_S = 10.0
_USERS_TO_MEND = 2
_SHOWN = 120  # characters of a library's complaint


class Renderer:
    """Draws episodes of one task, in processes of its own.

    Args:
      env_name: see `suites.make`.
      action_repeat: simulator frames per agent decision.

    Raises:
      UserError: no renderer works here, or the task has no looks.
    """

    def __init__(self, env_name: str, action_repeat: int):
        self._task = {"env_name": env_name, "action_repeat": action_repeat}
        chosen = os.environ.get("MUJOCO_GL", "").lower()
        # Training switches drawing off, which is no choice of a renderer.
        candidates = BACKENDS if chosen in ("", "disabled") else (chosen,)
        failures = []
        for self.backend in candidates:
            done = self._run(0, np.zeros((0, 0), np.float32), None)
            if done.returncode == 0:
                return
            if done.returncode == _USERS_TO_MEND:
                raise UserError(_reason(done))
            failures.append(f"{self.backend}: {_reason(done)}")
        raise UserError(
            f"no renderer works here ({'; '.join(failures)}); install EGL (Debian: libegl1) or "
            f"OSMesa (libosmesa6), or leave the video out"
        )

    def film(self, seed: int, actions: np.ndarray, path: Path) -> float:
        """Writes the film of one episode, whole or not at all; the return it had.

        Args:
          seed: of the simulator.
          actions: [T, A] float32.
          path: ends in .mp4 or .gif.

        Raises:
          UserError: it cannot be written.
        """
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".film-") as folder:
            partial = Path(folder).resolve() / path.name
            done = self._run(seed, actions, partial)
            if done.returncode != 0:
                raise UserError(f"{path} could not be drawn: {_reason(done)}")
            partial.replace(path)
        return float(json.loads(done.stdout.splitlines()[-1]))

    def _run(
        self, seed: int, actions: np.ndarray, path: Path | None
    ) -> subprocess.CompletedProcess[str]:
        patience_s = _PATIENCE_S + _PATIENCE_PER_STEP_S * len(actions)
        asked = {**self._task, "seed": seed, "path": path and str(path)}
        paths = [str(_ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        environment = os.environ | {
            "MUJOCO_GL": self.backend,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }
        with tempfile.TemporaryDirectory() as folder:
            episode = Path(folder) / "episode.npz"
            np.savez(episode, asked=np.array(json.dumps(asked)), actions=actions)
            command = [sys.executable, "-m", "rr_scale.envs.film", str(episode)]
            try:
                return subprocess.run(
                    command, env=environment, capture_output=True, text=True, timeout=patience_s
                )
            except subprocess.TimeoutExpired:
                reason = f"no answer after {patience_s:.0f} s"
                return subprocess.CompletedProcess(command, 1, "", reason)


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"its process died of signal {-done.returncode}"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    said = lines[-1] if lines else f"exit status {done.returncode}"
    return said if len(said) <= _SHOWN else f"{said[:_SHOWN]}..."

"""An episode, played again by a process that draws it.

An episode is a function of its seed and its actions, so the process that acts
needs no renderer and the one that draws needs no policy. What goes wrong in GL
libraries, which may end a process, ends only this one.

    python -m rr_scale.envs.film EPISODE.npz
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rr_scale.envs import suites, video
from rr_scale.envs.spec import Environment
from rr_scale.errors import UserError


def main(arguments: list[str]) -> int:
    """Draws the episode of a file that `renderer.Renderer` wrote.

    Prints its undiscounted return on stdout, or on stderr, last, what went
    wrong. Without actions and path it only shows that drawing works.
    """
    with np.load(arguments[0], allow_pickle=False) as file:
        asked, actions = json.loads(str(file["asked"])), file["actions"]
    try:
        environment = suites.make(asked["env_name"], asked["action_repeat"], pictures=True)
        environment.reset(asked["seed"])
        environment.picture()
        total = 0.0
        if asked["path"]:
            total = _film(environment, asked["seed"], actions, Path(asked["path"]))
        environment.close()
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except Exception as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    print(json.dumps(total))
    return 0


def _film(environment: Environment, seed: int, actions: np.ndarray, path: Path) -> float:
    """Writes the film of one episode; its return."""
    rewards: list[float] = []
    kept = video.every(path, environment.seconds_per_step)

    def pictures() -> Iterator[np.ndarray]:
        environment.reset(seed)
        yield environment.picture()
        for number, action in enumerate(actions, 1):
            rewards.append(environment.step(action).reward)
            if number % kept == 0:
                yield environment.picture()

    video.write_video(path, pictures(), kept * environment.seconds_per_step)
    return float(sum(rewards))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

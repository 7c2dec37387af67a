"""Weights & Biases, one run per seed: a convenience that must never cost a training.

It never asks, never waits long, and a failure of the service is one warning
after which the training goes on without it. The files in the run's folder
stay the record.
"""

from __future__ import annotations

import netrc
import os
import secrets
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rr_scale.errors import CheckpointError, UserError

PROJECT = "rr_scale"
_ANSWER_S = 3.0
_INIT_S = 30.0
_FINISH_S = 60.0


class Tracker(Protocol):
    """Where rows go besides the result files."""

    def log(self, env_step: int, updates: int, rows: Sequence[Mapping[str, float] | None]) -> None:
        """Logs per lane its metrics; None for a dropped lane."""

    def state(self) -> dict[str, Any]:
        """JSON values from which a resumed process continues the same runs."""

    def close(self) -> None:
        """Ends this process's part of the runs."""


class NullTracker:
    """Tracks nothing."""

    def log(self, env_step: int, updates: int, rows: Sequence[Mapping[str, float] | None]) -> None:
        """Does nothing."""

    def state(self) -> dict[str, Any]:
        """Returns an empty state."""
        return {}

    def close(self) -> None:
        """Does nothing."""


class WandbTracker:
    """One W&B run per lane, all open at once, grouped by experiment and task.

    The x axis is `env_step`, a metric of its own: W&B silently drops rows
    whose internal step goes back, which is what a resume from an older
    checkpoint would cause. Rows between checkpoint and kill appear twice,
    with equal values.

    Args:
      config: the resolved configuration, JSON values.
      seeds: one per lane.
      exp_name, env_name: name the group and the runs.
      folder: W&B's local files go to `wandb/` below it.
      state: what `state()` returned before the checkpoint, or nothing.

    Raises:
      UserError: wandb is not installed.
      CheckpointError: `state` belongs to another number of lanes.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        seeds: Sequence[int],
        exp_name: str,
        env_name: str,
        folder: Path,
        state: Mapping[str, Any] | None = None,
    ):
        try:
            import wandb
        except ImportError as error:
            raise UserError("--track needs wandb: pip install 'rr_scale[track]'") from error
        self._ids = list((state or {}).get("run_ids") or [secrets.token_hex(4) for _ in seeds])
        if len(self._ids) != len(seeds):
            raise CheckpointError(
                f"checkpoint has W&B ids of {len(self._ids)} lanes, the run has {len(seeds)}"
            )
        self._runs: list[Any] = []
        self._working = True
        self._warned = False
        group = f"{exp_name}-{env_name}"
        with self._forgiving("start"):
            mode = choose_mode(os.environ, _answers)
            Path(folder).mkdir(parents=True, exist_ok=True)
            for seed, run_id in zip(seeds, self._ids, strict=True):
                run = wandb.init(
                    project=os.environ.get("WANDB_PROJECT", PROJECT),
                    id=run_id,
                    name=f"{group}-{seed}",
                    group=group,
                    dir=str(folder),
                    mode=mode,
                    config={**config, "seed": seed},
                    # A resumed run may have a larger budget than the first one.
                    allow_val_change=True,
                    resume="allow",
                    reinit="create_new",
                    settings=_settings(wandb),
                )
                self._runs.append(run)
                run.define_metric("env_step")
                run.define_metric("*", step_metric="env_step")

    def log(self, env_step: int, updates: int, rows: Sequence[Mapping[str, float] | None]) -> None:
        """Logs per lane its metrics; None for a dropped lane."""
        if len(rows) != len(self._ids):
            raise ValueError(f"{len(rows)} rows for {len(self._ids)} lanes")
        if not self._working:
            return
        with self._forgiving("log"):
            for run, row in zip(self._runs, rows, strict=True):
                if row is not None:
                    run.log({"env_step": env_step, "updates": updates, **row})

    def state(self) -> dict[str, Any]:
        """The run ids in lane order."""
        return {"run_ids": list(self._ids)}

    def close(self) -> None:
        """Finishes the runs; a second call does nothing."""
        runs, self._runs, self._working = self._runs, [], False
        for run in runs:
            with self._forgiving("finish"):
                run.finish()

    @contextmanager
    def _forgiving(self, action: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever the client raises, the training matters more
            self._working = False
            if not self._warned:
                self._warned = True
                reason = " ".join(str(error).split()) or type(error).__name__
                _warn(f"Weights & Biases could not {action}: {reason}; going on without it")


def choose_mode(environ: Mapping[str, str], answers: Callable[[str], bool]) -> str:
    """The W&B mode: WANDB_MODE if set, else online where that can work, else offline.

    Without a key the client would ask for one on a terminal, so there is no
    online mode without a key, not even on request.

    Args:
      environ: the process environment.
      answers: whether a URL answers quickly.
    """
    asked = environ.get("WANDB_MODE", "")
    if asked in ("offline", "disabled", "dryrun"):
        return asked
    host = environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    if not _has_key(environ, host):
        if asked:
            _warn(f"WANDB_MODE={asked} but no API key is configured; tracking offline")
        return "offline"
    return asked or ("online" if answers(host) else "offline")


def _has_key(environ: Mapping[str, str], host: str) -> bool:
    if environ.get("WANDB_API_KEY") or environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    default = Path("~/.netrc").expanduser()
    path = Path(environ["NETRC"]).expanduser() if environ.get("NETRC") else default
    try:
        return netrc.netrc(str(path)).authenticators(urllib.parse.urlsplit(host).netloc) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _answers(url: str, seconds: float = _ANSWER_S) -> bool:
    """Whether anything at `url` speaks HTTP within `seconds`."""
    heard: list[bool] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(url, timeout=seconds).close()
        except urllib.error.HTTPError:
            pass  # an answer as well
        except (OSError, ValueError):
            return
        heard.append(True)

    # A thread, because looking up a name has no time limit of its own.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(heard)


def _settings(wandb: Any) -> Any:
    wanted = {
        "silent": True,
        "console": "off",
        "init_timeout": _INIT_S,
        "finish_timeout": _FINISH_S,
    }
    known = getattr(wandb.Settings, "model_fields", wanted)
    return wandb.Settings(**{name: value for name, value in wanted.items() if name in known})


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr, flush=True)

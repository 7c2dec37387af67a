"""`run.json`: which experiment a folder holds, and on what each session ran.

Reading and deciding writes nothing and does not start jax, so that the
command line can refuse before it touches anything. The lock is not taken
here: who writes must hold it.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import shutil
from pathlib import Path
from typing import Any

from rr_scale import configure
from rr_scale.config import RunConfig
from rr_scale.durable import replace_bytes
from rr_scale.errors import UserError
from rr_scale.platform import exactness_differences, simulator_differences

NAME = "run.json"
_FORMAT = 1
_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class RunFile:
    """The contents of a run folder's `run.json`, or what a new one will hold."""

    save_dir: Path
    config: RunConfig  # resolved; free fields as asked for now
    schedule_horizon: int  # env steps, decided at the first start
    exact: bool = True  # whether everything so far is bit-exact
    sessions: tuple[dict[str, Any], ...] = ()  # platform.describe() and more, oldest first
    discards: bool = False  # resume=never found a run that has to go first

    @property
    def is_new(self) -> bool:
        """Whether this is the first session."""
        return not self.sessions

    def recorded_layout(self) -> tuple[int | None, int | None]:
        """Thread-pool size and host devices of the session to continue, if there is one."""
        if self.is_new:
            return None, None
        last = self.sessions[-1]
        return last["threads"], last["host_devices"]


def open_run(config: RunConfig, save_dir: str | Path) -> RunFile:
    """Decides what to do with a folder; writes nothing.

    A folder that does not exist, or holds nothing but a lock, is a new run.
    A run of the same experiment is continued, or with `resume="never"` is to
    be discarded. A folder of another experiment is never touched.

    Args:
      config: the configuration asked for.
      save_dir: the folder of the run.

    Raises:
      UserError: it holds another experiment, something that is no run, a
        broken `run.json`, or nothing although `resume` is `must`.
    """
    folder = Path(save_dir)
    config = configure.resolve(dataclasses.replace(config, save_dir=str(save_dir)))
    fresh = RunFile(folder, config, config.schedule_horizon)
    recorded = read_run(folder)
    if recorded is None:
        if config.resume == "must":
            raise UserError(f"{folder} holds no run to resume (--resume=must)")
        return fresh
    _check_same(recorded.config, config, folder)
    if config.resume == "never":
        return dataclasses.replace(fresh, discards=True)
    return dataclasses.replace(recorded, config=config)


def read_run(save_dir: str | Path) -> RunFile | None:
    """The run a folder holds, or None if it is missing or empty.

    Raises:
      UserError: it holds something that is no run, or `run.json` is broken.
    """
    folder = Path(save_dir)
    path = folder / NAME
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, not a folder for a run")
    if not path.exists():
        others = [entry for entry in _entries(folder) if not _is_leftover(entry)]
        if others:
            raise UserError(
                f"{folder} is not empty and not a run (no {NAME}, but {others[0].name}); "
                f"choose another save_dir"
            )
        return None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return _from_json(folder, stored)
    except (OSError, ValueError, KeyError, TypeError, UserError) as error:
        raise UserError(f"{path} cannot be read as the record of a run: {error!r:.200}") from None


def begin_session(run: RunFile, description: dict[str, Any], *, exact: bool) -> RunFile:
    """Adds a session and writes `run.json`, atomically and durably.

    Args:
      run: what `open_run` returned.
      description: `platform.describe()`.
      exact: whether this session continues the numbers bit for bit.

    Returns:
      The record as written; once not exact, it stays so.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    session = {"started": now, **description, "free": configure.free_fields(run.config)}
    run = dataclasses.replace(
        run, exact=run.exact and exact, sessions=(*run.sessions, session), discards=False
    )
    write_run(run)
    return run


def check_machine(run: RunFile, description: dict[str, Any]) -> list[str]:
    """What keeps this session from continuing bit for bit; empty for a new run.

    Args:
      run: what `open_run` returned; its `require_exact` makes a finding an error.
      description: `platform.describe()`.

    Raises:
      UserError: another simulator version, or findings under `require_exact`.
    """
    if run.is_new:
        return []
    simulators = simulator_differences(run.sessions[-1], description)
    if simulators:
        raise UserError(
            f"{run.save_dir} was started with another simulator ({'; '.join(simulators)}): "
            f"install that version, or start a new run"
        )
    found = exactness_differences(run.sessions[-1], description)
    reasons = found if run.exact else [*found, "an earlier session was not exact"]
    if reasons and run.config.require_exact:
        raise UserError(f"{run.save_dir} cannot be resumed exactly: {'; '.join(reasons)}")
    return found


def discard(run: RunFile) -> None:
    """Deletes the run in a folder but not its lock. Only after `open_run` said so.

    `run.json` goes last: interrupted, the folder is still known as this run.
    """
    found = [entry for entry in _entries(run.save_dir) if not _is_leftover(entry)]
    for entry in sorted(found, key=lambda entry: entry.name == NAME):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def write_run(run: RunFile) -> None:
    """Writes `run.json` so that a crash leaves the old one or the new one."""
    run.save_dir.mkdir(parents=True, exist_ok=True)
    content = {
        "format": _FORMAT,
        "config": configure.to_dict(run.config),
        "schedule_horizon": run.schedule_horizon,
        "exact": run.exact,
        "sessions": list(run.sessions),
    }
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    replace_bytes(run.save_dir / NAME, text.encode())


def _from_json(folder: Path, stored: dict[str, Any]) -> RunFile:
    if stored["format"] != _FORMAT:
        raise UserError(f"format {stored['format']}, this version reads {_FORMAT}")
    horizon, sessions = stored["schedule_horizon"], stored["sessions"]
    if type(horizon) is not int or type(stored["exact"]) is not bool or not sessions:
        raise UserError("schedule_horizon, exact or sessions is wrong")
    for session in sessions:
        if type(session["threads"]) is not int or type(session["host_devices"]) is not int:
            raise UserError("a session is wrong")
    config = configure.from_dict(stored["config"])
    return RunFile(folder, config, horizon, stored["exact"], tuple(sessions))


def _check_same(recorded: RunConfig, config: RunConfig, folder: Path) -> None:
    found = configure.differences(recorded, config)
    if not found:
        return
    shown = [f"{path}: {_show(a)} there, {_show(b)} here" for path, a, b in found[:_SHOWN]]
    if len(found) > _SHOWN:
        shown.append(f"+{len(found) - _SHOWN} more")
    raise UserError(
        f"{folder} holds another experiment ({'; '.join(shown)}); choose another save_dir"
    )


def _show(value: Any) -> str:
    if isinstance(value, tuple) and any(map(dataclasses.is_dataclass, value)):
        return f"{len(value)} of them"
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return str(value) or "''"


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _is_leftover(entry: Path) -> bool:
    # What a process leaves behind that died before it wrote anything of worth.
    name = entry.name.lstrip(".")
    return name.startswith(("lock", f"{NAME}.")) or "guard" in name

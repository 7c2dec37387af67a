"""One writer per run folder: a lock file that a dead holder cannot keep.

`lock` names the holder: host, pid, when the process started, and a heartbeat.
On one host the holder is asked of the operating system; on another host the
heartbeat decides.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rr_scale import durable
from rr_scale.errors import UserError

HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 120.0


def refuse_if_held(save_dir: Path) -> None:
    """Looks before anything is started; only entering a `RunLock` is safe.

    Raises:
      UserError: another process holds the lock (names it).
    """
    holder = find_holder(save_dir)
    if holder is not None:
        raise UserError(
            f"{save_dir} is in use by {_name(holder)}; wait for it, "
            f"or delete {Path(save_dir) / 'lock'} if that process is gone"
        )


def find_holder(save_dir: Path) -> dict[str, Any] | None:
    """What the lock of a folder says about its holder; None if nobody holds it.

    Returns:
      `heartbeat` (seconds since the epoch), and if the file could be read
      `host`, `namespace`, `pid` and `process_start`.
    """
    holder = _read(Path(save_dir) / "lock")
    return holder if holder is not None and _is_held(holder) else None


class RunLock:
    """Holds `save_dir/lock` while the `with` block runs.

    A holder on this host is replaced as soon as its process is gone, also if
    its pid belongs to another process by now; a holder elsewhere (another
    host, or a container whose processes cannot be seen from here) once its
    heartbeat is older than `STALE_SECONDS`.

    Args:
      save_dir: the run folder; made if it does not exist.

    Raises:
      UserError: on entering: another process holds the lock (names it), or
        the folder cannot be written.
    """

    def __init__(self, save_dir: Path):
        self._path = Path(save_dir) / "lock"
        self._me: dict[str, Any] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> RunLock:
        self._me = _identity()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._deciding():
                self._take()
        except OSError as error:
            place = self._path.parent
            raise UserError(f"cannot write to {place}: {error.strerror or error}") from error
        self._stop.clear()
        self._thread = threading.Thread(target=self._beat, name="run-lock", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()
        with contextlib.suppress(OSError), self._deciding():
            if self._is_mine():
                self._path.unlink()

    def check(self) -> None:
        """Makes sure that the lock is still ours; to be called before a commit.

        A process that was suspended for long may have lost it.

        Raises:
          UserError: another process took it over.
        """
        holder = _read(self._path)
        if holder is None:
            raise UserError(f"{self._path} was removed while this process held it")
        if not _same(holder, self._me):
            raise UserError(f"{self._path} was taken over by {_name(holder)}")

    def _take(self) -> None:
        content = self._content()
        try:
            with self._path.open("xb") as stream:
                stream.write(content)
        except FileExistsError:
            refuse_if_held(self._path.parent)
            durable.replace_bytes(self._path, content)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            # A full disk must not end the run; the next beat tries again.
            with contextlib.suppress(OSError), self._deciding():
                if not self._is_mine():
                    return
                durable.replace_bytes(self._path, self._content())

    def _is_mine(self) -> bool:
        return _same(_read(self._path) or {}, self._me)

    def _content(self) -> bytes:
        return json.dumps(self._me | {"heartbeat": time.time()}).encode()

    @contextlib.contextmanager
    def _deciding(self) -> Iterator[None]:
        """Admits one process at a time to read the lock and act upon it.

        The file behind it stays: removing it would let two processes hold two
        files of one name.
        """
        descriptor = os.open(self._path.with_name("lock.guard"), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            # Where the file system has no flock, exclusive creation remains.
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _identity() -> dict[str, Any]:
    pid = os.getpid()
    return {
        "host": socket.gethostname(),
        "namespace": _pid_namespace(),
        "pid": pid,
        "process_start": _process_start(pid),
    }


def _pid_namespace() -> str:
    """Which processes can be seen from here ('' where the system cannot say)."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _process_start(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if unknown or dead."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the command in parentheses and may contain anything.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


def _read(path: Path) -> dict[str, Any] | None:
    """The holder; None if there is none; only a heartbeat if it is unreadable."""
    try:
        written = path.stat().st_mtime
        holder = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        holder = None
    if not isinstance(holder, dict) or not isinstance(holder.get("pid"), int):
        holder = {}
    if not isinstance(holder.get("heartbeat"), float | int):
        holder["heartbeat"] = written
    return holder


def _same(holder: dict[str, Any], me: dict[str, Any]) -> bool:
    return all(holder.get(key) == value for key, value in me.items())


def _name(holder: dict[str, Any]) -> str:
    return f"process {holder.get('pid', '?')} on host {holder.get('host', '?')}"


def _is_held(holder: dict[str, Any]) -> bool:
    """Whether the process that wrote the lock must be taken to be alive."""
    elsewhere = (
        holder.get("host") != socket.gethostname()
        or holder.get("namespace", _pid_namespace()) != _pid_namespace()
    )
    if elsewhere or "pid" not in holder:
        return time.time() - holder["heartbeat"] <= STALE_SECONDS
    return _is_alive(holder["pid"], holder.get("process_start"))


def _is_alive(pid: int, started: int | None) -> bool:
    if Path("/proc/self/stat").exists():
        now = _process_start(pid)
        return now is not None and started in (None, now)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

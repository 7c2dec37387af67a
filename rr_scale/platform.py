"""Setting up the process before jax starts, and saying what it runs on.

XLA's results on a CPU depend on the size of its thread pool, so the pool is
sized here, recorded, and restored when a run is resumed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

_PACKAGE = Path(__file__).resolve().parent
_DEVICE_FLAG = "--xla_force_host_platform_device_count"
_SIMULATORS = ("mujoco", "dm_control", "gymnasium")
_LIBRARIES = ("jax", "jaxlib", "flax", "optax", "numpy")
_DISTRIBUTIONS = {name: name for name in _LIBRARIES + _SIMULATORS} | {"orbax": "orbax-checkpoint"}
_EXACTNESS = {
    "cpu": "CPU",
    "threads": "thread-pool size",
    "host_devices": "number of host devices",
    "device_kind": "device",
    "device_count": "number of devices",
    "xla_flags": "XLA_FLAGS",
    "matmul_precision": "matmul precision",
    "code": "source code of rr_scale",
}


class Layout(NamedTuple):
    """What XLA is started with."""

    threads: int  # size of its CPU thread pool
    devices: int  # host devices the CPU is divided into


def usable_cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def current_layout() -> Layout:
    """What the environment asks XLA for, or XLA's own defaults."""
    threads, devices = _asked()
    return Layout(threads or usable_cpus(), devices or 1)


def _asked() -> tuple[int, int]:
    """Thread-pool size and host devices in the environment; 0 where it says nothing."""
    threads = os.environ.get("NPROC", "")
    found = re.findall(rf"{_DEVICE_FLAG}=(\d+)", os.environ.get("XLA_FLAGS", ""))
    return int(threads) if threads.isdecimal() else 0, int(found[-1]) if found else 0


def share(cpus: int, num_lanes: int) -> Layout:
    """How `prepare` divides CPUs among lanes if nobody says otherwise."""
    devices = min(cpus, num_lanes)
    return Layout(max(1, cpus // devices), devices)


def prepare(threads: int | None, devices: int | None, num_lanes: int = 1) -> Layout:
    """Sets thread pool, host devices and rendering through the environment.

    Left to itself it divides the CPUs among the lanes: a device for each lane
    as far as CPUs go, and a pool as large as a device's share of them. Two
    lanes side by side, one thread each, beat one after the other with two
    threads each (docs/performance.md).

    Args:
      threads: size of XLA's CPU thread pool; None keeps `NPROC`, or chooses.
      devices: host devices; None keeps what `XLA_FLAGS` says, or chooses.
      num_lanes: lanes that will be trained.

    Raises:
      RuntimeError: jax is imported already and would not notice the change.
    """
    now, asked, cpus = current_layout(), _asked(), usable_cpus()
    devices = devices or asked[1] or share(cpus, num_lanes).devices
    wanted = Layout(threads or asked[0] or max(1, cpus // devices), devices)
    if wanted != now and "jax" in sys.modules:
        raise RuntimeError(f"jax was imported before the process was set up: {now} != {wanted}")
    os.environ["NPROC"] = str(wanted.threads)
    flags = os.environ.get("XLA_FLAGS", "").split()
    flags = [flag for flag in flags if not flag.startswith(f"{_DEVICE_FLAG}=")]
    os.environ["XLA_FLAGS"] = " ".join([*flags, f"{_DEVICE_FLAG}={wanted.devices}"])
    # Training never renders, and looking for a GL library can fail or hang.
    os.environ.setdefault("MUJOCO_GL", "disabled")
    return wanted


def set_matmul_precision(precision: str) -> None:
    """Sets how products of float32 matrices are computed; '' changes nothing. Starts jax.

    Global, because programs are compiled in more than one thread.
    """
    import jax

    if precision:
        jax.config.update("jax_default_matmul_precision", precision)


def describe() -> dict[str, Any]:
    """What this process runs on: versions, machine, devices, code. Starts jax."""
    import jax

    device = jax.devices()[0]
    layout = current_layout()
    return {
        "versions": {name: _version(of) for name, of in _DISTRIBUTIONS.items()},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "threads": layout.threads,
        "host_devices": layout.devices,
        "device_platform": device.platform,
        "device_kind": device.device_kind,
        "device_count": jax.device_count(),
        "xla_flags": _other_xla_flags(),
        "matmul_precision": jax.config.jax_default_matmul_precision,  # type: ignore[attr-defined]
        "git_commit": _git_commit(),
        "code": _code_digest(),
    }


def _other_xla_flags() -> str:
    flags = os.environ.get("XLA_FLAGS", "").split()
    return " ".join(sorted(flag for flag in flags if not flag.startswith(_DEVICE_FLAG)))


def exactness_differences(recorded: dict[str, Any], current: dict[str, Any]) -> list[str]:
    """What prevents a resumed run from giving the same bits, each in a few words.

    Args:
      recorded: `describe()` of the session before.
      current: `describe()` of this one.
    """
    found = _version_differences(recorded, current, _LIBRARIES + _SIMULATORS)
    for key, name in _EXACTNESS.items():
        if recorded.get(key) != current.get(key):
            found.append(f"{name}: {recorded.get(key)} then, {current.get(key)} now")
    if current.get("device_platform") != "cpu":
        found.append(f"device: bits are not promised on a {current.get('device_platform')}")
    return found


def simulator_differences(recorded: dict[str, Any], current: dict[str, Any]) -> list[str]:
    """Simulators of another version than before: the task itself may have changed."""
    return _version_differences(recorded, current, _SIMULATORS)


def _version_differences(
    recorded: dict[str, Any], current: dict[str, Any], names: tuple[str, ...]
) -> list[str]:
    then, now = recorded.get("versions", {}), current.get("versions", {})
    return [
        f"{name}: {then.get(name)} then, {now.get(name)} now"
        for name in names
        if then.get(name) != now.get(name)
    ]


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def _git(*arguments: str) -> str | None:
    command = ["git", *arguments]
    try:
        done = subprocess.run(
            command, cwd=_PACKAGE, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _git_commit() -> str | None:
    # An installed copy may lie inside a checkout of something else.
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", ".")
    return f"{commit}-dirty" if commit and changed else commit


def _code_digest() -> str:
    # Results depend on the code and not on the commit: a checkout may be dirty,
    # and most commits touch documents only. Plots, tables and sweeps change no number.
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        name = path.relative_to(_PACKAGE)
        if name.parts[0] not in ("analysis", "sweep"):
            digest.update(f"{name.as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]

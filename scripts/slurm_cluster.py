#!/usr/bin/env python3
"""A Slurm cluster of two nodes on this machine, for tests.

  python scripts/slurm_cluster.py FOLDER -- sbatch --wrap 'hostname'

Starts munged, slurmctld and two slurmd as root, runs the command with
SLURM_CONF set, and stops them. Needs Debian's slurm-wlm and munge.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

NODES = ("n1", "n2")
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
_START_S = 60.0
# A job that is requeued waits until its credential has expired; the default is
# two minutes. Nodes claim one CPU each, whatever the machine has.
_CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmctldPort={controller}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
JobRequeue=1
KillWait=60
PartitionName=all Nodes={nodes} Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """Why no cluster can be started here; '' if one can."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"Slurm is not installed ({', '.join(missing)} not found)"
    return "" if os.geteuid() == 0 else "starting Slurm's daemons needs root"


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """A running cluster; the environment in which its commands find it.

    Args:
      folder: for keys, logs and state; made if it does not exist.

    Raises:
      RuntimeError: the daemons do not answer.
    """
    folder = folder.absolute()
    environment = os.environ | {"SLURM_CONF": str(_configure(folder))}
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o600)
    munge = ["munged", "--foreground", "--force", f"--key-file={key}"]
    for name in ("socket", "pid-file", "log-file", "seed-file"):
        munge.append(f"--{name}={folder}/munge.{name.partition('-')[0]}")
    commands = [munge, ["slurmctld", "-D"], *(["slurmd", "-D", "-N", node] for node in NODES)]
    running: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            with (folder / f"{command[0]}.out").open("ab") as log:
                running.append(
                    subprocess.Popen(
                        command,
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )
            if command is munge:
                _wait(lambda: (folder / "munge.socket").exists(), "munged does not start")
        _wait(lambda: _idle(environment) == len(NODES), f"the nodes do not answer, see {folder}")
        yield environment
    finally:
        _stop(running, environment)


def _configure(folder: Path) -> Path:
    for name in ("state", *(f"spool-{node}" for node in NODES)):
        (folder / name).mkdir(parents=True, exist_ok=True)
    controller, *ports = _free_ports(1 + len(NODES))
    lines = [_CONFIGURATION.format(folder=folder, controller=controller, nodes=",".join(NODES))]
    for node, port in zip(NODES, ports, strict=True):
        where = f"NodeHostname=localhost NodeAddr=127.0.0.1 Port={port}"
        lines.append(f"NodeName={node} {where} CPUs=1 RealMemory=1000")
    path = folder / "slurm.conf"
    path.write_text("\n".join(lines) + "\n")
    return path


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _idle(environment: dict[str, str]) -> int:
    command = ["sinfo", "--noheader", "--Node", "--states=idle", "--format=%N"]
    listed = subprocess.run(command, env=environment, capture_output=True, text=True)
    return len(listed.stdout.split())


def _wait(condition: object, message: str) -> None:
    deadline = time.monotonic() + _START_S
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise RuntimeError(message)
        time.sleep(0.2)


def _stop(running: list[subprocess.Popen[bytes]], environment: dict[str, str]) -> None:
    cancel = ["scancel", "--me"]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(cancel, env=environment, capture_output=True, timeout=20)
    for process in reversed(running):
        process.terminate()
    for process in running:
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main(arguments: list[str]) -> int:
    """Runs a command on a cluster; returns its exit status."""
    if len(arguments) < 3 or arguments[1] != "--":
        print("usage: slurm_cluster.py FOLDER -- COMMAND...", file=sys.stderr)
        return 2
    reason = why_not()
    if reason:
        print(f"slurm_cluster: {reason}", file=sys.stderr)
        return 2
    with cluster(Path(arguments[0])) as environment:
        return subprocess.run(arguments[2:], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

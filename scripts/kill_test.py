"""Shows that a run killed at random moments ends as if nothing had happened.

  python scripts/kill_test.py --kills 5 -- --env_name cheetah-run --preset sac ...

What follows `--` is any command line of train_parallel.py (without
--save_dir), longer than one episode and with several checkpoints. It is run
once undisturbed, and once killed by SIGKILL again and again and restarted by
the same command. At least one kill falls inside a checkpoint and one inside an
episode; both are observed, not assumed. Every start must say that it resumed,
and must not have lost a checkpoint. At the end all results and policies must be
byte-identical. Exit status 0 if so, 1 if not, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
# Identical whatever the wall clock said; metrics.csv holds times and is not.
EXACT = ("results.csv", "[0-9]*.txt", "policies/*.npz")
START_LIMIT_S = 600.0


class Failure(Exception):
    """The run did not survive as it should."""


def main() -> int:
    """Parses the command line and runs the experiment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=5, help="SIGKILLs, at least")
    parser.add_argument("--random_seed", type=int, default=0, help="of the moments")
    parser.add_argument("--keep", type=Path, help="folder to keep both runs in")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- flags of train_parallel.py")
    arguments = parser.parse_args()
    flags = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not flags or any(flag.startswith("--save_dir") for flag in flags):
        parser.error("give the flags of train_parallel.py after --, without --save_dir")
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="kill_test_"))
    try:
        _experiment(flags, folder, arguments.kills, random.Random(arguments.random_seed))
    except Failure as failure:
        print(f"FAILED: {failure} (see {folder})")
        return 1
    if not arguments.keep:
        shutil.rmtree(folder)
    return 0


def _experiment(flags: list[str], folder: Path, kills: int, moments: random.Random) -> None:
    whole, killed = folder / "undisturbed", folder / "killed"
    begun = time.monotonic()
    _run_to_end(flags, whole)
    print(f"undisturbed run: {time.monotonic() - begun:.1f} s", flush=True)
    last, in_checkpoint, in_episode, done = 0, 0, 0, 0
    while done < kills or not (in_checkpoint and in_episode):
        aim = done == 1 or (done >= kills and not in_checkpoint)
        seen = _start_and_kill(flags, killed, last, moments, aim)
        if seen is None:
            raise Failure(
                f"the run ended before {kills} kills (with one in a checkpoint: {in_checkpoint}, "
                f"in an episode: {in_episode}): give it more steps or more frequent checkpoints"
            )
        last, inside = seen
        steps = _steps_into_episode(killed, last)
        in_checkpoint += inside
        in_episode += steps > 0
        done += 1
        where = "inside a checkpoint" if inside else "between checkpoints"
        print(f"kill {done}: after step {last}, {where}, {steps} steps to replay", flush=True)
    _expect_resume(_run_to_end(flags, killed), last)
    compared = _compare(whole, killed)
    print(
        f"PASSED: {done} kills, {in_checkpoint} inside a checkpoint, {in_episode} inside an "
        f"episode; {compared} files byte-identical"
    )


def _start_and_kill(
    flags: list[str], save_dir: Path, last: int, moments: random.Random, aim: bool
) -> tuple[int, bool] | None:
    """Starts the run, lets it commit at least one checkpoint more, and kills it.

    Args:
      last: step of the newest checkpoint so far, 0 if none.
      aim: kill as soon as a checkpoint is being written.

    Returns:
      The newest checkpoint's step, and whether one was being written; None if
      the run reached its end.
    """
    log = save_dir.parent / "killed.log"
    with log.open("w") as stderr:
        process = subprocess.Popen(_command(flags, save_dir), stdout=stderr, stderr=stderr)
        try:
            deadline = time.monotonic() + START_LIMIT_S
            _wait(process, lambda: _newest(save_dir) > last, deadline)
            if aim:
                _wait(process, lambda: _writing(save_dir), deadline)
            else:
                time.sleep(moments.uniform(0.0, 1.5))
            if process.poll() is not None:
                return None
            process.send_signal(signal.SIGKILL)
        finally:
            process.kill()
            process.wait()
    text = log.read_text()
    if last:
        _expect_resume(text, last)
    return _newest(save_dir), _writing(save_dir)


def _wait(process: subprocess.Popen, condition: object, deadline: float) -> None:
    while process.poll() is None and not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise Failure(f"no new checkpoint within {START_LIMIT_S} s")
        time.sleep(0.0005)


def _newest(save_dir: Path) -> int:
    steps = [int(path.name[5:]) for path in save_dir.glob("checkpoints/step-*")]
    return max(steps, default=0)


def _writing(save_dir: Path) -> bool:
    return any(save_dir.glob("checkpoints/tmp-*"))


def _steps_into_episode(save_dir: Path, step: int) -> int:
    """Environment steps that the next start has to replay, over all lanes."""
    path = save_dir / "checkpoints" / f"step-{step:012d}" / "host.npz"
    with np.load(path, allow_pickle=False) as arrays:
        return int(arrays["steps"].sum())


def _expect_resume(stderr: str, last: int) -> None:
    found = re.search(r"^resuming .* at env step (\d+)$", stderr, re.MULTILINE)
    if not found:
        raise Failure(f"a start did not resume; it said: {stderr.strip()[-300:]!r}")
    if int(found[1]) != last:
        raise Failure(f"a start resumed at step {found[1]}, the newest checkpoint was {last}")


def _command(flags: list[str], save_dir: Path) -> list[str]:
    return [sys.executable, str(ROOT / "train_parallel.py"), *flags, "--save_dir", str(save_dir)]


def _run_to_end(flags: list[str], save_dir: Path) -> str:
    finished = subprocess.run(_command(flags, save_dir), capture_output=True, text=True)
    if finished.returncode != 0:
        raise Failure(f"status {finished.returncode}: {finished.stderr.strip()[-500:]}")
    return finished.stderr


def _compare(whole: Path, killed: Path) -> int:
    digests = [_digests(whole), _digests(killed)]
    if not digests[0]:
        raise Failure("the undisturbed run wrote no results")
    differing = sorted(
        name
        for name in digests[0].keys() | digests[1]
        if digests[0].get(name) != digests[1].get(name)
    )
    if differing:
        raise Failure(f"these files differ: {', '.join(differing)}")
    exact = json.loads((killed / "run.json").read_text())["exact"]
    if not exact:
        raise Failure("run.json says that the resumed run was not exact")
    return len(digests[0])


def _digests(save_dir: Path) -> dict[str, str]:
    paths = [path for pattern in EXACT for path in save_dir.rglob(pattern) if path.is_file()]
    return {
        str(path.relative_to(save_dir)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if "checkpoints" not in path.parts
    }


if __name__ == "__main__":
    sys.exit(main())

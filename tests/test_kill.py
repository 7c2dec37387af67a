"""SIGKILL at random moments on a real task, through the script that users have."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLAGS = [
    "--env_name=cartpole-balance",
    "--preset=sac",
    "--num_seeds=2",
    "--max_steps=1800",
    "--start_training=100",
    "--batch_size=32",
    "--eval_interval=1000",
    "--eval_episodes=1",
    "--checkpoint_freq=60",
    "--set=agent.actor.network.hidden=16",
    "--set=agent.critic.network.hidden=16",
    "--notqdm",
]


@pytest.mark.timeout(600)
def test_a_run_killed_at_random_moments_ends_as_if_nothing_had_happened(tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "kill_test.py"), "--kills", "2"]
    done = subprocess.run(
        [*command, "--keep", str(tmp_path), "--", *FLAGS], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(
        r"PASSED: (\d+) kills, (\d+) inside a checkpoint, (\d+) inside an episode", done.stdout
    )
    assert int(passed[1]) >= 2
    assert int(passed[2]) >= 1
    assert int(passed[3]) >= 1


@pytest.mark.slow
def test_the_kill_script_refuses_a_run_that_ends_before_it_is_killed(tmp_path):
    short = [*FLAGS, "--max_steps=120", "--eval_interval=120", "--checkpoint_freq=0"]
    command = [sys.executable, str(ROOT / "scripts" / "kill_test.py"), "--kills", "1"]
    done = subprocess.run(
        [*command, "--keep", str(tmp_path), "--", *short], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "FAILED: the run ended before 1 kills" in done.stdout

"""What is to be measured, and how long."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import NamedTuple

from rr_scale.config import RunConfig
from rr_scale.configure import set_path
from rr_scale.errors import UserError
from rr_scale.presets import preset


class Layout(NamedTuple):
    """Thread pool and host devices of a process; None leaves it to the program."""

    threads: int | None = None
    devices: int | None = None

    @property
    def name(self) -> str:
        """`default`, or threads x host devices."""
        return "default" if self == Layout() else f"{self.threads}x{self.devices}"


@dataclasses.dataclass(frozen=True)
class Options:
    """All sizes of a benchmark; the defaults are those of a full one."""

    seeds: tuple[int, ...] = (1, 2, 5, 10)
    replay_ratios: tuple[int, ...] = (1, 8, 32)
    presets: tuple[str, ...] = ("sr_sac", "td3")
    layouts: tuple[Layout, ...] = (Layout(),)
    env_name: str = "cheetah-run"
    peer_env: str = "HalfCheetah-v5"
    peer_python: Path = Path(".venv-bench/bin/python")
    tasks: tuple[str, ...] = ("cheetah-run", "walker-walk", "humanoid-run", "dog-run", "Ant-v5")
    env_lanes: int = 10
    workers: tuple[int, ...] = ()  # (): 0 and the number of cores
    repeats: int = 3
    seconds: float = 3.0  # a repeat lasts at least this long
    matrix: int = 2048  # rows of the product that measures the limit
    settings: tuple[tuple[str, str], ...] = ()  # path, value, for every run
    start_training: int = 300
    stored: int = 20_000  # transitions in the ring while updates are timed
    capacity: int = 100_000
    evaluation_seeds: tuple[int, ...] = (2, 10)
    evaluation_episodes: int = 10
    evaluation_interval: int = 5_000
    start_seeds: int = 10
    memory_sizes: tuple[tuple[int, int], ...] = ((17, 6), (67, 21), (223, 38))  # O, A
    memory_rows: int = 500_000
    checkpoint_seeds: int = 10
    checkpoint_rows: int = 100_000
    checkpoint_interval: int = 25_000
    widths: tuple[int, ...] = (128, 256, 512)
    ages: tuple[int, ...] = (20_000, 500_000)
    age_capacity: int = 1_000_000


_TINY_NETWORKS = tuple(
    (f"agent.{part}.network.{name}", value)
    for part in ("actor", "critic")
    for name, value in (("hidden", "16"), ("initializer", "fan_in_uniform"))
)
QUICK = Options(
    seeds=(2,),
    replay_ratios=(2,),
    presets=("sr_sac",),
    env_name="probe-target",
    peer_env="HalfCheetah-v5",
    tasks=("probe-target",),
    env_lanes=2,
    workers=(0, 2),
    repeats=2,
    seconds=0.05,
    matrix=128,
    settings=(*_TINY_NETWORKS, ("replay.batch_size", "16")),
    start_training=20,
    stored=100,
    capacity=1_000,
    evaluation_seeds=(1, 2),
    evaluation_episodes=2,
    evaluation_interval=100,
    start_seeds=2,
    memory_sizes=((17, 6),),
    memory_rows=20_000,
    checkpoint_seeds=2,
    checkpoint_rows=200,
    checkpoint_interval=50,
    widths=(16, 32),
    ages=(100, 200),
    age_capacity=1_000,
)
"""Sizes that show that everything works, and nothing else."""


def run_config(name: str, settings: tuple[tuple[str, str], ...] | list[list[str]]) -> RunConfig:
    """The preset `name` with the settings at dotted paths replaced."""
    config = preset(name)
    for path, value in settings:
        config = set_path(config, path, value)
    return config


def numbers(text: str, flag: str) -> tuple[int, ...]:
    """`1,2,5` as numbers.

    Raises:
      UserError: something else, or a number below 1.
    """
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", text):
        raise UserError(f"{flag} must be numbers from 1 up, joined by commas, got '{text}'")
    return tuple(int(word) for word in text.split(","))


def words(text: str, flag: str, known: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """`a,b` as words, each one of `known` if that is given.

    Raises:
      UserError: an empty or unknown word.
    """
    found = tuple(word.strip() for word in text.split(","))
    for word in found:
        if not word or (known is not None and word not in known):
            listed = f" of {', '.join(known)}" if known else ""
            raise UserError(f"{flag} must be words{listed}, joined by commas, got '{text}'")
    return found


def layouts(text: str) -> tuple[Layout, ...]:
    """`default,2x1` as layouts: threads x host devices.

    Raises:
      UserError: something else.
    """
    found = []
    for word in text.split(","):
        match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", word)
        if not match and word != "default":
            raise UserError(f"--layouts must be 'default' or THREADSxDEVICES, got '{word}'")
        found.append(Layout(int(match[1]), int(match[2])) if match else Layout())
    return tuple(found)

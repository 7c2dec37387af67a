"""Who may import whom, read from the source: the layers of the package hold."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "rr_scale"
STANDARD = sys.stdlib_module_names

BASE = {"errors", "types", "config", "rng", "clock"}
SETTINGS = {"errors", "types", "config", "fields", "configure", "presets", "validation"}
NETWORKS = BASE | {"core"}
AGENTS = NETWORKS | {"nets", "optim", "normalize"}
ENGINE = AGENTS | {"agents", "replay"}
ANYTHING = None

# What each layer may import of the package. A module that is not listed, and
# not below a listed folder, fails the test: it has to be given a place.
MAY_IMPORT: dict[str, set[str] | None] = {
    "errors": set(),
    "durable": {"errors"},
    "types": {"errors"},
    "setting": set(),
    "arguments": {"errors"},
    "columns": set(),
    "config": {"errors", "types", "setting"},
    "seeds": set(),
    "rng": {"errors", "types", "config"},
    "clock": {"errors", "types", "config"},
    "presets": {"errors", "config"},
    "fields": {"errors"},
    "configure": SETTINGS - {"presets", "validation"},
    "validation": {"errors", "config", "fields"},
    "platform": {"errors"},
    "runfile": SETTINGS | {"durable", "platform"},
    "flags": SETTINGS,
    "core": BASE,
    "nets": NETWORKS,
    "optim": NETWORKS,
    "normalize": NETWORKS,
    "agents": AGENTS,
    "replay": NETWORKS | {"durable"},
    # Without rng, which imports jax.
    "envs": {"errors", "types", "config", "clock", "seeds"},
    "placement": BASE,
    "rounds": set(),
    "learn": ENGINE | {"rounds"},
    "engine_state": ENGINE,
    "engine_watch": ENGINE | {"placement", "engine_state"},
    "engine_reader": ENGINE | {"placement", "engine_state"},
    "engine": ENGINE
    | {"placement", "rounds", "learn", "engine_state", "engine_reader", "engine_watch"},
    "train": ENGINE
    | SETTINGS
    | {"engine", "placement", "envs", "seeds", "durable", "platform", "runfile"},
    # Without rng, which imports jax; the clock says when resets fire.
    "analysis": {"errors", "types", "config", "fields", "setting", "clock", "durable", "columns"},
    # Launchers, and the process of a job, which starts a run as `cli` does.
    "sweep": SETTINGS
    | {"setting", "columns", "presets", "durable", "platform", "runfile", "envs", "train"}
    | {"session"},
    # The two that tie training and analysis together.
    "session": ANYTHING,
    "cli": ANYTHING,
    "__init__": ANYTHING,
}
HEAVY = {"jax", "jaxlib", "flax", "optax", "chex", "orbax"}
ACCELERATED = {
    "rng",
    "core",
    "nets",
    "optim",
    "normalize",
    "agents",
    "replay",
    "placement",
    "learn",
    "engine_state",
    "engine_reader",
    "engine_watch",
    "engine",
    "train",
    "session",
}
# May import jax only inside a function, after the process is set up.
LATE = {"platform"}
# Formats whose reading runs code.
CODE_IN_DATA = {
    "pickle",
    "_pickle",
    "cPickle",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "shelve",
}

FILES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted(
    [
        *ROOT.glob("*.py"),
        *(path for folder in ("scripts", "benchmarks") for path in (ROOT / folder).rglob("*.py")),
    ]
)


def layer_of(path: Path) -> str:
    """The folder of a module directly below the package, or the module's own name."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(source: str, *, late: bool = True) -> set[str]:
    """Full names of everything a source imports.

    What only a type checker sees is left out; what functions import counts
    unless `late` is false. `from a import b` counts as `a.b`.
    """
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting += node.orelse
        elif late or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)
    return found


def inner(names: set[str]) -> set[str]:
    """The layers of the package among imported names; the package itself is `__init__`."""
    parts = [name.split(".") for name in names if name.split(".")[0] == "rr_scale"]
    return {part[1] if len(part) > 1 else "__init__" for part in parts}


def outer(names: set[str]) -> set[str]:
    """The top-level modules among imported names that are neither ours nor Python's."""
    return {name.partition(".")[0] for name in names} - {"rr_scale"} - STANDARD


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import rr_scale.agents.build as b, jax.numpy", {"rr_scale.agents.build", "jax.numpy"}),
        ("from rr_scale import rng", {"rr_scale.rng"}),
        ("def f():\n  import jax", {"jax"}),
        ("if TYPE_CHECKING:\n  import jax\nelse:\n  import os", {"os"}),
        ("if typing.TYPE_CHECKING:\n  import jax", set()),
        ("try:\n  import jax\nexcept ImportError:\n  import flax", {"jax", "flax"}),
    ],
)
def test_imports_are_found(source: str, expected: set[str]) -> None:
    assert imports(source) == expected


def test_late_imports_can_be_left_out() -> None:
    source = "import os\nclass C:\n  import re\n  def f(self):\n    import jax"
    assert imports(source, late=False) == {"os", "re"}


@pytest.mark.parametrize("path", FILES, ids=short)
def test_a_module_imports_only_lower_layers(path: Path) -> None:
    layer = layer_of(path)
    assert layer in MAY_IMPORT, f"{short(path)} has no place among the layers"
    allowed = MAY_IMPORT[layer]
    if allowed is not ANYTHING:
        used = inner(imports(path.read_text())) - {layer}
        assert used <= allowed, f"{short(path)} must not import {sorted(used - allowed)}"


@pytest.mark.parametrize("path", FILES, ids=short)
def test_jax_stays_where_the_accelerator_is_used(path: Path) -> None:
    layer = layer_of(path)
    if layer not in ACCELERATED:
        used = imports(path.read_text(), late=layer not in LATE)
        assert not outer(used) & HEAVY


def test_only_nets_knows_flax() -> None:
    users = {layer_of(path) for path in FILES if "flax" in outer(imports(path.read_text()))}
    assert users == {"nets"}


def test_core_is_mathematics_on_jax_arrays() -> None:
    # chex: assertions about the shapes of those arrays.
    for path in (PACKAGE / "core").rglob("*.py"):
        assert outer(imports(path.read_text())) <= {"jax", "chex"}, short(path)


def test_agents_know_no_command_line_and_no_simulator() -> None:
    banned = {"absl", "gymnasium", "dm_control", "mujoco", "wandb"}
    for path in (PACKAGE / "agents").rglob("*.py"):
        assert not outer(imports(path.read_text())) & banned, short(path)


@pytest.mark.parametrize("path", [*FILES, *SCRIPTS], ids=short)
def test_nothing_reads_data_that_could_run_code(path: Path) -> None:
    source = path.read_text()
    used = {part for name in imports(source) for part in name.split(".")}
    assert not used & CODE_IN_DATA
    keywords = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.keyword)]
    for keyword in keywords:
        if keyword.arg == "allow_pickle":
            assert ast.unparse(keyword.value) == "False"


@pytest.mark.parametrize("path", [*FILES, *SCRIPTS], ids=short)
def test_files_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize(
    "module",
    [
        "rr_scale",
        "rr_scale.cli",
        "rr_scale.runfile",
        "rr_scale.seeds",
        "rr_scale.envs.suites",
        "rr_scale.envs.pool",
        "rr_scale.envs.exchange",
        "rr_scale.analysis.read",
        "rr_scale.sweep.job",
        "rr_scale.sweep.local",
        "rr_scale.sweep.progress",
        "rr_scale.sweep.slurm",
    ],
)
def test_importing_does_not_start_jax(module: str) -> None:
    program = f"import {module}, sys; print([m for m in {sorted(HEAVY)} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"

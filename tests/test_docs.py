"""The documents name things that exist and state numbers that the code agrees with."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from rr_scale import clock, configure, fields, flags
from rr_scale.config import ResetRule, RunConfig
from rr_scale.envs import dmc, gym, suites
from rr_scale.envs.probes import PROBES
from rr_scale.presets import PRESETS, regularised
from rr_scale.presets.registry import with_settings
from rr_scale.presets.regularised import STUDY

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
ALGORITHMS = ROOT / "docs" / "algorithms.md"
SEMANTICS, ENVIRONMENTS = ROOT / "docs" / "semantics.md", ROOT / "docs" / "environments.md"

CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SYMBOL = re.compile(r"([\w/]+\.py):([A-Za-z_][\w.]*)")
FLAG = re.compile(r"(?<![\w-])--(\w+)")
SETTING = re.compile(r"--set\s+'?([a-z_][\w.]*)=")


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as hosting sites make them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def section(path: Path, title: str) -> str:
    """What stands below a heading, up to the next of its level or above."""
    found = re.search(rf"^(#+) {title}\n(.*?)(?=^\1 |\Z)", path.read_text(), re.MULTILINE | re.S)
    assert found, f"{short(path)} has no section '{title}'"
    return found[2]


def rows(text: str) -> list[list[str]]:
    """Cells of all table rows below the header lines."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    rules = {index for index, row in enumerate(cells) if set("".join(row)) <= set("-: ")}
    return [row for index, row in enumerate(cells) if not {index, index + 1} & rules]


def names(text: str) -> list[str]:
    """Everything in backticks."""
    return re.findall(r"`([^`]+)`", text)


@functools.cache
def symbols(path: Path) -> frozenset[str]:
    """Names that a module defines at its top level, and `Class.member`."""

    def defined(body: list[ast.stmt], prefix: str = "") -> set[str]:
        found: set[str] = set()
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                found |= defined(node.body, f"{prefix}{node.name}.")
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
            found |= {prefix + target.id for target in targets if isinstance(target, ast.Name)}
        return found

    return frozenset(defined(ast.parse(path.read_text()).body))


@functools.cache
def known_flags() -> frozenset[str]:
    """Flags of the command line, their negations, and those of the scripts."""
    listed = re.findall(r"^  --(\[no\])?(\w+)$", flags.help_text(), re.MULTILINE)
    found = {name for _, name in listed} | {f"no{name}" for negatable, name in listed if negatable}
    for script in (ROOT / "scripts").glob("*.py"):
        found |= set(re.findall(r"add_argument\(\s*\"--(\w+)\"", script.read_text()))
    return frozenset(found)


@pytest.mark.parametrize("document", DOCUMENTS, ids=short)
def test_links_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(CODE.sub("", document.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        linked = (document.parent / file).resolve() if file else document
        assert linked.exists(), f"{target}: no such file"
        if anchor:
            assert anchor in anchors(linked), f"{target}: no such heading"


@pytest.mark.parametrize("document", DOCUMENTS, ids=short)
def test_files_that_are_mentioned_exist(document: Path) -> None:
    for name in re.findall(r"\b(?:rr_scale|tests|scripts)/[\w/]+\.py\b", document.read_text()):
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=short)
def test_functions_that_are_mentioned_exist(document: Path) -> None:
    for file, symbol in SYMBOL.findall(document.read_text()):
        candidates = [ROOT / "rr_scale" / file, ROOT / file]
        path = next((path for path in candidates if path.is_file()), None)
        assert path, f"{file}:{symbol}: no such file"
        assert symbol in symbols(path), f"{file} does not define {symbol}"


def test_every_row_of_where_is_what_names_a_function() -> None:
    table = rows(section(ROOT / "docs" / "design.md", "Where is what"))
    assert len(table) > 20
    for subject, place in table:
        assert SYMBOL.search(place), subject


@pytest.mark.parametrize("document", DOCUMENTS, ids=short)
def test_flags_settings_and_presets_that_are_mentioned_exist(document: Path) -> None:
    text = document.read_text()
    for line in text.replace("\\\n", " ").splitlines():
        code = " ".join(names(line)) + (line if line.startswith(("    ", "python ")) else "")
        if not re.search(r"\bpip\b|\bgit\b|xla", code):
            unknown = set(FLAG.findall(code)) - known_flags()
            assert not unknown, f"{short(document)}: {line}"
    paths = {leaf.path for leaf in fields.leaves(RunConfig())} | {"resets", "variants"}
    assert set(SETTING.findall(text)) - {"path"} <= paths
    assert set(re.findall(r"--preset[ =](\w+)", text)) <= set(PRESETS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=short)
def test_make_targets_that_are_mentioned_exist(document: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    mentioned = re.findall(r"(?:^|`|=\S+ )make ([a-z][\w-]*)", document.read_text(), re.MULTILINE)
    assert set(mentioned) <= targets


def test_semantics_lists_every_preset() -> None:
    listed = [names(row[0])[0] for row in rows(section(SEMANTICS, "Presets"))]
    assert sorted(listed) == sorted(set(PRESETS) - set(STUDY))


@pytest.mark.parametrize("name", re.findall(r"^## `(\w+)`$", ALGORITHMS.read_text(), re.MULTILINE))
def test_algorithms_state_what_a_preset_changes(name: str) -> None:
    base, kinds = configure.flatten(PRESETS["sac"]()), {}
    # A reset rule is compared with a rule that says nothing.
    base |= {f"resets.0.{path}": value for path, value in configure.flatten(ResetRule()).items()}
    changed = {}
    for leaf in fields.leaves(PRESETS[name]()):
        if leaf.value != base.get(leaf.path):
            changed[leaf.path], kinds[leaf.path] = leaf.value, leaf.kind
    table = [row for row in rows(section(ALGORITHMS, f"`{name}`")) if len(row) == 3]
    stated = {names(path)[0]: (before, now) for path, before, now in table}
    assert set(stated) == set(changed)
    for path, (before, now) in stated.items():
        assert fields.from_text(now, kinds[path], path) == changed[path], path
        if not path.startswith("resets."):
            assert fields.from_text(before, kinds[path], path) == base[path], path


def test_every_published_recipe_has_a_section() -> None:
    # Described in semantics.md, or without a source to describe.
    elsewhere = {"sac", "sr_sac", "td3", "ddpg"} | {one for one in PRESETS if one[:4] == "sac_"}
    found = re.findall(r"^## `(\w+)`$", ALGORITHMS.read_text(), re.MULTILINE)
    assert sorted(found) == sorted(set(PRESETS) - elsewhere - set(STUDY))


def test_algorithms_state_the_settings_of_the_regularisation_study() -> None:
    axes = ("critic", "network", "plasticity")
    stated = {
        (axis, names(level)[0]): [setting.split("=", 1) for setting in names(settings)]
        for axis, level, settings in rows(section(ALGORITHMS, "The regularisation study"))
    }
    tables = (regularised.CRITIC, regularised.NETWORK, regularised.PLASTICITY)
    assert set(stated) == {
        (axis, level) for axis, table in zip(axes, tables, strict=True) for level in table
    }
    for name, levels in STUDY.items():
        config = with_settings(PRESETS["sac"](), {"updates_per_step": 2.0})
        for level in zip(axes, levels, strict=True):
            for path, value in stated[level]:
                config = configure.set_path(config, path, value)
        assert config == PRESETS[name](), name


def test_semantics_states_the_defaults() -> None:
    default = configure.flatten(RunConfig())
    kinds = {leaf.path: leaf.kind for leaf in fields.leaves(RunConfig())}
    table = [row for row in rows(section(SEMANTICS, "SAC")) if len(row) == 4]
    cells = [pair for row in table for pair in (row[:2], row[2:])]
    assert len(cells) > 20
    for cell, value in cells:
        path = names(cell)[0]
        assert fields.from_text(value, kinds[path], path) == default[path], path


def test_semantics_states_the_reset_schedules() -> None:
    table = [row for row in rows(section(SEMANTICS, "Resets")) if row[0].isdecimal()]
    assert len(table) == 5
    for ratio, ours, theirs in table:
        steps = [int(step) for step in ours.split(",")]
        schedule = clock.ReplayRatio(float(ratio), start_training=10_000)
        assert clock.firing_steps((ResetRule(),), schedule, steps[-1]) == steps
        assert sr_sac_schedule(int(ratio), 3) == [int(step) for step in theirs.split(",")]


def sr_sac_schedule(ratio: int, count: int) -> list[int]:
    """The first resets of the SR-SAC code: at evaluations, by updates since the last one."""
    found: list[int] = []
    last = 10_000 - 1
    for step in range(5_000, 2_000_000, 5_000):
        if (step - last) * ratio > 2_560_000 and len(found) < count:
            found.append(step)
            last = step
    return found


def test_free_settings_are_the_ones_that_are_listed() -> None:
    text = section(ROOT / "docs" / "checkpoints.md", "What a start does")
    listed = re.search(r"Settings that may change on resume:(.*?)\. All others", text, re.DOTALL)
    assert listed
    paths = {"replay_storage": "replay.storage"}
    found = {paths.get(flag, flag) for flag in FLAG.findall(listed[1])}
    assert found == set(configure.free_fields(RunConfig()))


def test_unsupported_tasks_are_listed_with_their_reasons() -> None:
    table = rows(section(ENVIRONMENTS, "Not supported"))
    assert {names(task)[0]: why for task, why in table} == suites.UNSUPPORTED


def test_probes_are_listed() -> None:
    assert [names(row[0])[0] for row in rows(section(ENVIRONMENTS, "Probes"))] == list(PROBES)


def test_supported_tasks_are_listed() -> None:
    text = section(ENVIRONMENTS, "Supported tasks")
    listed = {f"{names(domain)[0]}-{task}" for domain, tasks in rows(text) for task in names(tasks)}
    assert listed == set(dmc.task_names()) - set(suites.UNSUPPORTED)
    assert f"{len(listed)} tasks" in text
    assert set(re.findall(r"`(\w+-v5)`", text)) == set(gym.task_names())

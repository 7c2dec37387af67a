"""The benchmark counts operations right, refuses nonsense, and leaves no process behind."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from benchmarks.flops import flops_per_update, product_flops, update_program
from benchmarks.hlo import Launches, launches
from benchmarks.options import Layout, layouts, numbers
from benchmarks.processes import MeasurementFailed, child, environment, json_line
from benchmarks.tables import Table, cell, render
from benchmarks.training_run import Window, _Rows
from helpers import tiny
from rr_scale.config import RunConfig
from rr_scale.errors import UserError
from rr_scale.presets import preset
from rr_scale.presets.registry import with_settings
from rr_scale.train.logging import ResultFiles

ROOT = Path(__file__).parents[1]
O, A = 17, 6  # noqa: E741 - the alphabet of the package


def benchmark(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "scripts/benchmark.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def dense(inputs: int, hidden: tuple[int, ...], outputs: int) -> tuple[int, int]:
    """Multiplications per row of all layers of a plain network, and of all but the first."""
    widths = (inputs, *hidden, outputs)
    layers = [one * other for one, other in zip(widths[:-1], widths[1:], strict=True)]
    return sum(layers), sum(layers[1:])


def written_out(config: RunConfig) -> float:
    """Operations of one update of SAC, TD3 or DDPG, pass by pass."""
    agent = config.agent
    heads = 1 if agent.actor.distribution == "deterministic" else 2
    actor, actor_rest = dense(O, agent.actor.network.hidden, heads * A)
    critic, critic_rest = dense(O + A, agent.critic.network.hidden, 1)
    members = agent.critic.ensemble_size
    target = actor + members * critic
    regression = members * (2 * critic + critic_rest)
    policy = 2 * actor + actor_rest
    value = members * 2 * critic  # forward, and back to the action through frozen weights
    delayed = (policy + value) / agent.actor_delay
    return 2 * config.replay.batch_size * (target + regression + delayed)


def test_operations_of_a_tiny_network_by_hand() -> None:
    # O = 3, A = 2, B = 8; critic 5-4-1: 24 forward, 24 weights, 4 inputs (+20 of layer one).
    widths = {f"agent.{part}.network.hidden": (4,) for part in ("actor", "critic")}
    # Actor 3-4-(2+2): 28 forward, 28 weights, 16 inputs.
    sac = 16 * (28 + 2 * 24 + 2 * 52) + 16 * (72 + 2 * 48)
    assert flops_per_update(tiny("sac", widths), 3, 2) == sac == 5568
    # Actor 3-4-2: 20 forward, 20 weights, 8 inputs, and only every second update.
    td3 = 16 * (20 + 48 + 104) + 16 * (48 + 96) / 2
    assert flops_per_update(tiny("td3", widths), 3, 2) == td3


@pytest.mark.parametrize("name", ["sr_sac", "td3", "ddpg"])
def test_operations_are_those_of_the_passes(name: str) -> None:
    config = preset(name)
    assert flops_per_update(config, O, A) == written_out(config)


def test_a_delayed_actor_counts_in_the_share_of_updates_that_it_learns_in() -> None:
    one, two, three = (
        flops_per_update(with_settings(preset("xqc"), {"agent.actor_delay": delay}), O, A)
        for delay in (1, 2, 3)
    )
    # Halves and sixths of the actor's step.
    assert one - two == pytest.approx(3 * (two - three))
    assert 0 < one - two < one / 2


def test_products_in_a_scan_count_as_often_as_it_runs() -> None:
    def repeated(x: jax.Array, times: int) -> jax.Array:
        return jax.lax.scan(lambda x, _: (x @ x, None), x, length=times)[0]

    square = jax.ShapeDtypeStruct((4, 4), jnp.float32)
    program = jax.make_jaxpr(lambda x: repeated(x, 5))(square).jaxpr
    assert product_flops(program, max) == 5 * 2 * 4**3
    endless = jax.make_jaxpr(lambda x: jax.lax.while_loop(jnp.any, lambda x: x @ x, x))(square)
    with pytest.raises(ValueError, match="unknown length"):
        product_flops(endless.jaxpr, max)


def test_the_compiler_counts_little_beside_the_products() -> None:
    config = preset("sr_sac")
    update, shapes = update_program(config, O, A)
    counted = jax.jit(update).lower(*shapes).cost_analysis()["flops"]
    assert 1.0 < counted / flops_per_update(config, O, A) < 1.04


_COMPILED = """HloModule jit_step, is_scheduled=true

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  ROOT %sum = f32[] add(%a, %b)
}

%multiply (m: f32[4]) -> f32[4] {
  %m = f32[4]{0} parameter(0)
  %dot.9 = f32[4]{0} dot(%m, %m), lhs_contracting_dims={0}, rhs_contracting_dims={0}
  ROOT %tanh.9 = f32[4]{0} tanh(%dot.9)
}

%due (x: f32[4]) -> f32[4] {
  %x = f32[4]{0} parameter(0)
  %gemm.1 = f32[4]{0} fusion(%x), kind=kCustom, calls=%multiply
  ROOT %own.1 = f32[4]{0} fusion(%gemm.1), kind=kLoop, calls=%add
}

%not_due (y: f32[4]) -> f32[4] {
  %y = f32[4]{0} parameter(0)
  ROOT %copy.2 = f32[4]{0} copy(%y)
}

%body (s: (s32[], f32[4])) -> (s32[], f32[4]) {
  %s = (s32[], f32[4]{0}) parameter(0)
  %v = f32[4]{0} get-tuple-element(%s), index=1
  %lib = (f32[4]{0}, s8[9]{0}) custom-call(%v), custom_call_target="__cublas$lt$matmul"
  %c = f32[4]{0} conditional(%p, %v, %v), true_computation=%due, false_computation=%not_due
  ROOT %out = (s32[], f32[4]{0}) tuple(%i, %c)
}

ENTRY %main.3 (x.1: f32[4]) -> f32[4] {
  %x.1 = f32[4]{0} parameter(0)
  %begin = f32[4]{0} fusion(%x.1), kind=kLoop, calls=%first
  %all = (s32[], f32[4]{0}) while(%t), condition=%c, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %open = (s32[], f32[4]{0}) while(%all), condition=%c, body=%body
  ROOT %end = f32[4]{0} bitcast(%w)
}
"""  # noqa: E501 - as XLA prints it


def test_kernels_of_a_compiled_program_count_as_often_as_they_run() -> None:
    # 5 rounds of the first loop, one of the loop of unknown length.
    most = Launches(kernels=1 + 6 * 3, products=6 * 2, copies=0, conditionals=6, open_loops=1)
    least = Launches(kernels=1 + 6 * 2, products=6, copies=6, conditionals=6, open_loops=1)
    assert launches(_COMPILED, max) == most
    assert launches(_COMPILED, min) == least
    with pytest.raises(ValueError, match="no program"):
        launches("", max)


def test_kernels_of_a_real_program() -> None:
    def repeated(x: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, 7, lambda _, x: jnp.tanh(x @ x), x)

    text = jax.jit(repeated).lower(jnp.ones((64, 64))).compile().as_text()
    counted = launches(text, max)
    # A product and the rest of a round at least, in every round.
    assert counted.products == 7 and counted.kernels >= 14
    assert counted.conditionals == counted.open_loops == 0


def test_numbers_are_shown_with_three_digits() -> None:
    shown = {0.000123456: "0.000123", 12.345: "12.3", 98765.4: "98,800", 12345: "12,345", 0.0: "0"}
    assert {value: cell(value) for value in shown} == shown
    assert [cell(None), cell("x"), cell(math.inf)] == ["-", "x", "inf"]


def test_a_table_aligns_words_left_and_numbers_right() -> None:
    table = Table("title", ["name", "speed"], [["a", 5], ["bcdef", None], ["c", 1234.0]], ["note"])
    assert render(table).splitlines() == [
        "title",
        "name   speed",
        "------------",
        "a          5",
        "bcdef      -",
        "c      1,230",
        "note",
    ]
    with pytest.raises(ValueError, match="1 cells in 2 columns"):
        render(Table("title", ["a", "b"], [[1]]))


def test_lists_on_the_command_line() -> None:
    assert numbers("1,2,40", "--seeds") == (1, 2, 40)
    assert layouts("default,2x1") == (Layout(), Layout(2, 1))
    for text in ("", "0", "1,,2", "a", "-1"):
        with pytest.raises(UserError, match="--seeds"):
            numbers(text, "--seeds")
    with pytest.raises(UserError, match="THREADSxDEVICES, got '2'"):
        layouts("2")


def test_a_layout_becomes_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=8 --xla_a=b")
    variables = environment(Layout(3, 2), "--xla_c=d")
    assert variables["NPROC"] == "3"
    flags = ["--xla_a=b", "--xla_c=d", "--xla_force_host_platform_device_count=2"]
    assert sorted(variables["XLA_FLAGS"].split()) == flags


def test_windows_begin_after_the_interval_that_compiles(tmp_path: Path) -> None:
    rows = _Rows(tmp_path / "metrics.csv")
    assert rows.windows() == []
    files = ResultFiles(tmp_path, [0, 1], "name", "task", 1)
    times = {10: (0, 5.0, 4.0), 20: (6, 9.0, 0.0), 30: (16, 11.0, 0.0), 40: (26, 14.0, 2.0)}
    for step, (updates, wall, evaluation) in times.items():
        shared = {"time/wall_s": wall, "time/eval_s": evaluation}
        files.metrics(step, updates, [None, None], shared)
    files.close()
    assert rows.windows() == [Window(10, 10, 2.0, 0.0), Window(10, 10, 3.0, 2.0)]
    assert rows.first_update == 4.0
    assert rows.evaluations == [2.0]


def test_a_child_and_its_own_children_end_with_the_block(tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    script = f"sleep 100 & echo $! > {noted}.part; mv {noted}.part {noted}; wait"
    with pytest.raises(KeyboardInterrupt), child(["bash", "-c", script], os.environ):
        while not noted.exists():
            time.sleep(0.01)
        raise KeyboardInterrupt
    stat = Path(f"/proc/{int(noted.read_text())}/stat")
    deadline = time.monotonic() + 30
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline, "the grandchild is still running"
        time.sleep(0.01)


def test_a_child_that_fails_is_reported_by_its_last_line() -> None:
    command = [sys.executable, "-c", "raise SystemExit('why it failed')"]
    with pytest.raises(MeasurementFailed, match="why it failed"):
        json_line(command, os.environ)


def test_the_reporting_process_does_not_start_jax() -> None:
    program = "import benchmarks.command, sys; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--sed", "1"], "--sed"),
        (["--only", "speed"], "--only must be words of limit, throughput"),
        (["--seeds", "1,x"], "--seeds must be numbers"),
        (["--presets", "sacc"], "--presets must be words of sr_sac"),
        (["--seconds", "0"], "--seconds must be between"),
        (["--peer_python", "nowhere/python"], "there is no nowhere/python"),
        (["--env_name", "cheetah-fly"], "unknown environment 'cheetah-fly'"),
        (["--out", "no/such/folder/x.json", "--only", "peers"], "cannot write"),
    ],
)
def test_what_is_wrong_with_the_flags_is_one_line(arguments: list[str], complaint: str) -> None:
    done = benchmark(*arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.slow
def test_quick_measures_and_records(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = benchmark("--quick", "--only", "limit,throughput,kernels", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert re.search(r"^sr_sac +2 +2 ", done.stdout, re.MULTILINE)
    record = json.loads(out.read_text())
    assert list(record["sections"]) == ["limit", "throughput", "kernels"]
    assert record["machine"]["versions"]["jax"] == jax.__version__
    [entry] = record["sections"]["throughput"]["raw"]
    assert entry["limit_before"] > 0
    for kind in ("update_only", "whole_run"):
        assert len(entry[kind]["rates"]) == 2
        assert min(entry[kind]["rates"]) > 0
    counted = record["sections"]["kernels"]["tables"][0]
    # Without a GPU it takes the libraries of the extra `cuda`, and says so.
    if importlib.util.find_spec("jax_cuda13_plugin"):
        assert counted["rows"][0][:3] == ["sr_sac", 2, 2] and counted["rows"][0][3] > 20
    else:
        assert counted["title"] == "kernels: not counted, needs a GPU or the extra `cuda`"

"""Checkpoints: what comes back is what was saved, or an error that names the file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rr_scale.errors import CheckpointError
from rr_scale.replay import store as chunk_files
from rr_scale.train.checkpoint import CheckpointStore

LANES = 2


class Network(NamedTuple):
    params: dict
    optimizer: tuple


def make_state(step: int):
    key = jax.random.key(step)
    return Network(
        params={
            "kernel.a/b": jax.random.normal(key, (LANES, 3, 4)),
            "root": jax.random.key_data(jax.random.split(key, LANES)),
        },
        optimizer=(
            jnp.asarray(step, jnp.int32),
            (),
            None,
            [np.array([True, False]), np.zeros((0, 2), np.float32), jnp.float32(jnp.nan)],
            np.asarray(step / 3, np.float64),
            jnp.ones(4, jnp.bfloat16) * step,
        ),
    )


def abstract(state):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state)


ABSTRACT = abstract(make_state(0))


def make_rows(start: int, stop: int) -> dict[str, np.ndarray]:
    """Row i of lane s holds 1000 s + i in every field."""
    ids = np.arange(LANES)[:, None] * 1000 + np.arange(start, stop)
    return {
        "observation": np.repeat(ids[..., None], 3, axis=2).astype(np.float32),
        "reward": ids.astype(np.float32),
        "terminated": ids % 3 == 0,
        "file": ids.astype(np.int32),
    }


def save(store: CheckpointStore, step: int, capacity: int = 1000, **more) -> None:
    """Saves a checkpoint at which 10 rows per step were inserted."""
    arguments = {"total_rows": 10 * step, "capacity": capacity} | more
    if "rows" not in arguments:
        arguments["rows"] = make_rows(*store.missing(arguments["total_rows"], capacity))
    arrays = {"actions": np.arange(step, dtype=np.uint32), "returns": np.array([step / 7])}
    store.save(step, make_state(step), {"step": step, "mean": step / 7}, arrays, **arguments)


def assert_same(tree, expected) -> None:
    assert jax.tree.structure(tree) == jax.tree.structure(expected)
    for found, wanted in zip(jax.tree.leaves(tree), jax.tree.leaves(expected), strict=True):
        wanted = np.asarray(wanted)
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
        assert found.tobytes() == wanted.tobytes()


def assert_restores(store: CheckpointStore, step: int, capacity: int = 1000, **more) -> None:
    restored = store.restore(ABSTRACT, **more)
    assert restored.step == step
    assert_same(restored.state, make_state(step))
    assert restored.host == {"step": step, "mean": step / 7}
    assert_same(restored.host_arrays["actions"], np.arange(step, dtype=np.uint32))
    assert restored.first_row == max(10 * step - capacity, 0)
    assert_same(restored.rows, make_rows(restored.first_row, 10 * step))


def chunk_names(directory: Path) -> list[str]:
    names = [chunk_files.parse_name(path.name) for path in (directory / "replay").iterdir()]
    return sorted(names)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "run" / "checkpoints"


def test_what_was_saved_comes_back_bit_for_bit_also_in_another_place(directory, tmp_path):
    store = CheckpointStore(directory)
    assert store.latest() is None
    save(store, 1)
    save(store, 2)
    assert CheckpointStore(directory).latest() == 2
    assert_restores(CheckpointStore(directory), 2)
    directory.parent.rename(tmp_path / "moved")
    assert_restores(CheckpointStore(tmp_path / "moved" / "checkpoints"), 2)


def test_nothing_committed_is_not_restored(directory):
    with pytest.raises(CheckpointError, match="nothing was committed"):
        CheckpointStore(directory).restore(ABSTRACT)


def test_a_run_without_rows_can_be_saved(directory):
    save(CheckpointStore(directory), 3, total_rows=0)
    restored = CheckpointStore(directory).restore(ABSTRACT)
    assert (restored.rows, restored.first_row) == ({}, 0)


def test_only_new_rows_are_asked_for_and_written(directory):
    store = CheckpointStore(directory)
    assert store.missing(500, 1000) == (0, 500)
    save(store, 50)
    before = {path: path.stat().st_mtime_ns for path in (directory / "replay").iterdir()}
    resumed = CheckpointStore(directory)
    resumed.restore(ABSTRACT)
    assert resumed.missing(510, 1000) == (500, 510)
    save(resumed, 51)
    assert resumed.missing(510, 1000) == (510, 510)
    save(resumed, 51, rows={})
    sizes = [path.stat().st_size for path in sorted((directory / "replay").iterdir())]
    assert sizes[1] < sizes[0] / 5
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())
    assert_restores(CheckpointStore(directory), 51)


def test_chunks_are_split_when_many_rows_are_new(directory, monkeypatch):
    monkeypatch.setattr(chunk_files, "CHUNK_ROWS", 40)
    save(CheckpointStore(directory), 10)
    assert chunk_names(directory) == [(0, 40), (40, 80), (80, 100)]
    assert_restores(CheckpointStore(directory), 10)


def test_after_the_ring_wrapped_only_chunks_in_use_are_kept(directory):
    store = CheckpointStore(directory, keep=2)
    for step in (2, 4, 6, 8, 10):
        save(store, step, capacity=35)
        assert_restores(CheckpointStore(directory), step, capacity=35)
    # Step 8 needs rows 45 to 79, step 10 rows 65 to 99.
    assert chunk_names(directory) == [(40, 60), (60, 80), (80, 100)]
    save(store, 100, capacity=35)
    assert chunk_names(directory)[-1] == (965, 1000)
    assert_restores(CheckpointStore(directory), 100, capacity=35)


def test_the_newest_and_the_pinned_are_kept(directory):
    store = CheckpointStore(directory, keep=2)
    for step in (1, 2, 3, 4, 5):
        save(store, step, capacity=10, pinned=2)
    assert sorted(path.name for path in directory.glob("step-*")) == [
        f"step-{step:012d}" for step in (2, 4, 5)
    ]
    assert chunk_names(directory) == [(10, 20), (30, 40), (40, 50)]
    for step in (5, 4):
        shutil.rmtree(directory / f"step-{step:012d}")
    assert_restores(CheckpointStore(directory), 2, capacity=10, fallback=True)


def test_a_step_can_be_saved_again(directory):
    store = CheckpointStore(directory)
    for step in (1, 2, 2):
        save(store, step)
    assert sorted(path.name for path in directory.iterdir()) == [
        "replay", "step-000000000001", "step-000000000002",
    ]  # fmt: skip
    assert_restores(CheckpointStore(directory), 2)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink])
def test_every_damaged_file_is_named_and_the_older_checkpoint_is_used(directory, damage, tmp_path):
    store = CheckpointStore(directory)
    save(store, 1)
    save(store, 2)
    files = [path for path in (directory / "step-000000000002").rglob("*") if path.is_file()]
    files.append(directory / "replay" / "rows-000000000010-000000000020.npz")
    assert len(files) > 8
    for number, path in enumerate(files):
        copy = tmp_path / str(number)
        shutil.copytree(directory.parent, copy)
        name = path.relative_to(directory.parent)
        damage(copy / name)
        damaged = CheckpointStore(copy / "checkpoints")
        with pytest.raises(CheckpointError) as raised:
            damaged.restore(ABSTRACT)
        assert str(name) in str(raised.value)
        assert "\n" not in str(raised.value)
        assert_restores(damaged, 1, fallback=True)
        assert CheckpointStore(copy / "checkpoints").latest() == 1
        save(damaged, 2)
        assert_restores(CheckpointStore(copy / "checkpoints"), 2)


def test_a_damaged_shared_chunk_leaves_nothing_to_fall_back_to(directory):
    store = CheckpointStore(directory)
    save(store, 1)
    save(store, 2)
    flip(directory / "replay" / "rows-000000000000-000000000010.npz")
    with pytest.raises(CheckpointError, match="rows-000000000000.*no older one is intact"):
        CheckpointStore(directory).restore(ABSTRACT, fallback=True)


def test_a_committed_checkpoint_that_vanished_is_an_error(directory):
    save(CheckpointStore(directory), 1)
    shutil.rmtree(directory / "step-000000000001")
    for attempt in (CheckpointStore.latest, lambda store: store.restore(ABSTRACT, fallback=True)):
        with pytest.raises(CheckpointError, match="checkpoints/step-000000000001: missing"):
            attempt(CheckpointStore(directory))


def test_deleting_the_whole_folder_is_an_error_and_not_a_new_run(directory):
    save(CheckpointStore(directory), 1)
    shutil.rmtree(directory)
    with pytest.raises(CheckpointError, match="checkpoints/step-000000000001: missing"):
        CheckpointStore(directory).latest()


def test_an_unreadable_commit_record_is_named(directory):
    save(CheckpointStore(directory), 1)
    truncate(directory.parent / "committed.json")
    with pytest.raises(CheckpointError, match="committed.json: truncated"):
        CheckpointStore(directory).restore(ABSTRACT)
    assert_restores(CheckpointStore(directory), 1, fallback=True)
    assert_restores(CheckpointStore(directory), 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel.a/b": (LANES, 3, 5)}, "'params/kernel.a/b' is float32\\[2, 3, 4\\].*3, 5"),
        ({"root": (LANES, 2)}, "'params/root' is uint32\\[2, 2\\].*float32\\[2, 2\\]"),
        ({"new": ()}, "no 'params/new'"),
        ({"root": None}, "'params/root', unknown"),
    ],
)
def test_a_state_that_does_not_fit_is_named_and_nothing_is_removed(directory, change, message):
    store = CheckpointStore(directory)
    save(store, 1)
    save(store, 2)
    params = dict(ABSTRACT.params)
    for name, shape in change.items():
        params.pop(name, None)
        if shape is not None:
            params[name] = jax.ShapeDtypeStruct(shape, jnp.float32)
    with pytest.raises(CheckpointError, match=message):
        CheckpointStore(directory).restore(ABSTRACT._replace(params=params), fallback=True)
    assert_restores(CheckpointStore(directory), 2)


def test_not_fitting_is_no_reason_to_fall_back_to_an_older_one_that_does(directory):
    store = CheckpointStore(directory)
    for step in (1, 2):
        store.save(step, [np.zeros(step)], {}, {}, {}, 0, 10)
    with pytest.raises(CheckpointError, match="float64"):
        CheckpointStore(directory).restore(abstract([np.zeros(1)]), fallback=True)
    assert CheckpointStore(directory).latest() == 2


def test_an_edited_manifest_is_noticed(directory):
    save(CheckpointStore(directory), 1)
    path = directory / "step-000000000001" / "manifest.json"
    path.write_text(path.read_text().replace('"total_rows": 10', '"total_rows": 11'))
    with pytest.raises(CheckpointError, match="manifest.json: content altered"):
        CheckpointStore(directory).restore(ABSTRACT)


def test_discarding_removes_everything(directory):
    store = CheckpointStore(directory)
    save(store, 2)
    with pytest.raises(RuntimeError, match="restore"):
        save(CheckpointStore(directory), 1)
    again = CheckpointStore(directory)
    again.discard()
    assert list(directory.parent.iterdir()) == []
    save(again, 1)
    assert_restores(CheckpointStore(directory), 1)


def test_what_only_pickle_could_store_is_refused(directory):
    rows = {"observation": np.full((LANES, 10), None)}
    with pytest.raises(ValueError, match="observation"):
        save(CheckpointStore(directory), 1, rows=rows)
    with pytest.raises(TypeError, match="typed key"):
        CheckpointStore(directory).save(1, [jax.random.key(0)], {}, {}, {}, 0, 10)

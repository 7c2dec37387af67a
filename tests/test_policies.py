"""Policy files: exact round trips, the same bytes always, damage always noticed."""

from __future__ import annotations

import math
import os
import pickle
import time
import zipfile

import numpy as np
import pytest

from rr_scale.errors import UserError
from rr_scale.train.policies import flatten, load_policy, save_policy, unflatten

METADATA = {
    "env_step": 5000,
    "seed": 3,
    "env_name": "cheetah-run",
    "exp_name": "sr_sac",
    "observation_size": 17,
    "action_size": 6,
    "value": 812.25,
    "agent": {"actor": {"network": {"hidden": [256, 256]}}, "bound": math.inf},
}


def arrays() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    return {
        "params/Dense_0/kernel": draw.normal(size=(3, 2)).astype(np.float32),
        "params/Dense_0/bias": np.zeros(2, np.float32),
        "normalizer/mean": draw.normal(size=3),
        "normalizer/count": np.array(7, np.int64),
    }


def test_what_was_saved_is_loaded(tmp_path):
    path = tmp_path / "policies" / "3_best.npz"
    save_policy(path, arrays(), METADATA)
    loaded, metadata = load_policy(path)
    assert metadata == METADATA
    assert loaded.keys() == arrays().keys()
    for name, array in arrays().items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype
        assert loaded[name].shape == array.shape


def test_numpy_alone_can_read_the_file(tmp_path):
    save_policy(tmp_path / "p.npz", arrays(), METADATA)
    with np.load(tmp_path / "p.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["normalizer/mean"], arrays()["normalizer/mean"])
        assert '"seed": 3' in str(file["metadata"])


def test_the_bytes_depend_on_nothing_but_the_content(tmp_path, monkeypatch):
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    save_policy(first, arrays(), METADATA)
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2_000_000_000))
    shuffled = dict(reversed(arrays().items()))
    shuffled["params/Dense_0/kernel"] = np.asfortranarray(shuffled["params/Dense_0/kernel"])
    save_policy(second, shuffled, dict(reversed(METADATA.items())))
    assert first.read_bytes() == second.read_bytes()


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "p.npz"
    save_policy(path, arrays(), METADATA)
    before = path.read_bytes()

    def fail(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        save_policy(path, {"other": np.ones(3)}, METADATA)
    assert path.read_bytes() == before


def test_a_save_leaves_no_temporary_file(tmp_path):
    save_policy(tmp_path / "p.npz", arrays(), METADATA)
    assert [path.name for path in tmp_path.iterdir()] == ["p.npz"]


def test_no_flipped_byte_is_read_as_other_numbers(tmp_path):
    path = tmp_path / "p.npz"
    save_policy(path, arrays(), METADATA)
    content = path.read_bytes()
    noticed = 0
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            loaded, metadata = load_policy(path)
        except UserError as error:
            assert str(path) in str(error)
            assert "\n" not in str(error)
            noticed += 1
        else:
            assert metadata == METADATA
            assert loaded.keys() == arrays().keys()
            assert all(np.array_equal(loaded[name], array) for name, array in arrays().items())
    assert noticed > len(content) / 2


def test_no_shortened_file_is_read(tmp_path):
    path = tmp_path / "p.npz"
    save_policy(path, arrays(), METADATA)
    content = path.read_bytes()
    for length in range(0, len(content), 41):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match="not a readable policy file"):
            load_policy(path)


def test_a_missing_file_and_one_without_metadata_are_user_errors(tmp_path):
    with pytest.raises(UserError, match="no such policy file"):
        load_policy(tmp_path / "none.npz")
    np.savez(tmp_path / "bare.npz", x=np.ones(2))
    with pytest.raises(UserError, match="not a readable policy file"):
        load_policy(tmp_path / "bare.npz")


def test_a_pickle_inside_is_refused_and_not_run(tmp_path):
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return (ran.touch, ())

    path = tmp_path / "trap.npz"
    np.savez(path, metadata=np.array("{}"), trap=np.array([Trap()], dtype=object))
    with pytest.raises(UserError, match="trap.npz"):
        load_policy(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.npy", pickle.dumps(Trap()))
    with pytest.raises(UserError, match="trap.npz"):
        load_policy(path)
    assert not ran.exists()


def test_what_npz_cannot_hold_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'x'"):
        save_policy(tmp_path / "p.npz", {"x": np.array([object()])}, {})
    with pytest.raises(ValueError, match="reserved"):
        save_policy(tmp_path / "p.npz", {"metadata": np.ones(1)}, {})
    with pytest.raises(ValueError, match="reserved"):
        save_policy(tmp_path / "p.npz", {}, {"arrays": []})


def test_nested_dicts_survive_flattening():
    nested = unflatten(arrays())
    assert set(nested) == {"params", "normalizer"}
    assert set(nested["params"]["Dense_0"]) == {"kernel", "bias"}
    flat = flatten(nested)
    assert flat.keys() == arrays().keys()
    assert all(np.array_equal(flat[name], array) for name, array in arrays().items())


@pytest.mark.parametrize("flat", [{"a": 1, "a/b": 2}, {"a/b": 2, "a": 1}])
def test_a_name_that_is_leaf_and_branch_is_refused(flat):
    with pytest.raises(ValueError):
        unflatten({name: np.array(value) for name, value in flat.items()})


def test_a_name_with_a_slash_is_refused():
    with pytest.raises(ValueError, match="a/b"):
        flatten({"a/b": np.ones(1)})

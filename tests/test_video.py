"""Films: written whole, at the speed of the world, and refused where nothing can be drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rr_scale.envs import suites, video
from rr_scale.envs.renderer import Renderer
from rr_scale.errors import UserError

PICTURES = [np.full((31, 41, 3), 40 * number, np.uint8) for number in range(5)]


def test_a_gif_has_every_picture_and_its_time(tmp_path: Path) -> None:
    from PIL import Image

    video.write_video(tmp_path / "film.gif", PICTURES, 0.04)
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 5
        assert film.info["duration"] == 40
        film.seek(3)
        assert np.abs(np.asarray(film.convert("RGB")).astype(int) - 120).max() < 10


def test_an_mp4_has_every_picture_and_its_time(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    video.write_video(tmp_path / "film.mp4", PICTURES, 0.02)
    with av.open(str(tmp_path / "film.mp4")) as film:
        stream = film.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (40, 30, 50)
        drawn = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(drawn) == 5
    assert np.abs(drawn[3].astype(int) - 120).max() < 10


@pytest.mark.parametrize(
    ("name", "seconds", "kept"),
    [("a.mp4", 0.01, 2), ("a.mp4", 0.02, 1), ("a.gif", 0.01, 4), ("a.gif", 0.04, 1)],
)
def test_pictures_are_left_out_where_there_are_too_many(name, seconds, kept) -> None:
    assert video.every(Path(name), seconds) == kept


def test_what_is_no_film_is_refused() -> None:
    with pytest.raises(UserError, match=r"\.mp4 or \.gif, got 'film.mov'"):
        video.check_path(Path("film.mov"))


def test_a_task_without_looks_is_refused() -> None:
    with pytest.raises(UserError, match="nothing to see in 'probe-target'"):
        Renderer("probe-target", 1)


def test_without_a_renderer_the_reasons_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "charcoal")
    with pytest.raises(UserError, match=r"no renderer works here \(charcoal: .+\); install EGL"):
        Renderer("cartpole-swingup", 1)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["cartpole-swingup", "Hopper-v5"])
def test_an_episode_is_drawn_as_it_was_played(task: str, tmp_path: Path) -> None:
    try:
        renderer = Renderer(task, 2)
    except UserError as error:
        pytest.skip(str(error))
    environment = suites.make(task, 2)
    shape = (12, environment.spec.action_size)
    actions = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    environment.reset(5)
    played = sum(environment.step(action).reward for action in actions)
    assert renderer.film(5, actions, tmp_path / "film.gif") == played
    assert [path.name for path in tmp_path.iterdir()] == ["film.gif"]

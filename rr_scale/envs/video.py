"""Pictures as a film: mp4 through PyAV, gif through Pillow. Frames are written as they come."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np

from rr_scale.errors import UserError

# What players show, and what keeps a gif small.
_MOST_FRAMES_PER_S = {".mp4": 60, ".gif": 25}


def check_path(path: Path) -> None:
    """Checks that a film could be written here as far as formats go.

    Raises:
      UserError: neither mp4 nor gif, or mp4 without PyAV.
    """
    if path.suffix.lower() not in _MOST_FRAMES_PER_S:
        raise UserError(f"a video ends in .mp4 or .gif, got '{path}'")
    if path.suffix.lower() == ".mp4" and importlib.util.find_spec("av") is None:
        raise UserError("an mp4 needs PyAV: install the extra 'video', or write a .gif")


def every(path: Path, seconds_per_picture: float) -> int:
    """Of how many pictures one is kept, so that the film runs at the speed of the world."""
    most = _MOST_FRAMES_PER_S[path.suffix.lower()]
    return int(np.ceil(1 / (seconds_per_picture * most) - 1e-9)) or 1


def write_video(path: Path, pictures: Iterable[np.ndarray], seconds_per_picture: float) -> None:
    """Writes a film.

    Args:
      path: ends in .mp4 or .gif.
      pictures: at least one, [height, width, 3] uint8, all of one size.
      seconds_per_picture: how long each is shown.
    """
    write = _write_gif if path.suffix.lower() == ".gif" else _write_mp4
    write(path, iter(pictures), seconds_per_picture)


def _write_gif(path: Path, pictures: Iterator[np.ndarray], seconds: float) -> None:
    from PIL import Image

    images = (Image.fromarray(picture).reduce(2) for picture in pictures)
    first = next(images)
    first.save(path, save_all=True, append_images=images, duration=round(seconds * 1000), loop=0)


def _write_mp4(path: Path, pictures: Iterator[np.ndarray], seconds: float) -> None:
    import av

    first = next(pictures)
    # Colour is stored per 2 x 2 pixels: an odd last row or column has none.
    height, width = (size // 2 * 2 for size in first.shape[:2])
    rate = Fraction(1 / seconds).limit_denominator(1000)
    with av.open(str(path), "w") as container:
        # The one format that every player shows.
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for picture in chain([first], pictures):
            even = np.ascontiguousarray(picture[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        container.mux(stream.encode())

"""Debian's chromium without a window, driven by selenium."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1200,1000",
)
_NEEDED = ("chromium", "chromedriver")


def why_not() -> str:
    """Why no browser can be started here; '' if one can."""
    if not all(map(shutil.which, _NEEDED)):
        return "no browser here: apt-get install chromium chromium-driver"
    if importlib.util.find_spec("selenium") is None:
        return "no selenium here: pip install selenium"
    return ""


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A selenium driver whose console is kept; ask `why_not` first."""
    from selenium import webdriver

    chromium, driver = map(shutil.which, _NEEDED)
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        try:
            yield started
        finally:
            started.quit()

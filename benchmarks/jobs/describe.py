"""What the machine and the libraries are."""

from __future__ import annotations

from typing import Any

from rr_scale import platform


def measure() -> dict[str, Any]:
    """`platform.describe()`."""
    return {"machine": platform.describe()}

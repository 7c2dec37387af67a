"""Which parameters of a test run when."""

from __future__ import annotations

from typing import Any

import pytest


def in_all_tests(*values: Any) -> list[Any]:
    """Parameters for `make test-all` only, where others stand for them in the normal tests."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]

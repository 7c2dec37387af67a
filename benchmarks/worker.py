"""The process that measures: `python -m benchmarks.worker JSON`; prints one JSON line."""

from __future__ import annotations

import importlib
import json
import os
import sys

from rr_scale import platform


def main(arguments: list[str]) -> int:
    """Runs the job that the only argument names, with the rest of it as its arguments."""
    request = json.loads(arguments[0])
    job = request.pop("job")
    # What the parent asked for is in the environment.
    layout = platform.prepare(None, None, request.get("seeds", 1))
    load_average = os.getloadavg()
    measured = importlib.import_module(f"benchmarks.jobs.{job}").measure(**request)
    facts = {"layout": layout._asdict(), "load_average": load_average}
    print(json.dumps({**facts, **measured}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

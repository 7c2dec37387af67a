"""How long training stands still for a checkpoint, what is written, how long a restore takes."""

from __future__ import annotations

import tempfile
from typing import Any

from benchmarks.processes import work
from benchmarks.report import Context, Report, median, progress
from benchmarks.tables import Table

PRESET = "sr_sac"


def section(context: Context) -> Report:
    """A run that collects and saves, then new processes that restore it."""
    options = context.options
    with tempfile.TemporaryDirectory(prefix="benchmark_checkpoints_") as folder:
        request: dict[str, Any] = {
            "preset": PRESET,
            "settings": options.settings,
            "env_name": options.env_name,
            "seeds": options.checkpoint_seeds,
            "rows": options.checkpoint_rows,
            "interval": options.checkpoint_interval,
            "episodes": options.evaluation_episodes,
            "save_dir": folder,
        }
        saved = work("checkpoints", {"phase": "save", **request}, options.layouts[0])
        progress(f"{len(saved['saves'])} checkpoints, now restoring")
        restored = [
            work("checkpoints", {"phase": "restore", **request}, options.layouts[0])
            for _ in range(options.repeats)
        ]
    seconds = [one["restore_s"] for one in restored]
    rows = [
        [save["env_step"], save["pause_s"], save["new_bytes"] / 2**20] for save in saved["saves"]
    ]
    title = (
        f"checkpoints on {options.env_name}: {options.checkpoint_seeds} seeds, "
        f"every {options.checkpoint_interval:,} env steps"
    )
    notes = [
        f"pause: {median([save['pause_s'] for save in saved['saves']]):.3g} s in the middle",
        f"restore of {options.checkpoint_rows:,} transitions per seed: {median(seconds):.3g} s",
    ]
    table = Table(title, ["env step", "pause, s", "MiB written"], rows, notes)
    return Report([table], {"saved": saved, "restored": restored})

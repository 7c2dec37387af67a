"""How many kernels an accelerator starts per update, counted in the compiled program.

It takes no accelerator: XLA compiles for a described one where the extra
`cuda` is installed.
"""

from __future__ import annotations

from typing import Any

from benchmarks.processes import work
from benchmarks.report import Context, Report, progress
from benchmarks.tables import Table

# No device is looked for: the libraries of the extra are all that is needed.
_WITHOUT_DEVICE = {
    "JAX_PLATFORMS": "cpu",
    "CUDA_VISIBLE_DEVICES": "-1",
    "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1",
}
_COLUMNS = ["seeds", "replay ratio", "kernels", "products", "copies", "waits", "scratch MiB"]


def section(context: Context) -> Report:
    """One row per preset, number of seeds and replay ratio."""
    options = context.options
    variables = {} if context.machine["device_platform"] == "gpu" else _WITHOUT_DEVICE
    rows, raw, target = [], [], ""
    for preset in options.presets:
        for seeds in options.seeds:
            request = {
                "preset": preset,
                "settings": options.settings,
                "env_name": options.env_name,
                "seeds": seeds,
                "replay_ratios": options.replay_ratios,
                "capacity": options.capacity,
            }
            measured = work("kernels", request, variables=variables)
            raw.append({**request, **measured})
            if "missing" in measured:
                return Report([Table(f"kernels: {measured['missing']}", [], [])], raw)
            target = measured["target"]
            for counted in measured["programs"]:
                rows.append([preset, seeds, *_cells(counted)])
                progress(f"{preset}, {seeds} seeds: {rows[-1][3]:.4g} kernels per update")
    notes = [
        "per update of a step that begins with a delayed one, everything around it in its share; "
        "waits: conditionals and loops of unknown length, where the host waits for the device",
    ]
    return Report([Table(f"kernels: {target}", ["preset", *_COLUMNS], rows, notes)], raw)


def _cells(counted: dict[str, Any]) -> list[Any]:
    """Means of a program whose delayed steps are due in every `delay`th update."""
    ratio, often, seldom = counted["replay_ratio"], counted["most"], counted["least"]
    mean = {k: often[k] / counted["delay"] + seldom[k] * (1 - 1 / counted["delay"]) for k in often}
    waits = mean["conditionals"] + mean["open_loops"]
    figures = [mean["kernels"], mean["products"], mean["copies"], waits]
    return [ratio, *(figure / ratio for figure in figures), counted["scratch_bytes"] / 2**20]

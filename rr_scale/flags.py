"""From command-line arguments to a configuration.

Every flag defaults to "not given", so that precedence is simple: the preset,
then flags, then `--set`. Help and types come from the declarations in
`config/`; a flag is no more than a short name for a path.
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

from absl import flags as absl_flags

from rr_scale import fields
from rr_scale.config import ResetRule, RunConfig
from rr_scale.configure import set_path
from rr_scale.errors import UserError, nearest
from rr_scale.presets import PRESETS, preset

_SAME_NAME = (
    "env_name exp_name seed num_seeds updates_per_step max_steps start_training action_repeat "
    "eval_interval eval_episodes eval_envs background_eval env_workers overlap devices "
    "lanes_per_group matmul_precision log_interval diagnose_interval checkpoint_freq save_dir "
    "resume fallback require_exact nan_policy track tqdm"
)
_PATHS = {
    **{name: name for name in _SAME_NAME.split()},
    "batch_size": "replay.batch_size",
    "replay_buffer_size": "replay.capacity",
    "replay_storage": "replay.storage",
}
_RESET_PATHS = {"reset_interval": "resets.0.interval", "reset_unit": "resets.0.unit"}
_OTHER_HELP = {
    "preset": "the recipe to start from; see --list_presets",
    "start_from_scratch": "discard what save_dir holds and start over: --resume=never",
    "resets": "whether there are resets: --noresets removes all rules",
    "set": "path=value for any other setting; may be repeated, and wins over flags",
    "threads": "size of XLA's CPU thread pool (default: a device's share of the CPUs; "
    "on resume: as recorded)",
    "print_config": "print the configuration as JSON and exit",
    "list_presets": "list the presets and exit",
    "help": "print this and exit",
}
_SWITCHES = ("start_from_scratch", "print_config", "list_presets", "help")


class Arguments(NamedTuple):
    """What the command line said."""

    config: RunConfig  # neither validated nor resolved
    threads: int | None
    print_config: bool
    list_presets: bool
    help: bool


def read_arguments(argv: Sequence[str]) -> Arguments:
    """Parses arguments.

    Args:
      argv: the program's name and its arguments, as `sys.argv`.

    Raises:
      UserError: an unknown flag, preset or path (names the nearest), a wrong
        type, or an argument that belongs to no flag.
    """
    given = _parse(argv)
    asks_for_text = bool(given["help"] or given["list_presets"])
    return Arguments(
        config=RunConfig() if asks_for_text else _configuration(given),
        threads=_positive("threads", given["threads"]),
        print_config=bool(given["print_config"]),
        list_presets=bool(given["list_presets"]),
        help=bool(given["help"]),
    )


def help_text() -> str:
    """Every flag, and every setting that `--set` reaches, with its meaning."""
    lines = ["Trains many seeds of one agent at once. Defaults are those of the preset sr_sac;"]
    lines += ["a preset replaces them, flags replace the preset's, and --set comes last.", ""]
    lines += ["Flags (--name value or --name=value; a truth value --name or --noname):", ""]
    leaves = {leaf.path: leaf for leaf in fields.leaves(RunConfig())}
    for name in _names():
        path = {**_PATHS, **_RESET_PATHS}.get(name)
        text = _describe(leaves[path]) if path else _OTHER_HELP[name]
        negatable = _is_boolean(name) and name not in _SWITCHES
        lines.append(_entry(f"--[no]{name}" if negatable else f"--{name}", text))
    lines += ["", "Settings for --set path=value:", ""]
    lines += [_entry(leaf.path, _describe(leaf)) for leaf in leaves.values()]
    return "\n".join(lines)


def preset_list() -> str:
    """Every preset with the first line of its description."""
    return "\n".join(
        _entry(name, (recipe.__doc__ or "").partition("\n")[0]) for name, recipe in PRESETS.items()
    )


def _names() -> list[str]:
    return [*_PATHS, *_RESET_PATHS, *_OTHER_HELP]


def _is_boolean(name: str) -> bool:
    return name in (*_SWITCHES, "resets") or fields.hints(RunConfig).get(name) is bool


def _describe(leaf: fields.Leaf) -> str:
    choices = leaf.field.metadata["choices"]
    listed = f" [{', '.join(choices)}]" if choices else ""
    value = fields.to_json(leaf.value, leaf.kind)
    shown = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    if leaf.kind is bool:
        shown = shown.lower()
    return f"{leaf.field.metadata['help']}{listed}" + (f" (default: {shown})" if shown else "")


def _entry(name: str, text: str) -> str:
    indent = " " * 8
    return f"  {name}\n" + textwrap.fill(text, 100, initial_indent=indent, subsequent_indent=indent)


def _parse(argv: Sequence[str]) -> dict[str, Any]:
    values = absl_flags.FlagValues()
    for name in _names():
        if _is_boolean(name):
            absl_flags.DEFINE_boolean(name, None, "", flag_values=values)
        elif name == "set":
            absl_flags.DEFINE_multi_string(name, [], "", flag_values=values)
        else:
            # Text: fields.from_text does the typing, for flags as for --set.
            absl_flags.DEFINE_string(name, None, "", flag_values=values)
    # Flags after a stray word are still parsed, so that the word is the complaint.
    values.set_gnu_getopt(True)
    try:
        rest = values(list(argv))[1:]
    except absl_flags.UnrecognizedFlagError as error:
        raise UserError(_unknown_flag(error.flagname)) from None
    except (absl_flags.Error, ValueError) as error:
        raise UserError(" ".join(str(error).split())) from None
    if rest:
        raise UserError(f"unexpected argument '{rest[0]}' (flags are --name=value)")
    return {name: values[name].value for name in _names()}


def _unknown_flag(name: str) -> str:
    # Whoever types --discount means the setting of that name, not a similar flag.
    for leaf in fields.leaves(RunConfig()):
        if name in (leaf.path, leaf.path.rpartition(".")[2]):
            return f"unknown flag --{name}; did you mean '--set {leaf.path}=...'?"
    return f"unknown flag --{name}{nearest(f'--{name}', [f'--{one}' for one in _names()])}"


def _configuration(given: dict[str, Any]) -> RunConfig:
    config = preset(given["preset"]) if given["preset"] is not None else RunConfig()
    for name, path in _PATHS.items():
        if given[name] is not None:
            config = set_path(config, path, str(given[name]))
    config = _with_resume(_with_resets(config, given), given)
    for assignment in given["set"]:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--set needs path=value, got '{assignment}'")
        if path.strip() == "preset":
            raise UserError("--set preset would only change the label: use --preset")
        config = set_path(config, path.strip(), text)
    return config


def _with_resets(config: RunConfig, given: dict[str, Any]) -> RunConfig:
    details = [name for name in _RESET_PATHS if given[name] is not None]
    if given["resets"] is False:
        if details:
            raise UserError(f"--{details[0]} contradicts --noresets")
        return dataclasses.replace(config, resets=())
    if not config.resets and (given["resets"] or details):
        config = dataclasses.replace(config, resets=(ResetRule(),))
    for name in details:
        config = set_path(config, _RESET_PATHS[name], given[name])
    return config


def _with_resume(config: RunConfig, given: dict[str, Any]) -> RunConfig:
    if not given["start_from_scratch"]:
        return config
    if given["resume"] not in (None, "never"):
        raise UserError(f"--start_from_scratch contradicts --resume={given['resume']}")
    return dataclasses.replace(config, resume="never")


def _positive(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    number: int = fields.from_text(text, int, f"--{name}")
    if number < 1:
        raise UserError(f"--{name} must be at least 1, got {number}")
    return number

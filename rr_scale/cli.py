"""The command line: check everything, set up the process, train.

Whatever is wrong with the arguments is one line on stderr and exit status 2,
before anything is written. jax starts after the environment of the process
is settled, hence the late imports.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from rr_scale import flags, platform
from rr_scale.arguments import reader_may_leave
from rr_scale.config import RunConfig
from rr_scale.configure import resolve, to_dict
from rr_scale.errors import LaneFailure, UserError
from rr_scale.runfile import open_run
from rr_scale.validation import validate


def main(argv: Sequence[str], single: bool = False) -> int:
    """Runs the command line.

    Args:
      argv: the program's name and its arguments, as `sys.argv`.
      single: whether more than one seed is an error.

    Returns:
      The exit status: 0 done, 1 a lane failed, 2 the user's to mend, or what
      the run itself reports.
    """
    try:
        return _main(argv, single)
    except UserError as error:
        return _fail(error, 2)
    except LaneFailure as error:
        return _fail(error, 1)


def parse(argv: Sequence[str], single: bool = False) -> RunConfig:
    """The valid and resolved configuration that arguments ask for.

    Args:
      argv: the program's name and its arguments, as `sys.argv`.
      single: whether more than one seed is an error.

    Raises:
      UserError: anything that is wrong with them but the environment's name.
    """
    return _checked(flags.read_arguments(argv), single)


def _main(argv: Sequence[str], single: bool) -> int:
    arguments = flags.read_arguments(argv)
    if arguments.help or arguments.list_presets:
        with reader_may_leave():
            print(flags.help_text() if arguments.help else flags.preset_list())
        return 0
    config = _checked(arguments, single)

    from rr_scale.envs.suites import check_name

    check_name(config.env_name)
    if arguments.print_config:
        with reader_may_leave():
            print(json.dumps(to_dict(config), indent=2))
        return 0
    run_file = open_run(config, config.save_dir)
    threads, devices = run_file.recorded_layout()
    num_lanes = config.num_seeds * max(1, len(config.variants))
    platform.prepare(arguments.threads or threads, config.devices or devices, num_lanes)

    from rr_scale.session import run

    status: int = run(config).exit_status
    return status


def _checked(arguments: flags.Arguments, single: bool) -> RunConfig:
    config = arguments.config
    validate(config)
    if single and config.num_seeds != 1:
        raise UserError(
            f"train_single trains one seed, got num_seeds={config.num_seeds}: use train_parallel"
        )
    return resolve(config)


def _fail(error: Exception, status: int) -> int:
    print("error:", " ".join(str(error).split()), file=sys.stderr)
    return status

"""Trains several seeds of one agent in one compiled program.

  python train_parallel.py --env_name cheetah-run --num_seeds 10 --updates_per_step 32

The same command continues a run that was interrupted. `--help` lists all flags.
"""

from __future__ import annotations

import sys

from rr_scale.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))

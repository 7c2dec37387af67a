"""Trains one seed: `train_parallel.py` with `--num_seeds 1`, and nothing else.

  python train_single.py --env_name cheetah-run --updates_per_step 2

The same command continues a run that was interrupted. `--help` lists all flags.
"""

from __future__ import annotations

import sys

from rr_scale.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv, single=True))

"""One page with everything about a set of runs, in one file that needs nothing else."""

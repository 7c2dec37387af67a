"""A run: the loop, evaluation, checkpoints, files."""

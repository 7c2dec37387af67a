"""From a small file to many runs: jobs, launchers, progress. Only jobs start jax."""

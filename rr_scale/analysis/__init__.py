"""From result files to tables and plots. Nothing here imports jax."""

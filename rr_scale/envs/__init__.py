"""Environments, stepped on the host. Nothing here imports jax."""

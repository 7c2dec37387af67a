"""Measurements of speed, memory and start-up: `python scripts/benchmark.py`.

The process that reports never starts jax. Whatever is measured runs in a
process of its own, so that thread pool, host devices and memory are its own.
"""

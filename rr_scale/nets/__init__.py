"""Networks. The only place that knows flax."""

"""What a worker process measures: one module per job, each with a function `measure`."""

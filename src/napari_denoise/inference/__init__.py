"""Run a generator over frames, tiles and stacks."""

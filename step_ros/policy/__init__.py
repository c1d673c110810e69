"""Observations to a chunk of actions: networks, noise schedule, samplers, warm starts, checkpoints, engines."""

"""Observations to a chunk of actions: networks, noise schedule, solvers, warm starts, engines."""

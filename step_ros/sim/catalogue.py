"""The tasks' names, for those who need no world to be built: importing this loads no simulator."""

from __future__ import annotations

ARM_TASKS = ("pick_place", "stack_cube", "pick_either", "round_obstacle")
"""Tasks of the simulated SO-ARM101 (`step_ros.sim.world`)."""
TASK_NAMES = (*ARM_TASKS, "pusht")
"""All tasks (`step_ros.sim.environments`)."""

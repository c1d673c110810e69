"""Opens the world of any task, and the scripted expert that solves it."""

from __future__ import annotations

import numpy as np

from step_ros.sim.catalogue import ARM_TASKS, TASK_NAMES
from step_ros.sim.environment import Environment, MissingSimulatorError, ScriptedExpert, draw_mode
from step_ros.sim.servo import Servo, ServoError

IDEAL_SERVO = "sts3215"


def open_environment(task: str, servo: str | Servo = IDEAL_SERVO) -> Environment:
    """The world of the task `task`; only the simulator that it needs is imported.

    Raises:
        ValueError: unknown task or servo, or a servo for a task without an arm.
        MissingSimulatorError: Push-T without gym-pusht.
    """
    if task in ARM_TASKS:
        from step_ros.sim.world import World

        return World(task, servo)
    if task not in TASK_NAMES:
        raise ValueError(f"task: found {task!r}, accepted: {', '.join(TASK_NAMES)}")
    if servo != IDEAL_SERVO:
        raise ServoError(f"servo: found {servo!r}, accepted: {IDEAL_SERVO}, for {task} has no arm")
    try:
        from step_ros.sim.pusht import PushT
    except ModuleNotFoundError as error:
        raise MissingSimulatorError(
            f"task {task}: found no module {error.name}, accepted: the packages of requirements.txt and "
            "requirements-no-deps.txt (docs/simulation.md)"
        ) from error
    return PushT()


def make_expert(environment: Environment, seed: int) -> ScriptedExpert:
    """The expert for the episode that the environment has just begun; `seed` draws the way it takes.

    Raises:
        UnreachableError: there is no plan for this start.
    """
    rng = np.random.default_rng([seed, 2])
    if environment.name in ARM_TASKS:
        from step_ros.sim.expert import Expert

        return Expert(environment, draw_mode(environment.modes, rng))
    from step_ros.sim.pusht_expert import PushTExpert

    return PushTExpert(environment, rng)

"""Collects scripted demonstrations into a LeRobotDataset: workers simulate and render, one process writes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from step_ros.data.writer import DatasetWriter
from step_ros.sim.demonstrations import Demonstration, demonstrate
from step_ros.sim.environment import STATES, Environment
from step_ros.sim.environments import IDEAL_SERVO, open_environment

TRAINING_SEED = 1_000_000
"""First seed of demonstrations: far from the evaluation's seeds, so that no reported start was trained on."""
OBSERVATIONS = ("images", "states")
"""`images`: every observation. `states`: the vectors alone, so that nothing is rendered."""

_environment: Environment | None = None


class CollectError(Exception):
    """What was asked for cannot be collected; the message says what can."""


def collect(
    task: str,
    episodes: int,
    out: Path,
    seed: int = TRAINING_SEED,
    workers: int = 2,
    noise: float | None = None,
    observations: str = "images",
    servo: str = IDEAL_SERVO,
) -> DatasetWriter:
    """Bring the dataset at `out` to `episodes` episodes; demonstration k starts from `seed + k`.

    A dataset that is there already is continued. Interrupting keeps every episode written so far.

    Args:
        noise: standard deviation of the disturbance in the action's unit; the task's own by default.
        observations: one of OBSERVATIONS.
        servo: as `make_servo` reads it; only for tasks with an arm.

    Raises:
        ValueError: unknown task or servo.
        CollectError: images of a task without cameras, or unknown observations.
        DatasetError: `out` holds something else.
    """
    if observations not in OBSERVATIONS:
        raise CollectError(f"observations: found {observations!r}, accepted: {', '.join(OBSERVATIONS)}")
    environment = open_environment(task, servo)
    try:
        if observations == "images" and not environment.cameras:
            raise CollectError(f"observations: found 'images', accepted: states ({task} has no cameras)")
        instruction, modes = environment.instruction, environment.modes
        noise = environment.demonstration_noise if noise is None else noise
        writer = DatasetWriter(out, environment.fps, **_describe(environment, observations))
    finally:
        environment.close()
    names = STATES if observations == "states" else None
    seeds = range(seed + writer.num_episodes, seed + episodes)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns) as progress:
        bar = progress.add_task(f"collect {task}", total=episodes, completed=writer.num_episodes)
        for shown in _demonstrations(task, servo, seeds, workers, partial(_demonstrate, noise, names)):
            extras = {"seed": shown.seed} | ({"mode": shown.behaviour.mode or ""} if modes else {})
            writer.add_episode(shown.frames, instruction, extras=extras)
            progress.advance(bar)
    return writer


def _demonstrations(
    task: str, servo: str, seeds: range, workers: int, job: partial
) -> Iterator[Demonstration]:
    if not seeds:
        return
    context = multiprocessing.get_context("spawn")
    workers = min(workers, len(seeds))
    with context.Pool(workers, initializer=_open, initargs=(task, servo)) as pool:
        yield from pool.imap(job, seeds)


def _open(task: str, servo: str) -> None:
    global _environment
    _environment = open_environment(task, servo)


def _demonstrate(noise: float, names: tuple[str, ...] | None, seed: int) -> Demonstration:
    assert _environment is not None
    return demonstrate(_environment, seed, noise, names)


def _describe(environment: Environment, observations: str) -> dict:
    """What the writer must know of a demonstration in this environment."""
    vectors = environment.vectors
    features: dict[str, dict] = {
        name: {"dtype": "float32", "shape": (len(vector.names),), "names": list(vector.names)}
        for name, vector in vectors.items()
    }
    if observations == "images":
        environment.reset(TRAINING_SEED)
        images = [f"observation.images.{camera}" for camera in environment.cameras]
        shapes = {name: image.shape for name, image in environment.observation(images).items()}
        features |= {name: {"dtype": "video", "shape": shape} for name, shape in shapes.items()}
    units = {
        name: vector.unit if isinstance(vector.unit, str) else list(vector.unit)
        for name, vector in vectors.items()
    }
    return {"features": features, "units": units, "robot_type": environment.robot}

"""Collects scripted demonstrations into a LeRobotDataset: workers simulate and render, one process writes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from step_ros.control.joints import JOINT_NAMES
from step_ros.data.writer import DatasetWriter
from step_ros.sim.demonstrations import demonstrate
from step_ros.sim.world import CONTROL_RATE, World

TRAINING_SEED = 1_000_000
"""First seed of demonstrations: far from the evaluation's seeds, so that no reported start was trained on."""
DEFAULT_NOISE = 0.015

_world: World | None = None


def collect(
    task: str,
    episodes: int,
    out: Path,
    seed: int = TRAINING_SEED,
    workers: int = 2,
    noise: float = DEFAULT_NOISE,
) -> DatasetWriter:
    """Bring the dataset at `out` to `episodes` episodes; demonstration k starts from `seed + k`.

    A dataset that is there already is continued. Interrupting keeps every episode written so far.

    Raises:
        ValueError: unknown task.
        DatasetError: `out` holds something else.
    """
    with World(task) as world:
        instruction = world.task.instruction
        writer = DatasetWriter(out, CONTROL_RATE, **_describe(world))
    seeds = range(seed + writer.num_episodes, seed + episodes)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns) as progress:
        bar = progress.add_task(f"collect {task}", total=episodes, completed=writer.num_episodes)
        for used_seed, frames in _demonstrations(task, seeds, workers, noise):
            writer.add_episode(frames, instruction, extras={"seed": used_seed})
            progress.advance(bar)
    return writer


def _demonstrations(
    task: str, seeds: range, workers: int, noise: float
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    if not seeds:
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(workers, len(seeds)), initializer=_open_world, initargs=(task,)) as pool:
        yield from pool.imap(partial(_demonstrate, noise), seeds)


def _open_world(task: str) -> None:
    global _world
    _world = World(task)


def _demonstrate(noise: float, seed: int) -> tuple[int, dict[str, np.ndarray]]:
    assert _world is not None
    return demonstrate(_world, seed, noise)


def _describe(world: World) -> dict[str, dict]:
    """The features and units that a demonstration in `world` has."""
    joints = {"dtype": "float32", "shape": (len(JOINT_NAMES),), "names": list(JOINT_NAMES)}
    state = world.task.environment_state(world.object_poses)
    features = {
        "observation.state": joints,
        "action": joints,
        "observation.environment_state": {"dtype": "float32", "shape": state.shape},
    }
    features |= {
        f"observation.images.{camera}": {"dtype": "video", "shape": (*world.image_size, 3)}
        for camera in world.cameras
    }
    units = {
        "observation.state": "rad",
        "action": "rad",
        "observation.environment_state": "m; cosine and sine of 4 yaw",
    }
    return {"features": features, "units": units}

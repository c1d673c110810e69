"""`step-ros eval-expert`: how often the scripted expert solves a task, without disturbances."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.progress import track

from step_ros.evaluation.provenance import provenance
from step_ros.evaluation.statistics import wilson
from step_ros.sim.expert import Expert, UnreachableError
from step_ros.sim.world import World


def evaluate_expert(task: str, out: Path, episodes: int = 100, seed: int = 0) -> dict:
    """Run the expert from the seeds `seed ... seed + episodes - 1`; returns what is written to `out`.

    Raises:
        ValueError: unknown task.
    """
    with World(task) as world:
        rows = [_episode(world, number) for number in track(range(seed, seed + episodes), f"expert {task}")]
    successes = sum(row["success"] for row in rows)
    results = {
        "task": task,
        **provenance(),
        "episodes": len(rows),
        "successes": successes,
        "success_interval_95": wilson(successes, len(rows)),
        "rows": rows,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n")
    Console().print(f"{task}: expert succeeded in {successes} of {len(rows)} episodes")
    return results


def _episode(world: World, seed: int) -> dict[str, object]:
    world.reset(seed)
    try:
        expert = Expert(world)
    except UnreachableError as error:
        return {"seed": seed, "success": False, "ticks": 0, "reason": str(error)}
    ticks = 0
    while not (expert.done or world.success):
        world.step(expert.action())
        ticks += 1
    return {"seed": seed, "success": world.success, "ticks": ticks}

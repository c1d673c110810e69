"""`step-ros eval-expert`: how often the scripted expert solves a task, without disturbances."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from step_ros.evaluation.provenance import provenance
from step_ros.evaluation.statistics import wilson
from step_ros.sim.environment import STATES, Environment, UnreachableError
from step_ros.sim.environments import IDEAL_SERVO, make_expert, open_environment


def evaluate_expert(
    task: str, out: Path, episodes: int = 100, seed: int = 0, servo: str = IDEAL_SERVO
) -> dict:
    """Run the expert from the seeds `seed ... seed + episodes - 1`; returns what is written to `out`.

    `off_command` is how far the worst joint (gripper aside) is from its command at the end of a tick, mean.

    Raises:
        ValueError: unknown task or servo.
    """
    environment = open_environment(task, servo)
    try:
        seeds = range(seed, seed + episodes)
        rows = [_episode(environment, number) for number in track(seeds, f"expert {task}")]
    finally:
        environment.close()
    off = [row["off_command"] for row in rows if "off_command" in row]
    successes = sum(row["success"] for row in rows)
    results = {
        "task": task,
        "servo": servo,
        **provenance(),
        "episodes": len(rows),
        "successes": successes,
        "mean_off_command": float(np.mean(off)) if off else None,
        "success_interval_95": wilson(successes, len(rows)),
        "rows": rows,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n")
    Console().print(f"{task}, {servo}: expert succeeded in {successes} of {len(rows)} episodes")
    return results


def _episode(environment: Environment, seed: int) -> dict[str, object]:
    environment.reset(seed)
    try:
        expert = make_expert(environment, seed)
    except UnreachableError as error:
        return {"seed": seed, "success": False, "ticks": 0, "reason": str(error)}
    seen, off = [environment.observation(STATES)], []
    while not (expert.done or environment.success) and len(seen) <= environment.max_ticks:
        action = expert.action()
        environment.step(action)
        seen.append(environment.observation(STATES))
        # A gripper that holds something is off its command on purpose; nothing disturbs it either.
        off.append(np.abs(action - seen[-1]["observation.state"])[environment.disturbed].max())
    row = {"seed": seed, "success": environment.success, "ticks": len(off), "score": environment.score}
    row["off_command"] = float(np.mean(off))
    if environment.modes:
        behaviour = environment.behaviour(*(np.stack([frame[name] for frame in seen]) for name in STATES))
        row |= {"mode": behaviour.mode, "indecision": behaviour.indecision}
    return row

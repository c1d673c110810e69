"""`step-ros bench seams`: how smooth the set points are, by the way in which chunks are sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from step_ros.evaluation.provenance import provenance
from step_ros.evaluation.seams.reference_motion import (
    BLENDS,
    DISAGREEMENT,
    SINGLE,
    disagreement_table,
    joined,
    sending_table,
)

EPISODE_SECONDS = 10.0
_ONLY_IN_FILE = ("seam_p99", "inside_p99", "messages")
_TITLES = {
    "sending": "A perfect policy: set point against the motion meant (rad/s, s)",
    "disagreement": "Chunks that disagree: velocity jumps from period to period (rad/s)",
    "policy": "A policy in the loop: velocity jumps from period to period (rad/s)",
}


def bench_seams(
    out: Path,
    *,
    seconds: float = 60.0,
    seed: int = 20_000,
    latency: float = 0.08,
    blends: Sequence[float] = BLENDS,
    checkpoint: Path | None = None,
    task: str = "pick_place",
    episodes: int = 5,
    console: Console | None = None,
) -> dict[str, object]:
    """Play every way to send chunks through the internal follower; returns what is written to `out`.

    Args:
        out: JSON file.
        seconds: length of a run without a policy.
        seed: of the disagreement, and of the first episode.
        latency: seconds from an observation until its chunk is sent.
        blends: blend times [s] to compare; 0 is the chunk as it is.
        checkpoint: a policy to run in the simulated world as well.
        task, episodes: with `checkpoint`.
    """
    console = console or Console()
    tables = {
        "sending": sending_table(seconds),
        "disagreement": with_ratios(disagreement_table(seconds, seed, blends, latency)),
    }
    if checkpoint is not None:
        tables["policy"] = with_ratios(
            _policy_table(checkpoint, task, blends, seed, episodes, latency, console)
        )
    settings = {
        "seconds": seconds,
        "seed": seed,
        "latency": latency,
        "disagreement_rad": DISAGREEMENT,
        "checkpoint": None if checkpoint is None else checkpoint.name,
        "task": task,
    }
    results = {"benchmark": "seams", **provenance(), "settings": settings, "tables": tables}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n")
    for name, rows in tables.items():
        console.print(_table(_TITLES[name], rows))
    return results


def with_ratios(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Rows of jumps with `seam_over_inside` and, against the first row, `single_over_seam`."""
    single = rows[0]["seam_max"]
    return [
        row
        | {
            "seam_over_inside": _ratio(row["seam_max"], row["inside_max"]),
            "single_over_seam": _ratio(single, row["seam_max"]),
        }
        for row in rows
    ]


def _ratio(numerator: object, denominator: object) -> float | None:
    return float(numerator) / float(denominator) if numerator and denominator else None


def _policy_table(
    checkpoint: Path,
    task: str,
    blends: Sequence[float],
    seed: int,
    episodes: int,
    latency: float,
    console: Console,
) -> list[dict[str, object]]:
    from step_ros.evaluation.seams.with_policy import policy_table
    from step_ros.policy.policy import load_policy
    from step_ros.sim.world import World

    with World(task) as world, console.status("policy") as status:
        return policy_table(
            world,
            load_policy(checkpoint),
            [SINGLE, *(joined(blend) for blend in blends)],
            seed=seed,
            episodes=episodes,
            latency=latency,
            duration=EPISODE_SECONDS,
            report=status.update,
        )


def _table(title: str, rows: list[dict[str, object]]) -> Table:
    table = Table(title=title)
    columns = [name for name in dict.fromkeys(n for row in rows for n in row) if name not in _ONLY_IN_FILE]
    for name in columns:
        table.add_column(name.replace("_", " "))
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in columns))
    return table


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)

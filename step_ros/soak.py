"""`step-ros bench soak`: many cycles and many absurd messages, to see whether memory or time creeps.

The real node runs in this process and is fed as fast as it takes it (`nodes.fed_node`): first until its
memory has settled, then `cycles` cycles, then `messages` random messages of every kind, and cycles again to
show that it still works.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from step_ros.evaluation.provenance import provenance
from step_ros.nodes.fed_node import Feeder, fed_node
from step_ros.nodes.usage import resident_bytes
from step_ros.paths import share_path

WARM_UP_SHARE = 0.1
"""Of the cycles and of the messages: made first and not measured, as caches and allocators fill."""
WINDOW = 1000
"""Cycles at the beginning and at the end whose median times are compared."""
SAMPLES = 200
CYCLES_AFTER = 10


def bench_soak(
    out: Path,
    *,
    checkpoint: Path | None = None,
    cycles: int = 20_000,
    messages: int = 100_000,
    seed: int = 20_000,
    engine: str = "auto",
    console: Console | None = None,
) -> dict[str, object]:
    """Run the node for long, in little time.

    Ctrl-C ends it early; what was measured by then is written.

    Args:
        out: JSON file to write.
        checkpoint: folder of a policy; the shipped one by default.
        cycles: to measure, > 0.
        messages: random ones of each kind.
        seed: of the random messages.
        engine: what runs the networks.
        console: where progress and table go.

    Returns:
        What is written to `out`: resident memory before, after and as growth in percent, for cycles and for
        messages, and the median cycle time of the first and last thousand cycles.

    Raises:
        FedNodeError: the node cannot be configured, or stops making cycles.
    """
    console = console or Console()
    # The node is its own robot: nobody else may be on its graph.
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    checkpoint = checkpoint or share_path("models", "policies", "pick_place")
    with fed_node(checkpoint, engine=engine) as (node, feeder):
        soak = _Soak(feeder, console)
        measured = soak.cycles(cycles) | soak.messages(messages, seed)
        engine, holds = node._loaded.policy.engine, node._runner.hold_reason
    result = {
        "policy": checkpoint.name,
        "engine": engine,
        "seed": seed,
        **measured,
        "interrupted": soak.interrupted,
        "hold_reason_at_the_end": holds or "",
        **provenance(),
    }
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    console.print(_table(result))
    console.print(f"Written to {out}", soft_wrap=True)
    return result


class _Soak:
    """Runs the phases, with a bar for each, until one is interrupted."""

    def __init__(self, feeder: Feeder, console: Console) -> None:
        self._feeder, self._console = feeder, console
        self.interrupted = False

    def cycles(self, count: int) -> dict[str, object]:
        """`count` cycles, after a tenth of that to settle."""
        times: list[float] = []
        self._repeat("settling", _settling(count), self._feeder.cycle)
        memory = self._repeat("cycles", count, lambda: times.append(self._feeder.cycle()))
        window = min(WINDOW, max(len(times) // 2, 1))
        ends = times[:window], times[-window:]
        first, last = (1e3 * float(np.median(end)) if times else None for end in ends)
        return {
            "cycles": {
                "made": len(times),
                **memory,
                "window": window,
                "first_ms": first and round(first, 3),
                "last_ms": last and round(last, 3),
                "drift_percent": round(100 * (last / first - 1), 2) if times else None,
            }
        }

    def messages(self, count: int, seed: int) -> dict[str, object]:
        """`count` random messages of each kind, after a tenth of that to settle; then the robot is itself."""
        feeder = self._feeder
        random = feeder.random_messages(seed)
        self._repeat("settling", _settling(count), lambda: feeder.feed_random(random))
        before = feeder.random_fed
        memory = self._repeat("random messages", count, lambda: feeder.feed_random(random))
        fed = feeder.random_fed - before
        feeder.restart()
        self._repeat("cycles after", CYCLES_AFTER, feeder.cycle)
        return {"random_messages": {"of_each_kind": fed, **memory, "alive_after": True}}

    def _repeat(self, name: str, count: int, action: Callable[[], object]) -> dict[str, object]:
        """Do something `count` times; what that did to the memory of this process."""
        done, samples = 0, [_megabytes()]
        if self.interrupted:
            count = 0
        with self._progress() as progress:
            task = progress.add_task(name, total=count)
            try:
                for done in range(1, count + 1):
                    action()
                    if done % max(count // SAMPLES, 1) == 0:
                        samples.append(_megabytes())
                        progress.update(task, completed=done)
            except KeyboardInterrupt:
                self.interrupted = True
        return {
            "memory_mb_before": round(samples[0], 1),
            "memory_mb_after": round(samples[-1], 1),
            "memory_mb_largest": round(max(samples), 1),
            "memory_growth_percent": round(100 * (samples[-1] / samples[0] - 1), 3),
        }

    def _progress(self) -> Progress:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        return Progress(*columns, console=self._console)


def _settling(count: int) -> int:
    return max(int(WARM_UP_SHARE * count), 1)


def _megabytes() -> float:
    return resident_bytes(os.getpid()) / 1e6


def _table(result: dict[str, object]) -> Table:
    cycles, random = result["cycles"], result["random_messages"]
    title = f"/step on {result['policy']}, {result['engine']}" + (
        ", interrupted" if result["interrupted"] else ""
    )
    table = Table("", "count", "MB before", "MB after", "growth", "first ms", "last ms", "drift", title=title)
    rows = (("cycles", cycles, cycles["made"]), ("random messages", random, random["of_each_kind"]))
    for name, row, count in rows:
        memory = (f"{row['memory_mb_before']:.1f}", f"{row['memory_mb_after']:.1f}")
        growth = f"{row['memory_growth_percent']:+.2f} %"
        times = (
            [f"{row['first_ms']:.2f}", f"{row['last_ms']:.2f}", f"{row['drift_percent']:+.1f} %"]
            if row.get("first_ms")
            else []
        )
        table.add_row(name, str(count), *memory, growth, *times)
    return table

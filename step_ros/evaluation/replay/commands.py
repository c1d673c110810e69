"""`step-ros replay`: a bag and a checkpoint in, JSON and a page out, and a verdict for whoever wants one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from step_ros.evaluation.provenance import provenance
from step_ros.evaluation.replay.errors import ReplayError
from step_ros.evaluation.replay.judge import compare, judge
from step_ros.evaluation.replay.report import write_replay_report
from step_ros.evaluation.replay.run import Replay, ReplayOptions, replay
from step_ros.evaluation.replay.sweep import sweep
from step_ros.evaluation.variants import parse_variant


def run_replay(
    bag: Path,
    checkpoint: Path,
    out: Path,
    options: ReplayOptions,
    *,
    sweep_stalls: bool = False,
    other: Path | None = None,
    gate: Path | None = None,
) -> bool:
    """Replay a bag; write `replay.json` and `replay.html` into `out`.

    Args:
        sweep_stalls: also find where the stall rule would fire, for a range of thresholds.
        other: JSON of an earlier replay to compare with.
        gate: YAML file of thresholds.

    Returns:
        Whether every threshold is kept; True without `gate`.

    Raises:
        BagError, PolicyError, ReplayError: what cannot be used, and why.
    """
    console = Console()
    with Progress(TextColumn("{task.description}"), TimeElapsedColumn(), console=console) as bar:
        task = bar.add_task("replay")

        def show(seconds: float) -> None:
            bar.update(task, description=f"replay: {seconds:.0f} s of the recording")

        done = replay(bag, checkpoint, options, show)
        results = {**done.results, **provenance()}
        if sweep_stalls:
            results["sweep"] = _sweep(bag, checkpoint, options, show)
    verdicts = judge(results, gate) if gate else []
    if gate:
        results["gate"] = [verdict.as_dict() for verdict in verdicts]
    if other:
        results["comparison"] = compare(results, other)
    out.mkdir(parents=True, exist_ok=True)
    (out / "replay.json").write_text(json.dumps(results, indent=1) + "\n")
    deadline = 1e3 * done.action_steps / done.traces.config.fps
    write_replay_report(out / "replay.html", results, done.traces, done.milliseconds, deadline)
    _print(console, results, out)
    for verdict in verdicts:
        if not verdict.passed:
            console.print(
                f"[red]broken[/]: {verdict.where} {verdict.name} is {verdict.found}, "
                f"allowed {verdict.low} to {verdict.high}",
                soft_wrap=True,
            )
    return all(verdict.passed for verdict in verdicts)


def _sweep(
    bag: Path, checkpoint: Path, options: ReplayOptions, show: Callable[[float], None]
) -> dict[str, object]:
    """Distances of the first method that has the rule, with the rule off, and the sweep over them."""
    label = next((m for m in options.methods if parse_variant(m).method == "step"), None)
    if label is None:
        raise ReplayError(f"sweep: found methods {', '.join(options.methods)}; accepted: step among them")
    quiet = f"{label}{',' if ':' in label else ':'}stall_threshold=0"
    alone = dataclasses.replace(options, methods=[quiet], reference="", cold_twins=False)
    done: Replay = replay(bag, checkpoint, alone, show)
    in_force = parse_variant(label).settings.get("stall_threshold", done.default_settings.stall_threshold)
    return {"method": label, "in_force": in_force, **sweep(done.distances[quiet])}


def _print(console: Console, results: dict, out: Path) -> None:
    table = Table(
        "method", "error", "to reference", "seam p95", "stalls", "ms p50", "p95", "late", title="replay"
    )
    for label, m in results["methods"].items():
        cells = (m["error"]["rms"], m["agreement"]["rms"], m["seam_jump"]["p95"])
        latency = m["latency_ms"]
        table.add_row(
            label,
            *("-" if value is None else f"{value:.4f}" for value in cells),
            str(m["stalls"]),
            f"{latency['p50']:.1f}",
            f"{latency['p95']:.1f}",
            f"{100 * m['late_share']:.1f} %",
        )
    console.print(table)
    console.print(
        f"{results['cycles']} cycles of {results['recorded_seconds']:.1f} s, replayed "
        f"{results['times_real_time']:.1f} times as fast. See {out / 'replay.html'}",
        soft_wrap=True,
    )

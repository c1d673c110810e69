"""`step-ros eval`: variants of a policy on shared seeds, in parallel and resumable, to one JSON file."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from step_ros.evaluation.provenance import provenance
from step_ros.evaluation.rollout import EpisodeResult, run_episode
from step_ros.evaluation.statistics import wilson
from step_ros.evaluation.variants import Variant, parse_variant
from step_ros.policy.errors import ConfigError
from step_ros.policy.policy import Policy, load_policy
from step_ros.sim.environment import Environment
from step_ros.sim.environments import open_environment

SAVE_EVERY = 10


def evaluate(
    task: str,
    checkpoint: Path,
    methods: Sequence[str],
    episodes: int,
    out: Path,
    seed: int = 0,
    workers: int = 2,
    engine: str = "auto",
    servo: str = "sts3215",
    threads: int = 1,
    precision: str = "fp32",
) -> dict:
    """Run every variant from the seeds `seed ... seed + episodes - 1`; returns what is written to `out`.

    Episodes that `out` already holds for the same task, checkpoint, engine, precision and servo are not run
    again.

    Raises:
        CheckpointError, ConfigError: a checkpoint, method or setting that cannot be used.
    """
    variants = [parse_variant(text) for text in methods]
    for variant in variants:
        load_policy(checkpoint, variant.method, engine="torch", **variant.settings)
    # The folder's name and not its path: results are published, and paths belong to one machine.
    run = {
        "task": task,
        "checkpoint": checkpoint.resolve().name,
        "engine": engine,
        "precision": precision,
        "servo": servo,
    }
    done = _earlier_episodes(out, run)
    jobs = [
        (variant, episode_seed)
        for variant in variants
        for episode_seed in range(seed, seed + episodes)
        if episode_seed not in done.setdefault(variant.label, {})
    ]
    # With nothing to run, the file keeps saying where its rows come from.
    results: dict = {} if jobs else json.loads(out.read_text())
    for finished, (label, result) in enumerate(_run(jobs, run, checkpoint, workers, threads), start=1):
        done[label][result.seed] = dataclasses.asdict(result)
        if finished % SAVE_EVERY == 0 or finished == len(jobs):
            results = _write(out, run, variants, done)
    _print(results)
    return results


def summarise(rows: Sequence[dict]) -> dict:
    """Success with its Wilson interval, and medians over episodes."""
    successes = sum(row["success"] for row in rows)
    return {
        "episodes": len(rows),
        "successes": successes,
        "success_rate": successes / len(rows),
        "success_interval_95": wilson(successes, len(rows)),
        "mean_score": float(np.mean([row.get("score", row["success"]) for row in rows])),
        "mean_ticks": float(np.mean([row["ticks"] for row in rows])),
        "nfe_per_cycle": float(np.mean([row["nfe_per_cycle"] for row in rows])),
        "policy_ms_median": float(np.median([row["policy_ms"] for row in rows])),
        "stalls_per_episode": float(np.mean([row["stalls"] for row in rows])),
        "jerk": float(np.mean([row["jerk"] for row in rows])),
        **_summarise_ways(rows),
    }


def _summarise_ways(rows: Sequence[dict]) -> dict:
    """How the tasks with several ways were done; empty where no way can be told."""
    told = [row for row in rows if row.get("mode")]
    if not told:
        return {}
    modes = [row["mode"] for row in told]
    return {
        "mode_share": {mode: modes.count(mode) / len(modes) for mode in sorted(set(modes))},
        "indecision_per_episode": float(np.mean([row["indecision"] for row in told])),
        "mode_switches_per_episode": float(np.mean([row["mode_switches"] for row in told])),
    }


def _run(
    jobs: list[tuple[Variant, int]], run: dict, checkpoint: Path, workers: int, threads: int
) -> Iterable[tuple[str, EpisodeResult]]:
    if not jobs:
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    arguments = [(variant, episode_seed, run, str(checkpoint), threads) for variant, episode_seed in jobs]
    with Progress(*columns) as progress, multiprocessing.get_context("spawn").Pool(workers) as pool:
        bar = progress.add_task("eval", total=len(jobs))
        for label, result in pool.imap_unordered(_episode, arguments):
            progress.update(bar, advance=1, description=label)
            yield label, result


def _episode(arguments: tuple[Variant, int, dict, str, int]) -> tuple[str, EpisodeResult]:
    variant, episode_seed, run, checkpoint, threads = arguments
    world = _world(run["task"], run["servo"])
    policy = _policy(checkpoint, run["engine"], run["precision"], threads)
    policy.update(variant.method, **{**dataclasses.asdict(policy.config.settings()), **variant.settings})
    policy.warm_up()
    return variant.label, run_episode(world, policy, episode_seed)


@cache
def _world(task: str, servo: str) -> Environment:
    return open_environment(task, servo)


@cache
def _policy(checkpoint: str, engine: str, precision: str, threads: int) -> Policy:
    return load_policy(checkpoint, method="ddim", engine=engine, precision=precision, threads=threads)


def _earlier_episodes(out: Path, run: dict) -> dict[str, dict[int, dict]]:
    if not out.exists():
        return {}
    try:
        # Files from before there was a choice of precision do not name it.
        earlier = {"precision": "fp32", **json.loads(out.read_text())}
        found = {name: earlier[name] for name in run}
        rows = {label: entry["episodes"] for label, entry in earlier["methods"].items()}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ConfigError("content", repr(error), "the result of an earlier `step-ros eval`", out) from None
    if found != run:
        raise ConfigError("run", found, f"{run}; choose another file", out)
    return {label: {row["seed"]: row for row in episodes} for label, episodes in rows.items()}


def _write(out: Path, run: dict, variants: Sequence[Variant], done: dict[str, dict[int, dict]]) -> dict:
    settings = {
        variant.label: {"method": variant.method, "settings": variant.settings} for variant in variants
    }
    methods = {}
    for label, by_seed in done.items():
        rows = [by_seed[episode_seed] for episode_seed in sorted(by_seed)]
        if rows:
            methods[label] = {**settings.get(label, {}), "summary": summarise(rows), "episodes": rows}
    results = {**run, **provenance(), "methods": methods}
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_suffix(".part")
    part.write_text(json.dumps(results, indent=1) + "\n")
    part.replace(out)
    return results


def _print(results: dict) -> None:
    table = Table(
        "method", "success", "95 % interval", "ticks", "NFE", "ms a chunk", "jerk", title=results["task"]
    )
    for label, entry in results["methods"].items():
        summary = entry["summary"]
        low, high = summary["success_interval_95"]
        table.add_row(
            label,
            f"{summary['successes']}/{summary['episodes']}",
            f"{100 * low:.0f} to {100 * high:.0f} %",
            f"{summary['mean_ticks']:.0f}",
            f"{summary['nfe_per_cycle']:.1f}",
            f"{summary['policy_ms_median']:.1f}",
            f"{summary['jerk']:.4f}",
        )
    Console().print(table)

"""`step-ros eval`: variants of a policy on shared seeds, in parallel and resumable, to one JSON file."""

from __future__ import annotations

import dataclasses
import multiprocessing
import time
from collections.abc import Iterable, Sequence
from functools import cache, partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from step_ros.evaluation.agreement import compare_with_ddpm
from step_ros.evaluation.provenance import provenance
from step_ros.evaluation.rollout import EpisodeResult, run_episode
from step_ros.evaluation.runs import DDPM, RunFile, fingerprint
from step_ros.evaluation.variants import Variant, checkpoint_folders, parse_variant
from step_ros.policy.errors import ConfigError
from step_ros.policy.policy import Policy, load_policy
from step_ros.sim.environment import Environment
from step_ros.sim.environments import open_environment

SAVE_SECONDS = 10.0
"""The file is written whole, and in a large one that takes as long as an episode."""
_worlds: dict[tuple[str, str], Environment] = {}
"""Open in this process."""
_in_force: dict[Policy, Variant] = {}
"""What the policies of this process last ran: making one ready again costs as much as half an episode."""
REFERENCE = Variant(DDPM, "ddpm", {})


@dataclasses.dataclass(frozen=True)
class Job:
    """One episode of one variant, as a worker process is told of it."""

    variant: Variant
    seed: int
    checkpoint: str
    run: dict
    threads: int


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
    baseline: str | None = None,
    agreement: int = 0,
    max_ticks: int | None = None,
    max_minutes: float | None = None,
) -> dict:
    """Run every variant from the seeds `seed ... seed + episodes - 1`; returns what is written to `out`.

    Episodes that `out` already holds for the same task, checkpoint, engine, precision and servo are not run
    again.

    Args:
        baseline: the variant that differences are taken to; by default `ddpm`, where it is among them.
        agreement: compare chunks with DDPM's on the observations of so many episodes, the first of the run.
        max_ticks: ends episodes earlier than the task does.
        max_minutes: stop after so long; what has been run is kept, and the next call goes on.

    Raises:
        CheckpointError, ConfigError: a checkpoint, method or setting that cannot be used.
    """
    variants = [parse_variant(text) for text in methods]
    folders = checkpoint_folders(variants, checkpoint)
    run = {
        "task": task,
        "checkpoint": checkpoint.resolve().name,
        "engine": engine,
        "precision": precision,
        "servo": servo,
        "max_ticks": max_ticks,
    }
    described = {variant.label: _described(variant, checkpoint) for variant in variants}
    file = RunFile(out, run, {name: fingerprint(path) for name, path in folders.items()}, described)
    file.read()
    baseline = _baseline(baseline, file.methods)

    def job(variant: Variant, episode_seed: int) -> Job:
        return Job(variant, episode_seed, str(variant.checkpoint or checkpoint), run, threads)

    jobs = [
        job(variant, episode_seed)
        for variant in variants
        for episode_seed in range(seed, seed + episodes)
        if episode_seed not in file.episodes.setdefault(variant.label, {})
    ]
    refining = [variant for variant in variants if variant.label != DDPM]
    compared = _uncompared(file, refining, range(seed, seed + min(agreement, episodes)))
    if jobs or compared:
        # With nothing to run, the file keeps saying where its rows come from.
        file.head = provenance()
    file.head["observations"] = _observations(checkpoint)
    deadline = time.monotonic() + 60 * max_minutes if max_minutes else float("inf")
    commit = {"commit": file.head.get("commit")}
    saved = time.monotonic()
    try:
        for label, result in _run(jobs, workers):
            file.episodes[label][result.seed] = dataclasses.asdict(result) | commit
            if time.monotonic() > saved + SAVE_SECONDS:
                file.write(baseline)
                saved = time.monotonic()
            if time.monotonic() > deadline:
                break
        for episode_seed in compared:
            if time.monotonic() > deadline:
                break
            floor, rows = compare_with_ddpm(
                _world(task, servo),
                partial(_policy_for, job(REFERENCE, episode_seed)),
                [(variant.label, partial(_policy_for, job(variant, episode_seed))) for variant in refining],
                episode_seed,
                max_ticks,
            )
            file.floor[episode_seed] = floor | commit
            for label, row in rows.items():
                file.agreement.setdefault(label, {})[episode_seed] = row | commit
            file.write(baseline)
    finally:
        _close_worlds()
    results = file.write(baseline)
    _print(results)
    return results


def _described(variant: Variant, checkpoint: Path) -> dict:
    """What is stored of a variant: every setting that was in force, given or default."""
    folder = variant.checkpoint or checkpoint
    policy = load_policy(folder, variant.method, engine="torch", **variant.settings)
    return {
        "method": variant.method,
        "checkpoint": folder.resolve().name,
        "settings": variant.settings,
        "in_force": policy.settings.in_force(),
    }


def _observations(checkpoint: Path) -> str:
    config = load_policy(checkpoint, "ddim", engine="torch").config
    return "images" if config.image_names else "states"


def _baseline(asked: str | None, known: dict[str, dict]) -> str | None:
    if asked is None:
        return DDPM if DDPM in known else None
    label = parse_variant(asked).label
    if label not in known:
        raise ConfigError("baseline", asked, "one of the methods: " + ", ".join(known))
    return label


def _uncompared(file: RunFile, variants: Sequence[Variant], seeds: range) -> range:
    """The episodes whose chunks are to be compared with DDPM's: all, if one variant lacks one of them.

    The rows hold times too, and times of different sittings are of a differently busy machine.
    """
    complete = all(
        seed in file.floor and all(seed in file.agreement.get(v.label, {}) for v in variants)
        for seed in seeds
    )
    return range(0) if complete else seeds


def _run(jobs: list[Job], workers: int) -> Iterable[tuple[str, EpisodeResult]]:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns) as progress:
        bar = progress.add_task("eval", total=len(jobs))
        for label, result in _results(jobs, workers):
            progress.update(bar, advance=1, description=label)
            yield label, result


def _results(jobs: list[Job], workers: int) -> Iterable[tuple[str, EpisodeResult]]:
    """One worker is this process itself: it starts at once."""
    if workers == 1 or not jobs:
        yield from map(_episode, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(_episode, jobs)


def _episode(job: Job) -> tuple[str, EpisodeResult]:
    world = _world(job.run["task"], job.run["servo"])
    return job.variant.label, run_episode(world, _policy_for(job), job.seed, job.run["max_ticks"])


def _policy_for(job: Job) -> Policy:
    """The policy with the job's variant in force, compiled."""
    policy = _policy(job.checkpoint, job.run["engine"], job.run["precision"], job.threads)
    if _in_force.get(policy) != job.variant:
        settings = {**dataclasses.asdict(policy.config.settings()), **job.variant.settings}
        policy.update(job.variant.method, **settings)
        policy.warm_up()
        _in_force[policy] = job.variant
    return policy


def _world(task: str, servo: str) -> Environment:
    if (task, servo) not in _worlds:
        _worlds[task, servo] = open_environment(task, servo)
    return _worlds[task, servo]


def _close_worlds() -> None:
    """Free what renders: left to the interpreter's end, that complains."""
    for world in _worlds.values():
        world.close()
    _worlds.clear()


@cache
def _policy(checkpoint: str, engine: str, precision: str, threads: int) -> Policy:
    return load_policy(checkpoint, method="ddim", engine=engine, precision=precision, threads=threads)


def _print(results: dict) -> None:
    table = Table(
        "method",
        "success",
        "95 % interval",
        f"minus {results['baseline']}" if results["baseline"] else "difference",
        "ticks",
        "NFE",
        "ms a chunk",
        "to DDPM",
        title=results["task"],
    )
    for label, entry in results["methods"].items():
        summary = entry["summary"]
        low, high = summary["success_interval_95"]
        table.add_row(
            label,
            f"{summary['successes']}/{summary['episodes']}",
            f"{100 * low:.0f} to {100 * high:.0f} %",
            _difference(summary.get("difference")),
            f"{summary['mean_ticks']:.0f}",
            f"{summary['nfe_per_cycle']:.1f}",
            f"{summary['policy_ms_median']:.1f}",
            f"{summary['chunk_distance']:.3f}" if "chunk_distance" in summary else "",
        )
    Console().print(table)


def _difference(found: dict | None) -> str:
    if not found:
        return ""
    low, high = found["success_interval_95"]
    return f"{100 * found['success']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"

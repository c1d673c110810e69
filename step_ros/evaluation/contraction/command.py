"""`step-ros bench contraction`: where the reverse process brings chunks together, on observed situations."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from step_ros.evaluation.contraction.figure import contraction_figure
from step_ros.evaluation.contraction.measure import KINDS, LEVELS, Row, level_rows, ratio_rows
from step_ros.evaluation.provenance import provenance
from step_ros.evaluation.rollout import run_episode
from step_ros.evaluation.runs import fingerprint, write_json
from step_ros.policy.policy import load_policy
from step_ros.policy.probe import Probe
from step_ros.sim.environments import open_environment

Window = Mapping[str, np.ndarray]


def bench_contraction(
    out: Path,
    *,
    task: str,
    checkpoint: Path,
    episodes: int,
    observations: int,
    seed: int = 0,
    image: Path | None = None,
    console: Console | None = None,
) -> dict[str, object]:
    """Measure under `observations` of each of `episodes` rollouts; returns what is written to `out`.

    Args:
        out: JSON file: means over the observations, and how many of them contract.
        task, checkpoint: whose rollouts, with the checkpoint's usual method.
        seed: of the first episode.
        image: where to draw it.
    """
    console = console or Console()
    probe = Probe(checkpoint)
    factors: list[Row] = []
    ratios: list[Row] = []
    windows = list(_windows(task, checkpoint, range(seed, seed + episodes), observations))
    for number, window in enumerate(track(windows, "contraction", console=console)):
        rng = np.random.default_rng([seed, number])
        probe.look(window)
        states, chunk = probe.ddpm_path(seed + number)
        factors += level_rows(probe, states, rng)
        ratios += ratio_rows(probe, states, chunk, rng)
    levels = _mean(factors, ("solver", "level"), (*KINDS, "largest"))
    eq18 = _mean(ratios, ("solver", "steps", "entry", "kind", "distance"), ("ratio", "to_ddpm"))
    results = {
        "benchmark": "contraction",
        **provenance(),
        "settings": {
            "task": task,
            "checkpoint": checkpoint.resolve().name,
            "weights": fingerprint(checkpoint)["weights"],
            "prediction_type": probe.config.prediction_type,
            "observations": len(windows),
            "episodes": episodes,
            "seed": seed,
        },
        "levels": levels,
        "products": _products(levels),
        "eq18": eq18,
    }
    write_json(out, results)
    if image is not None:
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(contraction_figure(results))
    return results


def _windows(task: str, checkpoint: Path, seeds: Sequence[int], count: int) -> Iterator[Window]:
    """`count` windows of each episode, evenly spread over it."""
    policy, world = load_policy(checkpoint), open_environment(task)
    try:
        for seed in seeds:
            seen: list[Window] = []
            run_episode(world, policy, seed, watch=lambda window, _, seen=seen: seen.append(window))
            chosen = np.unique(np.linspace(0, len(seen) - 1, count).astype(int))
            yield from (seen[index] for index in chosen)
    finally:
        world.close()


def _mean(rows: Sequence[Row], keys: Sequence[str], values: Sequence[str]) -> list[Row]:
    """Rows of one kind together: means, 95th percentiles, and the share of observations below 1."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    found = []
    for key, group in groups.items():
        entry: Row = dict(zip(keys, key, strict=True))
        for name in values:
            known = np.array([row[name] for row in group if row[name] is not None], float)
            if known.size:
                entry[name] = float(known.mean())
                entry[f"{name}_p95"] = float(np.percentile(known, 95))
                entry[f"{name}_below_1"] = float(np.mean(known < 1.0))
        found.append(entry)
    return found


def _products(levels: Sequence[Row]) -> list[Row]:
    """The right side of Eq. 18 from every level in `LEVELS`: the product of the factors of all levels below
    and at it, those between the measured ones interpolated in their logarithm."""
    found = []
    for solver, kind in itertools.product(
        dict.fromkeys(row["solver"] for row in levels), (*KINDS, "largest")
    ):
        mine = {row["level"]: row[kind] for row in levels if row["solver"] == solver}
        every = np.arange(max(mine) + 1)
        logs = np.interp(every, list(mine), np.log(np.maximum(list(mine.values()), 1e-12)))
        product = np.exp(np.cumsum(logs))
        found += [
            {"solver": solver, "kind": kind, "entry": level, "product": float(product[level])}
            for level in LEVELS
            if level in mine
        ]
    return found

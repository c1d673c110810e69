"""`step-ros search`: which noise levels, or which of some variants, do best, on tuning seeds only.

Halving in rounds: all candidates run few episodes, the better part goes on to more, until the last one. Every
round continues the episodes of the one before in one file, so a search that was interrupted goes on.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from step_ros.evaluation.commands import evaluate
from step_ros.evaluation.runs import read_run, write_json
from step_ros.evaluation.variants import parse_variant
from step_ros.policy.errors import ConfigError

TUNING_SEED = 20_000
"""Seeds below are for results only: what was searched on them could not be reported on them."""
HIGHEST = (99, 95, 90, 85, 80, 75, 70, 60, 50)
LOWEST = (60, 50, 40, 30, 25, 20, 10, 5, 0)
BENDS = (0.7, 1.0, 1.5, 2.0)
"""Levels between the highest and the lowest lie along this power of a straight line."""
ROUNDS = (8, 24, 72)
KEPT = 1 / 3
LEAST_KEPT = 4


def candidates(
    steps: int, highest: Sequence[int] = HIGHEST, lowest: Sequence[int] = LOWEST
) -> list[tuple[int, ...]]:
    """Decreasing lists of `steps` levels, each once.

    One step: every level. Two: every pair. More: straight and bent lines between every pair.
    """
    if steps == 1:
        return [(level,) for level in sorted({*highest, *lowest}, reverse=True)]
    lines = (
        tuple(round(low + (top - low) * (1 - k / (steps - 1)) ** bend) for k in range(steps))
        for top, low, bend in itertools.product(highest, lowest, BENDS if steps > 2 else (1.0,))
    )
    falling = (levels for levels in lines if all(b < a for a, b in itertools.pairwise(levels)))
    return list(dict.fromkeys(falling))


def search(
    task: str,
    checkpoint: Path,
    out: Path,
    steps: int = 2,
    method: str = "ddim",
    highest: Sequence[int] | None = None,
    lowest: Sequence[int] | None = None,
    among: Sequence[str] | None = None,
    rounds: Sequence[int] | None = None,
    seed: int = TUNING_SEED,
    workers: int = 2,
    engine: str = "auto",
    threads: int = 1,
    max_ticks: int | None = None,
) -> dict:
    """Search; returns what is written to `out`: a run of `evaluate`, and `search` with its rounds and `best`.

    Args:
        method: variant whose `timesteps`, `steps` of them, are searched.
        highest, lowest: levels that a list may begin and end with; HIGHEST and LOWEST by default.
        among: search among these variants instead.
        rounds: episodes of every candidate that is still in, growing; ROUNDS by default.

    Raises:
        ConfigError: a seed below the tuning seeds, rounds that do not grow, or no candidate.
    """
    if seed < TUNING_SEED:
        raise ConfigError("seed", seed, f"at least {TUNING_SEED}: lower seeds are for results only")
    highest, lowest, rounds = highest or HIGHEST, lowest or LOWEST, rounds or ROUNDS
    if any(later <= earlier for earlier, later in itertools.pairwise(rounds)):
        raise ConfigError("rounds", tuple(rounds), "growing numbers of episodes")
    words = list(among or ()) or [
        _with_timesteps(method, levels) for levels in candidates(steps, highest, lowest)
    ]
    if not words:
        raise ConfigError("highest, lowest", (tuple(highest), tuple(lowest)), f"levels for {steps} steps")
    finished = []
    for number, episodes in enumerate(rounds):
        results = evaluate(
            task,
            checkpoint,
            words,
            episodes,
            out,
            seed,
            workers,
            engine,
            threads=threads,
            max_ticks=max_ticks,
        )
        summaries = {word: results["methods"][parse_variant(word).label]["summary"] for word in words}
        ranked = sorted(words, key=lambda word: _rank(summaries[word]))
        last = number == len(rounds) - 1
        words = ranked[: 1 if last else max(LEAST_KEPT, math.ceil(KEPT * len(ranked)))]
        finished.append({"episodes": episodes, "candidates": len(ranked), "kept": words})
    found = read_run(out) | {"search": {"rounds": finished, "best": words[0]}}
    write_json(out, found)
    Console().print(f"best of {finished[0]['candidates']}: {words[0]}")
    return found


def _with_timesteps(method: str, levels: Sequence[int]) -> str:
    return f"{method}{',' if ':' in method else ':'}timesteps={'/'.join(map(str, levels))}"


def _rank(summary: Mapping) -> tuple[float, float, float]:
    """Most successes first, then the higher score, then the shorter episodes."""
    return -summary["success_rate"], -summary["mean_score"], summary["mean_ticks"]

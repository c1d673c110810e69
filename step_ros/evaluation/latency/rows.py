"""From timed cycles to a row of the benchmark: percentiles by part, and the machine's limit beside them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from step_ros.evaluation.latency.plan import Candidate, Case

PARTS = ("encode", "predict", "denoise", "post", "rest", "total")
"""`rest` is what lies between the others: the warm start's arithmetic and checks."""
BYTES_PER_WEIGHT = {"fp32": 4, "bf16": 2, "int8": 1}


def percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """Minimum and 50th, 95th, 99th percentile; of few values the upper ones are close to the largest."""
    p50, p95, p99 = np.percentile(milliseconds, [50, 95, 99])
    return {"min": float(min(milliseconds)), "p50": float(p50), "p95": float(p95), "p99": float(p99)}


def complete(cycle: Mapping[str, float], scale: float) -> dict[str, float]:
    """A cycle's `PARTS`, with the time of a partly run denoising loop multiplied by `scale`."""
    denoise = cycle["denoise"] * scale
    named = cycle["encode"] + cycle["predict"] + cycle["denoise"] + cycle["post"]
    total = cycle["total"] - cycle["denoise"] + denoise
    return {**cycle, "denoise": denoise, "rest": max(0.0, cycle["total"] - named), "total": total}


def work(candidate: Candidate, case: Case, n_obs_steps: int) -> dict[str, int]:
    """How often a cycle evaluates each part of `policy.cost.network_costs`.

    This package encodes one new frame per camera and keeps the features of the others; a plain loop encodes
    its whole window; LeRobot's cycle is given the features.
    """
    encodings = {"policy": 1, "diffusers": n_obs_steps, "lerobot": 0}[candidate.kind]
    return {
        "encode": encodings,
        "condition": min(1, case.nfe),
        "denoise": case.nfe,
        "predict": case.aux_nfe,
    }


def footprint(parts: Mapping[str, Mapping[str, int]], precision: str) -> int:
    """Bytes of all weights that a cycle reads at least once."""
    return sum(part["parameters"] for part in parts.values()) * BYTES_PER_WEIGHT[precision]


def limits(
    parts: Mapping[str, Mapping[str, int]],
    counts: Mapping[str, int],
    peak: Mapping[str, float],
    precision: str,
) -> dict[str, float]:
    """Milliseconds that a cycle takes at least: for each evaluation the longer of its arithmetic at the
    machine's peak and of reading its weights, with the peaks measured at this footprint and precision."""

    def least(part: str) -> float:
        if not counts[part]:
            return 0.0
        arithmetic = parts[part]["flops"] / (peak["gflops"] * 1e6)
        reading = parts[part]["parameters"] * BYTES_PER_WEIGHT[precision] / (peak["gbps"] * 1e6)
        return counts[part] * max(arithmetic, reading)

    by_part = {"encode": least("encode"), "predict": least("predict")}
    by_part["denoise"] = least("condition") + least("denoise")
    return {**by_part, "total": sum(by_part.values())}


def row(
    candidate: Candidate,
    case: Case,
    bursts: Sequence[Sequence[Mapping[str, float]]],
    evaluations: int,
    size: Mapping[str, object],
    peak: Mapping[str, float],
) -> dict[str, object]:
    """One row of the results.

    Args:
        candidate, case: what ran.
        bursts: timed cycles by round, milliseconds by part.
        evaluations: denoiser evaluations in a timed cycle; fewer than the case's mean an estimate.
        size: what `MachineWorker.prepare` returned.
        peak: `gflops` and `gbps` at this precision.
    """
    parts, counts = size["parts"], work(candidate, case, size["n_obs_steps"])
    scale = case.nfe / evaluations if evaluations else 1.0
    rounds = [[complete(cycle, scale) for cycle in burst] for burst in bursts]
    cycles = [cycle for burst in rounds for cycle in burst]
    least = limits(parts, counts, peak, candidate.precision)
    sampling = percentiles([cycle["predict"] + cycle["denoise"] for cycle in cycles])
    total = percentiles([cycle["total"] for cycle in cycles])
    return {
        "candidate": candidate.name,
        "kind": candidate.kind,
        "engine": candidate.engine,
        "precision": candidate.precision,
        "fused": candidate.fuse,
        "method": case.name,
        "nfe": case.nfe,
        "aux_nfe": case.aux_nfe,
        "cycles": len(cycles),
        "estimated": evaluations < case.nfe,
        "evaluations_timed": evaluations,
        "milliseconds": {part: percentiles([cycle[part] for cycle in cycles]) for part in PARTS},
        "sampling_ms": sampling,
        "round_p50_ms": [statistics.median(cycle["total"] for cycle in burst) for burst in rounds],
        "flops": sum(counts[name] * part["flops"] for name, part in parts.items() if name in counts),
        "weight_bytes": sum(
            part["parameters"] * BYTES_PER_WEIGHT[candidate.precision]
            for name, part in parts.items()
            if counts[name]
        ),
        "limit_ms": least,
        "times_limit": {
            "total_min": total["min"] / least["total"],
            "total_p50": total["p50"] / least["total"],
            "sampling_min": sampling["min"] / (least["predict"] + least["denoise"]),
            "sampling_p50": sampling["p50"] / (least["predict"] + least["denoise"]),
        },
    }


def ratio(slower: Mapping[str, object], faster: Mapping[str, object]) -> float:
    """How many times longer one row's cycle takes: the median over rounds of the two medians' ratio, so that
    a machine that changes its speed from round to round weighs on both alike."""
    pairs = zip(slower["round_p50_ms"], faster["round_p50_ms"], strict=True)
    return statistics.median(slow / fast for slow, fast in pairs)

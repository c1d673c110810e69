"""One group of rows: a size and a number of threads, all candidates alive at once and timed in turn.

Turns are short, and every round visits everything, so that a machine whose speed wanders treats all alike.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack

from step_ros.evaluation.latency.child import Child, ChildError, RefusedError
from step_ros.evaluation.latency.plan import Candidate, Case
from step_ros.evaluation.latency.rows import footprint, percentiles, row

ESTIMATED_FROM = 10
"""Loops of at least so many evaluations are timed in part where they take too long."""
FEWEST_EVALUATIONS = 4


@dataclasses.dataclass(frozen=True)
class Options:
    """How long to measure.

    Attributes:
        rounds: turns of every row.
        seconds: time of one turn; a turn has at least one cycle.
        longest: seconds of a cycle beyond which a long loop is timed in part and its time scaled.
        cases: by name, in the order of the table.
        lerobot_python: interpreter that has LeRobot, or None.
    """

    rounds: int = 5
    seconds: float = 0.15
    longest: float = 1.0
    cases: tuple[str, ...] = ()
    lerobot_python: str | None = None


def measure_group(
    size: Mapping[str, object],
    threads: int,
    candidates: Sequence[Candidate],
    options: Options,
    environment: Mapping[str, str],
    refused: dict[str, str],
    tick: Callable[[str, float], None],
) -> dict[str, object]:
    """Measure every case of every candidate on one size.

    Args:
        size: what `MachineWorker.prepare` returned.
        threads: of each candidate.
        environment: variables of the candidates' processes.
        refused: reasons by engine and precision that this machine does not have; found ones are added.
        tick: told what is being done, and which share of the group is done.

    Returns:
        `rows`, `unavailable` candidates with the reason, `candidates` with their memory, `peaks`, `decode`.

    Raises:
        ChildError: a candidate of this package broke down while it was measured.
    """
    with ExitStack() as stack:
        machine = stack.enter_context(Child("MachineWorker", threads))
        alive: dict[Candidate, Child] = {}
        unavailable = {}
        for index, candidate in enumerate(candidates):
            tick(f"start {candidate.name}", 0.25 * index / len(candidates))
            cases = candidate.cases(options.cases)
            if candidate.fuse and all(case.nfe > size["fused_steps"] for case in cases):
                continue
            known = [refused[key] for key in candidate.needs if key in refused]
            if known:
                unavailable[candidate.name] = known[0]
                continue
            try:
                child = start(
                    candidate, str(size["checkpoint"]), threads, environment, options.lerobot_python
                )
                alive[candidate] = stack.enter_context(child)
            except ChildError as error:
                if candidate.kind == "policy" and not isinstance(error, RefusedError):
                    raise
                refused[candidate.needs[0]] = unavailable[candidate.name] = str(error)

        turns = _turns(alive, options)
        bursts: dict[tuple[Candidate, Case], list] = {(turn[0], turn[1]): [] for turn in turns}
        peaks: dict[str, dict[str, float]] = {}
        decoded: dict[str, list[float]] = {}
        for number in range(options.rounds):
            for device, precisions in _in_use(alive).items():
                weights = {precision: footprint(size["parts"], precision) for precision in precisions}
                _keep_best(peaks, device, machine.ask("peaks", device=device, footprints=weights))
            for kind, spent in machine.ask("decode", threads=threads).items():
                decoded.setdefault(kind, []).extend(spent)
            for index, (candidate, case, evaluations) in enumerate(_rotated(turns, number)):
                done = (number + index / len(turns)) / options.rounds
                tick(f"{candidate.name} {case.name}", 0.25 + 0.75 * done)
                answer = _measure(alive[candidate], candidate, case, evaluations, options.seconds)
                bursts[candidate, case].append(answer["cycles"])

        described = {
            candidate.name: {**child.ask("memory"), **child.ask("describe")}
            for candidate, child in alive.items()
        }
        return {
            "rows": [
                {
                    **row(
                        candidate, case, bursts[candidate, case], evaluations, size, peaks[candidate.numbers]
                    ),
                    "resident_mib": described[candidate.name]["resident_mib"],
                }
                for candidate, case, evaluations in turns
            ],
            "unavailable": unavailable,
            "candidates": described,
            "peaks": peaks,
            "decode": {kind: percentiles(spent) for kind, spent in decoded.items()},
        }


def start(
    candidate: Candidate,
    checkpoint: str,
    threads: int,
    environment: Mapping[str, str],
    lerobot_python: str | None = None,
) -> Child:
    """A candidate's process, ready to be measured.

    Raises:
        RefusedError: the package cannot run this candidate here.
        ChildError: the process ended.
    """
    arguments: dict[str, object] = {"checkpoint": checkpoint}
    if candidate.kind == "diffusers":
        return Child("DiffusersWorker", threads, arguments)
    if candidate.kind == "lerobot":
        return Child("LeRobotWorker", threads, arguments, lerobot_python or sys.executable)
    arguments |= {name: getattr(candidate, name) for name in ("engine", "device", "precision", "fuse")}
    return Child("PolicyWorker", threads, {**arguments, "threads": threads}, environment=environment)


def _turns(alive: Mapping[Candidate, Child], options: Options) -> list[tuple[Candidate, Case, int]]:
    """Rows by case, with the evaluations that a cycle is timed over; cycles that an engine does not fuse are
    left to the candidate that never does."""
    turns = []
    for candidate, child in alive.items():
        for case in candidate.cases(options.cases):
            evaluations = min(case.nfe, 2)
            answer = _measure(child, candidate, case, evaluations, seconds=0.0)
            if candidate.fuse and not _measure(child, candidate, case, case.nfe, seconds=0.0)["fused"]:
                continue
            if case.nfe >= ESTIMATED_FROM:
                each = answer["cycles"][-1]["denoise"] / evaluations / 1e3
                evaluations = min(case.nfe, max(FEWEST_EVALUATIONS, int(options.longest / each)))
            else:
                evaluations = case.nfe
            turns.append((candidate, case, evaluations))
    order = {name: index for index, name in enumerate(options.cases)}
    return sorted(turns, key=lambda turn: order[turn[1].name])


def _measure(child: Child, candidate: Candidate, case: Case, evaluations: int, seconds: float) -> dict:
    if candidate.kind == "policy":
        method, settings = case.settings(evaluations)
        return child.ask("measure", method=method, settings=settings, seconds=seconds)
    return child.ask("measure", method=case.peer, steps=evaluations, seconds=seconds)


def _rotated(turns: Sequence, number: int) -> list:
    """Each round begins elsewhere, so that nothing always follows the same neighbour's heat."""
    start = number * 7 % max(1, len(turns))
    return [*turns[start:], *turns[:start]]


def _in_use(candidates: Iterable[Candidate]) -> dict[str, set[str]]:
    """Precisions by device."""
    used: dict[str, set[str]] = {}
    for candidate in candidates:
        used.setdefault(candidate.device, set()).add(candidate.precision)
    return used


def _keep_best(
    peaks: dict[str, dict[str, float]], device: str, found: Mapping[str, Mapping[str, float]]
) -> None:
    for precision, values in found.items():
        best = peaks.setdefault(f"{device} {precision}", {})
        for name, value in values.items():
            best[name] = max(best.get(name, 0.0), value)

"""What the engines are meant to reach, held against what was measured: met, not met, or unknown."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from step_ros.evaluation.latency.plan import SHIPPED, SIZES
from step_ros.evaluation.latency.rows import ratio

SMALL, LARGE = "64-128-256", "512-1024-2048"
LARGEST_RESIDENT_MIB = 1.6e9 / 2**20
NOT_MEASURED = "not measured"


@dataclasses.dataclass(frozen=True)
class Aim:
    """One aim.

    Attributes:
        text: what is asked.
        value: what was measured, or None.
        bound: what the value is held against.
        at_least: the value must reach the bound; else it must not exceed it.
        note: details, or why there is no value.
    """

    text: str
    value: float | None
    bound: float
    at_least: bool
    note: str = ""

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def to_dict(self) -> dict[str, object]:
        return {**dataclasses.asdict(self), "met": self.met}


class Measured:
    """Rows by what they are; None where something was not measured."""

    def __init__(self, groups: Sequence[Mapping], cold_start: Sequence[Mapping]) -> None:
        self._groups = {(group["size"], group["threads"]): group for group in groups}
        self.cold_start = cold_start

    def row(self, size: str, method: str, *candidates: str, threads: int = 1) -> Mapping | None:
        """The row of the first of the candidates that has one."""
        rows = self._groups.get((size, threads), {}).get("rows", [])
        by_name = {row["candidate"]: row for row in rows if row["method"] == method}
        return next((by_name[name] for name in candidates if name in by_name), None)

    def reason(self, size: str, candidate: str, threads: int = 1) -> str:
        """Why a candidate has no row."""
        group = self._groups.get((size, threads), {})
        return group.get("unavailable", {}).get(candidate, NOT_MEASURED)


def aims(groups: Sequence[Mapping], cold_start: Sequence[Mapping]) -> list[Aim]:
    """All aims, each with what the rows say of it."""
    measured = Measured(groups, cold_start)
    fast = ("openvino, one graph", "openvino")
    return [
        _faster(
            measured,
            8.0,
            "STEP-2 cycle of the shipped policy: OpenVINO at least 8 times faster than eager torch",
            SHIPPED,
            ("STEP-2", "torch"),
            ("STEP-2", *fast),
        ),
        _faster(
            measured,
            300.0,
            "STEP-2 cycle of the shipped policy on OpenVINO: at least 300 times faster than the plain "
            "diffusers loop with DDPM-100",
            SHIPPED,
            ("DDPM-100", "diffusers"),
            ("STEP-2", *fast),
        ),
        *(
            _near_limit(
                measured, 3.0, SMALL, f"openvino{suffix}, one graph", f"as one STEP-2 graph, {precision}"
            )
            for precision, suffix in (("fp32", ""), ("bf16", " bf16"))
        ),
        *(
            _near_limit(measured, 1.5, LARGE, f"openvino{suffix}", f"STEP-2, one thread, {precision}")
            for precision, suffix in (("fp32", ""), ("bf16", " bf16"))
        ),
        *(_warm_start(measured, size) for size in SIZES if size not in (SHIPPED, SMALL)),
        *_memory(measured),
        *_first_cycle(measured),
        _gpu(measured),
    ]


def _faster(
    measured: Measured, bound: float, text: str, size: str, slow: tuple[str, ...], fast: tuple[str, ...]
) -> Aim:
    slower, faster = measured.row(size, *slow), measured.row(size, *fast)
    if slower is None or faster is None:
        return Aim(text, None, bound, True, measured.reason(size, slow[1] if slower is None else fast[-1]))
    note = (
        f"{slower['candidate']} {slower['method']} {slower['milliseconds']['total']['p50']:.2f} ms"
        f"{' (estimated)' if slower['estimated'] else ''}, "
        f"{faster['candidate']} {faster['method']} {faster['milliseconds']['total']['p50']:.2f} ms (p50)"
    )
    return Aim(text, ratio(slower, faster), bound, True, note)


def _near_limit(measured: Measured, bound: float, size: str, candidate: str, text: str) -> Aim:
    text = f"{size} {text}: at most {bound:g} times the physical limit of predictor and denoiser"
    found = measured.row(size, "STEP-2", candidate)
    if found is None:
        return Aim(text, None, bound, False, measured.reason(size, candidate))
    least = found["limit_ms"]["predict"] + found["limit_ms"]["denoise"]
    sampling, times = found["sampling_ms"], found["times_limit"]
    fastest = f"fastest cycle {times['sampling_min']:.2f} times"
    note = f"{sampling['p50']:.2f} ms (p50) for a limit of {least:.2f} ms; {fastest}"
    return Aim(text, times["sampling_p50"], bound, False, note)


def _warm_start(measured: Measured, size: str) -> Aim:
    text = f"{size}: predictor and warm start at most 10 % of one denoiser evaluation"
    found = measured.row(size, "STEP-2", "openvino")
    if found is None:
        return Aim(text, None, 0.1, False, measured.reason(size, "openvino"))
    spent = {part: found["milliseconds"][part]["p50"] for part in ("predict", "rest", "denoise")}
    each = spent["denoise"] / found["nfe"]
    note = f"{spent['predict']:.3f} + {spent['rest']:.3f} ms against {each:.2f} ms an evaluation (p50)"
    return Aim(text, (spent["predict"] + spent["rest"]) / each, 0.1, False, note)


def _memory(measured: Measured) -> list[Aim]:
    text = f"{LARGE}, fp32 on OpenVINO: at most 1.6 GB resident after configure"
    rows = [
        row for row in measured.cold_start if row["size"] == LARGE and row["candidate"].startswith("openvino")
    ]
    known = [row for row in rows if "resident_mib" in row] or [None]
    return [
        Aim(
            f"{text} ({row['cache']} compile cache), MiB",
            row["resident_mib"],
            LARGEST_RESIDENT_MIB,
            False,
            f"peak {row['peak_mib']:.0f} MiB",
        )
        if row
        else Aim(text, None, LARGEST_RESIDENT_MIB, False, NOT_MEASURED)
        for row in known
    ]


def _first_cycle(measured: Measured) -> list[Aim]:
    return [
        Aim(
            f"{row['size']}, {row['candidate']}, {row['cache']} cache: first cycle as fast as the "
            "hundredth (over the slowest of the last 50)",
            row["first_ms"] / row["slowest_of_last_ms"],
            1.0,
            False,
            f"first {row['first_ms']:.2f} ms, median of the last 50 {row['hundredth_ms']:.2f} ms",
        )
        for row in measured.cold_start
        if "first_ms" in row
    ]


def _gpu(measured: Measured) -> Aim:
    text = f"{LARGE} on a GPU: STEP-2 cycle at least 5 times faster than the eager one"
    graphs = ("cuda, one graph", "cuda")
    found = measured.row(LARGE, "STEP-2", *graphs)
    eager = measured.row(LARGE, "STEP-2", "torch on cuda")
    if found is None or eager is None:
        return Aim(text, None, 5.0, True, measured.reason(LARGE, graphs[-1]))
    return Aim(text, ratio(eager, found), 5.0, True)

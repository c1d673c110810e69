"""What the latency benchmark measures: sizes of the denoiser, methods, and candidates that run them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from step_ros.policy.config import PolicyConfig
from step_ros.policy.errors import ConfigError

SHIPPED = "shipped"
SIZES: dict[str, tuple[int, ...] | None] = {
    SHIPPED: None,
    "64-128-256": (64, 128, 256),
    "128-256-512": (128, 256, 512),
    "256-512-1024": (256, 512, 1024),
    "512-1024-2048": (512, 1024, 2048),
}
"""Channels of the U-Net by name; the shipped policy has its own."""
PRECISIONS = {
    "torch": ("fp32",),
    "openvino": ("fp32", "bf16", "int8"),
    "onnx": ("fp32", "bf16"),
    "cuda": ("fp32", "bf16"),
}
"""Measured by engine; one that the engine or the processor refuses is listed with the reason."""
ENGINES = tuple(PRECISIONS)
INT8_SIZES = (SHIPPED, "128-256-512", "256-512-1024")
"""Sizes measured in int8: quantising a larger one takes too long, and at a smaller one nothing is gained."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A method with its number of steps.

    Attributes:
        nfe, aux_nfe: evaluations of the denoiser and of the predictor in a warm cycle.
        peer: the same loop over a diffusers scheduler, or None where there is none.
    """

    name: str
    method: str
    nfe: int
    aux_nfe: int = 0
    peer: str | None = None

    def settings(self, evaluations: int) -> tuple[str, dict[str, object]]:
        """Method and settings that do `evaluations` of this case's denoiser steps.

        DDPM visits every level; a part of its loop is the same solver over fewer levels.
        """
        if self.method == "predictor":
            return self.method, {}
        if self.method != "ddpm":
            return self.method, {"num_inference_steps": evaluations}
        if evaluations == self.nfe:
            return self.method, {}
        return "ddim", {"num_inference_steps": evaluations, "solver": "ddpm"}


CASES = {
    case.name: case
    for case in (
        Case("STEP-2", "step", 2, aux_nfe=1),
        Case("STEP-4", "step", 4, aux_nfe=1),
        Case("DDIM-2", "ddim", 2, peer="ddim"),
        Case("DDIM-10", "ddim", 10, peer="ddim"),
        Case("DDPM-100", "ddpm", 100, peer="ddpm"),
        Case("predictor", "predictor", 0, aux_nfe=1),
    )
}
WARM = ("STEP-2", "STEP-4")
"""Cases that can run as one compiled graph."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Something that turns an observation into a chunk, alone in a process of its own.

    Attributes:
        kind: "policy" (this package), "diffusers" or "lerobot".
        engine: of this package, or what the peer runs on.
        fuse: let the engine run a warm cycle as one graph.
        device: "cpu" or "cuda".
    """

    kind: str
    engine: str
    precision: str = "fp32"
    fuse: bool = False
    device: str = "cpu"

    @property
    def name(self) -> str:
        if self.kind != "policy":
            return self.kind
        precision = "" if self.precision == "fp32" else f" {self.precision}"
        place = " on cuda" if (self.engine, self.device) == ("torch", "cuda") else ""
        return f"{self.engine}{place}{precision}{', one graph' if self.fuse else ''}"

    @property
    def by_default(self) -> str:
        """The name of a policy that fuses what pays, as it does unless told not to."""
        return dataclasses.replace(self, fuse=False).name

    @property
    def comes_up(self) -> bool:
        """Whether it is what a node would start: one that fuses what pays."""
        return self.fuse or self.engine == "torch"

    @property
    def numbers(self) -> str:
        """Where and in which precision it computes."""
        return f"{self.device} {self.precision}"

    @property
    def needs(self) -> tuple[str, ...]:
        """What this machine must have for it, its own engine and precision first."""
        gpu = ["policy cuda fp32"] if self.device == "cuda" else []
        return (f"{self.kind} {self.engine} {self.precision}", *gpu)

    def cases(self, wanted: Sequence[str]) -> list[Case]:
        """The wanted cases that this candidate can run: without fusing, all that do not need the graph."""
        if self.kind != "policy":
            return [CASES[name] for name in wanted if CASES[name].peer]
        return [CASES[name] for name in wanted if not self.fuse or name in WARM]


def candidates(engines: Sequence[str], size: str) -> list[Candidate]:
    """Every way to run a policy of a size: per engine and precision unfused and, where that exists, fused;
    beside a GPU's engine, eager torch on the same GPU."""
    found = []
    for engine in engines:
        device = "cuda" if engine == "cuda" else "cpu"
        found += [
            Candidate("policy", engine, precision, fuse, device)
            for precision in PRECISIONS[engine]
            if precision != "int8" or size in INT8_SIZES
            for fuse in ((False,) if engine == "torch" or precision == "int8" else (False, True))
        ]
        if engine == "cuda":
            found.append(Candidate("policy", "torch", device=device))
    return found


def all_threads() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def sized(shipped: PolicyConfig, size: str) -> PolicyConfig:
    """The shipped policy's configuration with another U-Net.

    Raises:
        ConfigError: for an unknown size.
    """
    chosen(("--size", [size], SIZES))
    dims = SIZES[size]
    return shipped if dims is None else dataclasses.replace(shipped, down_dims=dims)


def chosen(*options: tuple[str, Sequence[str], Sequence[str] | dict]) -> None:
    """Raise ConfigError for the first value of an option that is not among those it accepts."""
    for option, values, accepted in options:
        for value in values:
            if value not in accepted:
                raise ConfigError(option, value, "one of " + ", ".join(accepted))


def package_root() -> Path:
    """The folder that holds the package, for interpreters in which it is not installed."""
    return Path(__file__).resolve().parents[3]

"""What is compared on an arm that sticks: every cell of the paper's grids, no rule at all, and our rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SIGMA_STALLS = tuple(round(0.2 * k, 1) for k in range(11))
SIGMA_SCALES = tuple(round(0.2 * k, 1) for k in range(6))
STEPS = (2, 4, 8)
GRID_STEPS = 2
"""Denoising steps of the grid over both factors (the paper's Table 9)."""
LINE_SCALE = 0.4
"""sigma_scale where only sigma_stall varies: the paper's Table 8 holds Table 9's column of 0.4."""

NONE, WRITTEN, ALWAYS, OURS = "none", "written", "always", "ours"
RULES = (NONE, WRITTEN, ALWAYS, OURS)


@dataclass(frozen=True)
class Cell:
    """One setting: the rule, denoising steps, and for the paper's rules the two factors of Eq. 14.

    `written` perturbs only while stalled, `always` in every cycle, `ours` is `stall_source=motion` with
    `stall_response=push` as they are by default.
    """

    rule: str
    steps: int
    sigma_stall: float | None = None
    sigma_scale: float | None = None

    def word(self, threshold: float) -> str:
        """The cell for `evaluation.variants.parse_variant`; `threshold` is `stall_threshold` of `written`."""
        stall, scale = self.sigma_stall, self.sigma_scale
        settings = {
            NONE: "stall_threshold=0",
            WRITTEN: f"stall_threshold={threshold:g},sigma_stall={stall},sigma_scale={scale}",
            ALWAYS: f"stall_threshold=0,warm_start=paper,sigma={scale},sigma_t={stall}",
            OURS: "stall_source=motion,stall_response=push",
        }[self.rule]
        return f"step:num_inference_steps={self.steps},{settings}"

    @property
    def tuned(self) -> bool:
        """Whether somebody has to choose its factors."""
        return self.rule in (WRITTEN, ALWAYS)


def grid(
    sigma_stalls: Sequence[float] = SIGMA_STALLS,
    sigma_scales: Sequence[float] = SIGMA_SCALES,
    steps: Sequence[int] = STEPS,
) -> list[Cell]:
    """Every cell, each once: without a rule and with ours at all steps, the paper's two rules over both
    factors at `GRID_STEPS` and over sigma_stall at all steps."""
    plain = [Cell(rule, count) for rule in (NONE, OURS) for count in steps]
    tables = [
        Cell(rule, GRID_STEPS, stall, scale)
        for rule in (WRITTEN, ALWAYS)
        for stall in sigma_stalls
        for scale in sigma_scales
    ]
    lines = [
        Cell(rule, count, stall, LINE_SCALE)
        for rule in (WRITTEN, ALWAYS)
        for count in steps
        for stall in sigma_stalls
    ]
    return list(dict.fromkeys([*plain, *tables, *lines]))


def ideal_cells(steps: Sequence[int] = (GRID_STEPS,)) -> list[Cell]:
    """What is run on an arm that does not stick: nothing should fire there."""
    return [
        *(Cell(rule, count) for rule in (NONE, OURS) for count in steps),
        Cell(WRITTEN, GRID_STEPS, 1.2, LINE_SCALE),
    ]

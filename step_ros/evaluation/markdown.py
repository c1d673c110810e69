"""Figures and tables as Markdown, the same way on every page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

NONE = "-"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells under a header; the first column holds names, the others figures."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def figures(value: float | None) -> str:
    """Three figures that count, or a dash."""
    if value is None:
        return NONE
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def share(value: float, interval: Sequence[float] | None) -> str:
    """A share from 0 to 1 and its interval, in per cent."""
    spread = f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else ""
    return f"{100 * value:.1f}{spread}"


def difference(found: Mapping | None, what: str) -> str:
    """A difference of shares and its interval, in points, as `summary.difference` gives them; or a dash."""
    interval = found and found[f"{what}_interval_95"]
    if not interval:
        return NONE
    return f"{100 * found[what]:+.1f} ({100 * interval[0]:+.1f} to {100 * interval[1]:+.1f})"

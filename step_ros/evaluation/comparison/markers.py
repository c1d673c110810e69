"""Fills the generated parts of a page: what is between two markers comes from results, not from people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from step_ros.evaluation.comparison.errors import ReportError

_PART = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(page: Path, parts: Mapping[str, str]) -> None:
    """Replace what stands between `<!-- generated: NAME -->` and `<!-- end -->` by the part of that name.

    Raises:
        ReportError: no page, a page without markers, or a marker for which there is no part.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise ReportError(f"{page}: {error.strerror}; accepted: a page with markers") from None
    names = [name for _, name, _ in _PART.findall(text)]
    unknown = sorted(set(names) - set(parts))
    if unknown or not names:
        raise ReportError(
            f"{page}: found markers {', '.join(unknown) or 'none'}; accepted: <!-- generated: NAME --> to "
            f"<!-- end --> with NAME one of {', '.join(parts)}"
        )
    filled = _PART.sub(lambda found: f"{found[1]}{parts[found[2]].strip()}\n{found[3]}", text)
    page.write_text(filled, encoding="utf-8")

"""The ways in which a report or the published set can fail."""

from __future__ import annotations


class ReportError(Exception):
    """Results, a page or the description of the published set that cannot be used; says what is accepted."""

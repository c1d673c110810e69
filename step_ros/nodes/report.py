"""What the step node says of itself on /diagnostics."""

from __future__ import annotations

from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus

from step_ros.nodes.cycles import CycleRunner
from step_ros.policy.policy import Policy

_QUIET = {"inactive": DiagnosticStatus.OK, "disabled": DiagnosticStatus.WARN}
"""Reasons to hold that are not faults."""


@dataclass(frozen=True)
class Report:
    """A diagnostic status in the making."""

    level: bytes
    summary: str
    values: dict[str, object]


def unconfigured(state: str, fault: str) -> Report:
    """While no policy is loaded; `fault` is why the last try failed, if it did."""
    level = DiagnosticStatus.ERROR if fault else DiagnosticStatus.OK
    return Report(level, fault or "not configured", {"state": state})


def configured(state: str, policy: Policy, runner: CycleRunner, known_warnings: int) -> Report:
    """While a policy is loaded; only warnings beyond the `known_warnings` first ones are news."""
    reason, statistics, complaint = runner.hold_reason, runner.statistics, runner.complaint
    values = {
        "state": state,
        "method": policy.method,
        "engine": policy.engine,
        "precision": policy.precision,
        "action_steps": policy.settings.action_steps,
        "pace": complaint or "",
        **runner.values(),
    }
    if reason is not None:
        return Report(_QUIET.get(reason, DiagnosticStatus.ERROR), f"holding: {reason}", values)
    news = [statistics.last_warning] if statistics.warnings > known_warnings else []
    advice = f"controller: {statistics.advice}" if statistics.advice else ""
    concerns = "; ".join(filter(None, [*news, complaint, advice]))
    if concerns:
        return Report(DiagnosticStatus.WARN, f"running; {concerns}", values)
    return Report(DiagnosticStatus.OK, "running", values)

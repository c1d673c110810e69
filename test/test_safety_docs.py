"""The safety page names every fault that exists."""

from step_ros.control.faults import NAMES
from step_ros.paths import share_path


def test_every_fault_is_on_the_safety_page() -> None:
    page = share_path("docs", "safety.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert [name for name in NAMES if not any(name in row for row in rows)] == []

"""The rooms of the package import only what they may, so that each can be read and used alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import step_ros

PACKAGE = Path(step_ros.__file__).parent
MAY_IMPORT = {
    "policy": set(),
    "control": set(),
    "data": set(),
    "sim": {"control"},
    "training": {"policy", "data"},
    "evaluation": {"policy", "control", "sim", "data"},
    "nodes": {"policy", "control", "sim", "data"},
}
ONLY_IN = {"rclpy": {"nodes"}, "mujoco": {"sim"}, "torch": {"policy", "training"}}


def imported(path: Path, pattern: str) -> set[str]:
    return set(re.findall(pattern, path.read_text(), flags=re.MULTILINE))


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_the_rooms_it_may(room: str) -> None:
    files = (PACKAGE / room).rglob("*.py")
    found = set().union(*(imported(path, r"^\s*(?:from|import) step_ros\.(\w+)") for path in files))
    assert found - {room, "paths"} <= MAY_IMPORT[room]


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_heavy_library_stays_in_its_rooms(library: str) -> None:
    users = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        if imported(path, rf"^(?:from|import) ({library})\b")
    }
    assert users <= ONLY_IN[library]

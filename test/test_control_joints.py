"""Joint limits refuse what makes no sense."""

import numpy as np
import pytest

from step_ros.control.errors import LimitsError
from step_ros.control.joints import JOINT_NAMES, JointLimits


def test_the_default_limits_cover_every_joint_of_the_arm() -> None:
    limits = JointLimits.so101()
    assert limits.lower.shape == limits.upper.shape == (len(JOINT_NAMES),)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("lower", [0.0], "shape"),
        ("upper", [np.nan, 1.0], "finite"),
        ("upper", [-2.0, 1.0], "below"),
        ("max_step", [0.0, 1.0], "> 0"),
        ("max_velocity", [1.0, -1.0], "> 0"),
        ("max_acceleration", [1.0, 0.0], "> 0"),
        ("max_acceleration", [1.0, np.inf], "finite"),
    ],
)
def test_limits_that_make_no_sense_are_refused(field: str, value: list[float], words: str) -> None:
    fields = {"lower": [-1.0, -1.0], "upper": [1.0, 1.0], "max_velocity": [1.0, 1.0], "max_step": [1.0, 1.0]}
    with pytest.raises(LimitsError, match=words):
        JointLimits(**{name: np.array(v) for name, v in (fields | {field: value}).items()})


def test_limits_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="read-only"):
        JointLimits.so101().lower[0] = 0.0


@pytest.mark.parametrize(
    "changes", [{"margin": -0.1}, {"margin": 1.0}, {"margin": np.nan}, {"names": ("a",)}]
)
def test_a_margin_or_names_that_do_not_fit_are_refused(changes: dict) -> None:
    with pytest.raises(LimitsError, match=r"margin|names"):
        JointLimits(*np.array([[-1.0, -1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]), **changes)


def test_joints_are_called_by_their_names_where_they_are_known() -> None:
    assert JointLimits.so101().name(5) == "gripper"
    assert JointLimits(*np.array([[-1.0], [1.0], [1.0], [1.0]])).name(0) == "joint 0"

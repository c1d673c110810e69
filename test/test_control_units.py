"""LeRobot's units become radians and back, and values in another unit are noticed."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from step_ros.control.joints import JOINT_NAMES, JointLimits
from step_ros.control.units import (
    MODES,
    MotorCalibration,
    UnitsError,
    check_units,
    driver_offsets,
    lerobot_units,
    load_calibration,
)

RANGES = ((866, 3231), (896, 3211), (866, 3066), (1039, 3121), (0, 4095), (2027, 3483))
ARM = {
    name: MotorCalibration(number + 1, 0, 100 * number, *ends)
    for number, (name, ends) in enumerate(zip(JOINT_NAMES, RANGES, strict=True))
}
LIMITS = JointLimits.so101()


def turned_round(joint: str) -> dict[str, MotorCalibration]:
    return ARM | {joint: MotorCalibration(**(vars(ARM[joint]) | {"drive_mode": 1}))}


def normalised(ticks: float, motor: MotorCalibration, mode: str, gripper: bool) -> float:
    """What LeRobot's motor bus reports for a position in ticks, written out from its documentation."""
    share = (ticks - motor.range_min) / (motor.range_max - motor.range_min)
    if gripper:
        return 100 * (1 - share if motor.drive_mode else share)
    if mode == "degrees":
        return (ticks - (motor.range_min + motor.range_max) / 2) * 360 / 4095
    return (200 * share - 100) * (-1 if motor.drive_mode else 1)


@settings(max_examples=50, deadline=None)
@given(
    mode=st.sampled_from(MODES),
    values=st.lists(st.floats(-200, 200), min_size=6, max_size=6),
    signs=st.lists(st.sampled_from([-1, 1]), min_size=6, max_size=6),
    offsets=st.lists(st.floats(-3, 3), min_size=6, max_size=6),
    reverse=st.booleans(),
)
def test_values_come_back_as_they_were(mode, values, signs, offsets, reverse) -> None:
    names = JOINT_NAMES[::-1] if reverse else JOINT_NAMES
    units = lerobot_units(mode, names, turned_round("elbow_flex"), signs, offsets)
    np.testing.assert_allclose(units.from_radians(units.to_radians(values)), values, atol=1e-9)


@pytest.mark.parametrize("mode", ["degrees", "range_m100_100"])
@pytest.mark.parametrize("turned", JOINT_NAMES)
def test_one_position_of_a_motor_is_one_angle_in_every_mode(mode: str, turned: str) -> None:
    calibration = turned_round(turned)
    units = lerobot_units(mode, JOINT_NAMES, calibration)
    for share in (0.1, 0.5, 0.8):
        ticks = [m.range_min + share * (m.range_max - m.range_min) for m in calibration.values()]
        values = [
            normalised(t, m, mode, name == "gripper")
            for t, (name, m) in zip(ticks, calibration.items(), strict=True)
        ]
        middles = np.array([(m.range_min + m.range_max) / 2 for m in calibration.values()])
        expected = (np.array(ticks) - middles) * 2 * np.pi / 4095
        expected[5] = LIMITS.lower[5] + share * (3483 - 2027) * 2 * np.pi / 4095
        np.testing.assert_allclose(units.to_radians(values), expected, atol=1e-9)


def test_degrees_need_no_calibration_and_open_the_gripper_over_the_models_range() -> None:
    units = lerobot_units("degrees", JOINT_NAMES)
    radians = units.to_radians([180, -90, 0, 10, 1, 100])
    np.testing.assert_allclose(radians[:5], np.radians([180, -90, 0, 10, 1]))
    assert radians[5] == LIMITS.upper[5]
    assert units.to_radians(np.zeros(6))[5] == LIMITS.lower[5]


def test_a_joint_can_be_turned_round_and_shifted() -> None:
    units = lerobot_units("degrees", ("elbow_flex",), signs=[-1], offsets=[np.pi / 2])
    np.testing.assert_allclose(units.to_radians([90.0]), 0.0, atol=1e-12)
    np.testing.assert_allclose(units.to_radians([0.0]), np.pi / 2)


def test_the_grippers_angles_can_be_given() -> None:
    units = lerobot_units("degrees", ("gripper",), gripper_range=(0.1, 1.1))
    np.testing.assert_allclose(units.to_radians([[0.0], [50.0]]), [[0.1], [0.6]])


def test_a_driver_is_told_the_ticks_of_zero_radians() -> None:
    assert driver_offsets(ARM, JOINT_NAMES) == [2048, 2054, 1966, 2080, 2048, 2141]
    assert driver_offsets(ARM, ("gripper", "elbow_flex")) == [2141, 1966]


@pytest.mark.parametrize(
    ("joint", "changes", "words"),
    [
        ("wrist_flex", {"drive_mode": 1}, "wrist_flex.drive_mode: found 1"),
        ("gripper", {"range_min": 4000, "range_max": 4095}, "gripper: found 0 rad at tick 4114"),
    ],
)
def test_a_driver_is_not_told_what_it_cannot_do(joint, changes, words) -> None:
    with pytest.raises(UnitsError, match=words):
        driver_offsets(ARM | {joint: MotorCalibration(**(vars(ARM[joint]) | changes))}, JOINT_NAMES)


def test_a_calibration_file_is_read_as_lerobot_wrote_it(tmp_path) -> None:
    (tmp_path / "arm.json").write_text(json.dumps({name: vars(motor) for name, motor in ARM.items()}))
    assert load_calibration(tmp_path / "arm.json") == ARM


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"drive_mode": 2}, "drive_mode: found 2, accepted: 0 or 1"),
        ({"range_min": 3000, "range_max": 3000}, "range_min 3000, range_max 3000"),
        ({"range_max": 9000}, "4095"),
        ({"range_min": 1.5}, "range_min: found 1.5, accepted: an integer"),
        ({"id": True}, "id: found True"),
        ({"range_min": None}, "None"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_calibration_that_makes_no_sense_is_refused_by_file_motor_and_field(
    tmp_path, change, words
) -> None:
    content = {name: vars(motor) for name, motor in ARM.items()}
    content["wrist_flex"] = content["wrist_flex"] | change
    (tmp_path / "arm.json").write_text(json.dumps(content))
    with pytest.raises(UnitsError, match=words) as refused:
        load_calibration(tmp_path / "arm.json")
    assert "arm.json: wrist_flex" in str(refused.value)


@pytest.mark.parametrize("content", ["", "[1]", "{}", "{"])
def test_a_file_that_is_no_calibration_is_refused(tmp_path, content: str) -> None:
    (tmp_path / "arm.json").write_text(content)
    with pytest.raises(UnitsError, match=r"arm\.json"):
        load_calibration(tmp_path / "arm.json")
    with pytest.raises(UnitsError, match=r"none\.json"):
        load_calibration(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"mode": "turns"}, "accepted: radians, degrees"),
        ({"mode": "range_m100_100"}, "no calibration; calibrated: none"),
        ({"mode": "range_m100_100", "calibration": {"gripper": ARM["gripper"]}}, "calibrated: gripper"),
        ({"mode": "degrees", "signs": [1, 2, 1, 1, 1, 1]}, "signs"),
        ({"mode": "degrees", "offsets": [0.0]}, "offsets"),
        ({"mode": "degrees", "offsets": [np.nan] * 6}, "offsets"),
        ({"mode": "degrees", "gripper_range": (1.0, 1.0)}, "gripper_range"),
    ],
)
def test_units_that_cannot_be_are_refused(arguments, words) -> None:
    with pytest.raises(UnitsError, match=words):
        lerobot_units(joint_names=JOINT_NAMES, **arguments)


LOW, HIGH = np.array([-0.5, -1.2, -1.0, 0.2, -1.0, -0.1]), np.array([0.5, 0.5, 1.2, 1.5, 1.0, 1.2])


@pytest.mark.parametrize("mode", MODES)
def test_statistics_in_the_stated_unit_are_accepted(mode: str) -> None:
    units = lerobot_units(mode, JOINT_NAMES, ARM)
    check_units(units, units.from_radians(LOW), units.from_radians(HIGH), LIMITS)


def test_degrees_said_to_be_radians_are_refused_with_joint_found_and_expected() -> None:
    degrees = lerobot_units("degrees", JOINT_NAMES)
    with pytest.raises(UnitsError, match=r"shoulder_pan -28.6 to 28.6 \(expected within -1.92 to 1.92\)"):
        check_units(
            lerobot_units("radians", JOINT_NAMES),
            degrees.from_radians(LOW),
            degrees.from_radians(HIGH),
            LIMITS,
        )


def test_radians_said_to_be_degrees_are_refused() -> None:
    with pytest.raises(UnitsError, match="hardly move"):
        check_units(lerobot_units("degrees", JOINT_NAMES), LOW, HIGH, LIMITS)


def test_statistics_that_are_not_finite_are_refused() -> None:
    with pytest.raises(UnitsError, match="nan"):
        check_units(lerobot_units("radians", JOINT_NAMES), np.full(6, np.nan), HIGH, LIMITS)

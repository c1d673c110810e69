"""Messages that cannot be used are refused with a reason, the others become arrays."""

from array import array

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image, JointState

from step_ros.control.joints import JOINT_NAMES
from step_ros.nodes import decode
from step_ros.nodes.decode import MessageError

PIXELS = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)


def message(pixels: np.ndarray = PIXELS, encoding: str = "rgb8", **fields) -> Image:
    height, width, channels = pixels.shape
    values = {"height": height, "width": width, "encoding": encoding, "step": width * channels}
    return Image(data=array("B", pixels.tobytes()), **(values | fields))


def decoded(image: Image | CompressedImage) -> np.ndarray:
    return decode.frame(image, 6, 8).pixels()


def test_an_rgb_image_keeps_its_pixels() -> None:
    np.testing.assert_array_equal(decoded(message()), PIXELS)


@pytest.mark.parametrize(
    ("encoding", "order"), [("bgr8", [2, 1, 0]), ("rgba8", [0, 1, 2, 0]), ("bgra8", [2, 1, 0, 0])]
)
def test_other_channel_orders_become_rgb(encoding: str, order: list[int]) -> None:
    stored = np.ascontiguousarray(PIXELS[:, :, order])
    np.testing.assert_array_equal(decoded(message(stored, encoding)), PIXELS)


def test_padding_at_the_end_of_rows_is_left_out() -> None:
    rows = np.zeros((6, 32), np.uint8)
    rows[:, :24] = PIXELS.reshape(6, 24)
    padded = message(step=32)
    padded.data = array("B", rows.tobytes())
    np.testing.assert_array_equal(decoded(padded), PIXELS)


def test_a_larger_image_of_the_same_aspect_ratio_is_averaged_down() -> None:
    large = np.repeat(np.repeat(PIXELS, 3, axis=0), 3, axis=1)
    np.testing.assert_array_equal(decoded(message(large)), PIXELS)


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (message(encoding="mono8"), "encoding is 'mono8'"),
        (message(encoding=""), "encoding is ''"),
        (Image(), "encoding"),
        (message(width=0, step=0), "empty"),
        (message(height=0), "empty"),
        (message(step=23), "step is 23"),
        (message(step=25), "bytes, accepted: step x height = 150"),
        (message(height=7), "144 bytes"),
        (message(height=8, width=6, step=18), "6x8, accepted: 8x6"),
        (message(np.zeros((3, 4, 3), np.uint8)), "4x3"),
        (CompressedImage(format="jpeg"), "cannot be decoded"),
        (CompressedImage(format="jpeg", data=array("B", b"no picture")), "cannot be decoded"),
    ],
)
def test_an_image_that_does_not_fit_is_refused_with_a_reason(refused, words: str) -> None:
    with pytest.raises(MessageError, match=words):
        decoded(refused)


def test_a_compressed_image_is_decoded_as_rgb() -> None:
    encoded = cv2.imencode(".png", PIXELS[:, :, ::-1])[1]
    compressed = CompressedImage(format="png", data=array("B", encoded.tobytes()))
    np.testing.assert_array_equal(decoded(compressed), PIXELS)


def test_joints_are_matched_by_name_and_extra_ones_ignored() -> None:
    names = [*reversed(JOINT_NAMES), "wheel"]
    state = JointState(name=names, position=[5.0, 4.0, 3.0, 2.0, 1.0, 0.0, float("nan")])
    np.testing.assert_array_equal(decode.joint_positions(state, JOINT_NAMES), np.arange(6))


@pytest.mark.parametrize(
    ("names", "positions", "words"),
    [
        (JOINT_NAMES[:5], [0.0] * 5, "lacks gripper"),
        ((*JOINT_NAMES[:5], "gripper_joint"), [0.0] * 6, "lacks gripper; it has .*gripper_joint"),
        ((), [], "lacks .*no joints"),
        (JOINT_NAMES, [0.0] * 5, "5 positions for 6 names"),
        ((*JOINT_NAMES, "gripper"), [0.0] * 7, "gripper more than once"),
        (JOINT_NAMES, [0.0] * 4 + [float("nan"), float("inf")], "wrist_roll, gripper is not finite"),
    ],
)
def test_a_joint_state_that_cannot_be_used_is_refused_with_a_reason(names, positions, words: str) -> None:
    with pytest.raises(MessageError, match=words):
        decode.joint_positions(JointState(name=list(names), position=positions), JOINT_NAMES)


def test_what_the_header_of_a_raw_image_tells_is_told_before_its_pixels_are_needed() -> None:
    with pytest.raises(MessageError, match="encoding is 'mono8'"):
        decode.frame(message(encoding="mono8"), 6, 8)
    with pytest.raises(MessageError, match="4x3"):
        decode.frame(message(np.zeros((3, 4, 3), np.uint8)), 6, 8)


def test_a_compressed_image_is_judged_when_its_pixels_are_needed_and_stays_what_it_is() -> None:
    frame = decode.frame(CompressedImage(format="jpeg", data=array("B", b"no picture")), 6, 8)
    for _ in range(2):
        with pytest.raises(MessageError, match="cannot be decoded"):
            frame.pixels()


def test_a_frame_is_decoded_once() -> None:
    frame = decode.frame(message(), 6, 8)
    assert frame.pixels() is frame.pixels()

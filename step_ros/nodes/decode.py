"""What the nodes take from messages: `data.messages` decodes them, and images wait until they are needed."""

from __future__ import annotations

from sensor_msgs.msg import CompressedImage, Image

from step_ros.data.messages import MessageError, image, joint_positions, seconds
from step_ros.policy.frames import Frame

__all__ = ["MessageError", "frame", "joint_positions", "seconds"]


def frame(message: Image | CompressedImage, height: int, width: int) -> Frame:
    """An image message as a frame that becomes RGB (height, width, 3) uint8 when it is needed.

    Raises:
        MessageError: what can be told without decoding is wrong (`data.messages.image`).
    """
    return Frame(image(message, height, width))

"""Decodes and encodes camera frames ahead of the cycle that will need them. Knows no ROS."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from step_ros.data.messages import MessageError
from step_ros.nodes.worker import LatestWorker
from step_ros.policy.config import IMAGES
from step_ros.policy.frames import Frame
from step_ros.policy.policy import Policy


@dataclass(frozen=True)
class Work:
    """A frame of a camera, wanted in the episode with this number."""

    generation: int
    camera: str
    frame: Frame


class FramesAhead:
    """One thread per camera, so that neither another camera nor a running cycle has to be waited for.

    Args:
        policy: encodes the frames and keeps their features.
        cameras: names of the policy's cameras.
        undecodable: told of frames that turn out to be unusable.
        failed: told when the policy raises.
    """

    def __init__(
        self,
        policy: Policy,
        cameras: Iterable[str],
        undecodable: Callable[[str, Frame, MessageError], None],
        failed: Callable[[int, Exception], None],
    ) -> None:
        self._policy, self._undecodable, self._failed = policy, undecodable, failed
        self._workers = {camera: LatestWorker(self._prepare, f"frames of {camera}") for camera in cameras}

    def submit(self, work: Work) -> None:
        """Prepare a frame soon; returns at once. Of frames that come too fast only the newest is prepared."""
        self._workers[work.camera].submit(work)

    def stop(self) -> None:
        """Let the work in progress finish, and end the threads."""
        for worker in self._workers.values():
            worker.stop()

    def _prepare(self, work: Work) -> None:
        try:
            self._policy.prefetch(IMAGES + work.camera, work.frame.pixels())
        except MessageError as error:
            self._undecodable(work.camera, work.frame, error)
        except Exception as error:  # a policy may fail in any way, and whichever it is, the arm must hold
            self._failed(work.generation, error)

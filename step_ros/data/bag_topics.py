"""Which topics of a bag carry what.

A topic is recognised by its type and the end of its name, so that namespaces do not matter. Where more than
one fits (two robots, a leader and a follower), nothing is guessed: somebody must choose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from step_ros.data.bag_errors import AmbiguousTopicError, MissingTopicError, TopicTypeError
from step_ros.data.bags import Bag
from step_ros.data.recorded import CHUNKS, EPISODES, JOINT_STATES, TRAJECTORIES

ACTIONS = "/action"
"""Recorded actions of a dataset that was turned into a bag (sensor_msgs/JointState)."""

RAW = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
JOINT_STATE = "sensor_msgs/msg/JointState"
TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"
MARKS = "diagnostic_msgs/msg/DiagnosticArray"


@dataclass(frozen=True)
class TopicChoice:
    """What the user chose; empty fields are found by name and type.

    Attributes:
        namespace: only topics below it count, such as `/left`.
        joint_states, actions: topics.
        images: camera -> topic.
    """

    namespace: str = ""
    joint_states: str = ""
    actions: str = ""
    images: Mapping[str, str] | None = None


@dataclass(frozen=True)
class BagTopics:
    """The topics of one robot in one bag; None where the bag has none and none is needed.

    Attributes:
        images: camera -> topic.
        action_kind: message type of `actions`: a trajectory, or joint states of a leader.
    """

    joint_states: str
    images: dict[str, str]
    actions: str | None
    action_kind: str | None
    episodes: str | None
    chunks: str | None

    @property
    def all(self) -> list[str]:
        """Those that are there."""
        optional = (self.actions, self.episodes, self.chunks)
        found = [self.joint_states, *self.images.values(), *filter(None, optional)]
        return list(dict.fromkeys(found))


def find_topics(bag: Bag, cameras: Sequence[str], choice: TopicChoice | None = None) -> BagTopics:
    """The topics of `bag` for a policy with these cameras.

    Raises:
        MissingTopicError: no joint states, or nothing for a camera.
        AmbiguousTopicError: more than one fits, or several nodes published on one.
        TopicTypeError: a chosen topic has another type, or one changes its type.
    """
    choice = choice or TopicChoice()
    finder = _Finder(bag, choice.namespace)
    given = choice.images or {}
    joint_states = finder.find("joint states", JOINT_STATES, (JOINT_STATE,), choice.joint_states)
    images = {
        camera: finder.find(
            f"images of camera {camera}", f"/{camera}/image_raw", (RAW, COMPRESSED), given.get(camera, "")
        )
        for camera in cameras
    }
    for camera in given:
        if camera not in images:
            raise MissingTopicError(bag.path, f"a camera of the policy ({', '.join(cameras)})", {camera: ()})
    actions = finder.find("actions", TRAJECTORIES, (TRAJECTORY, JOINT_STATE), choice.actions, optional=True)
    if actions is None:
        actions = finder.find("actions", ACTIONS, (JOINT_STATE,), optional=True)
    return BagTopics(
        joint_states,
        images,
        actions,
        bag.types[actions][0] if actions else None,
        finder.find("episode marks", EPISODES, (MARKS,), optional=True),
        finder.find("chunks", CHUNKS, (TRAJECTORY,), optional=True),
    )


@dataclass(frozen=True)
class _Finder:
    bag: Bag
    namespace: str

    def find(
        self, needed: str, usual: str, kinds: Sequence[str], chosen: str = "", optional: bool = False
    ) -> str | None:
        """The topic whose name ends like `usual`, or the chosen one."""
        types = self.bag.types
        if chosen and chosen not in types:
            raise MissingTopicError(self.bag.path, f"{needed} on {chosen}", types)
        found = [chosen] if chosen else self._candidates(usual, kinds)
        if not found:
            if optional:
                return None
            where = f" below {self.namespace}" if self.namespace else ""
            raise MissingTopicError(
                self.bag.path, f"{needed}: a topic{where} like {usual} [{'/'.join(kinds)}]", types
            )
        if len(found) > 1:
            option = "--namespace or the option that names the topic"
            raise AmbiguousTopicError(self.bag.path, needed, found, option)
        topic = found[0]
        if len(types[topic]) > 1 or types[topic][0] not in kinds:
            raise TopicTypeError(self.bag.path, topic, types[topic], kinds)
        if not chosen and self.bag.publishers[topic] > 1 and not optional:
            publishers = f"{self.bag.publishers[topic]} publishers on {topic}"
            raise AmbiguousTopicError(
                self.bag.path, needed, [publishers], "the option that names the topic, if it is one robot"
            )
        return topic

    def _candidates(self, usual: str, kinds: Sequence[str]) -> list[str]:
        """Raw images win over compressed ones of the same camera."""
        prefix = self.namespace.rstrip("/")
        endings = [usual, *((f"{usual}/compressed",) if COMPRESSED in kinds else ())]
        for ending in endings:
            found = [
                topic
                for topic, types in sorted(self.bag.types.items())
                if topic.endswith(ending)
                and topic.startswith(f"{prefix}/")
                and any(kind in kinds for kind in types)
                and self.bag.counts[topic]
            ]
            if found:
                return found
        return []

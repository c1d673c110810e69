"""Bags are read in the order of their stamps, in bounded memory, and what is wrong with one is said."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from bag_helpers import FPS, compressed, frame, ns, trajectory, write_bag
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.typesys import Stores, get_typestore

from step_ros.control.joints import JOINT_NAMES
from step_ros.data.bag_errors import (
    AmbiguousTopicError,
    BagError,
    BagUnreadableError,
    MissingTopicError,
    TopicTypeError,
)
from step_ros.data.bag_topics import COMPRESSED, TopicChoice, find_topics
from step_ros.data.bag_writer import BagWriter, joint_state, mark, open_writer, picture
from step_ros.data.bags import Bag
from step_ros.data.episode_marks import read_mark
from step_ros.data.messages import MessageError, image, joint_positions
from step_ros.data.recorded import RECORDED, recorded_pattern

COMMANDS = "/joint_trajectory_controller/joint_trajectory"


@pytest.fixture(params=["mcap", "sqlite3"])
def storage(request) -> str:
    return request.param


def test_messages_come_in_the_order_of_their_stamps_not_of_their_arrival(tmp_path, storage) -> None:
    path = write_bag(tmp_path / "bag", cameras=("top", "wrist"), storage=storage, delay=0.25)
    with Bag(path) as bag:
        stamps = [m.stamp_ns for m in bag.messages(["/joint_states", "/top/image_raw", "/wrist/image_raw"])]
    assert stamps == sorted(stamps)
    assert len(stamps) == 300 + 2 * 90


def test_both_storages_hold_the_same_messages(tmp_path) -> None:
    contents = []
    for storage in ("mcap", "sqlite3"):
        with Bag(write_bag(tmp_path / storage, 0.5, storage=storage)) as bag:
            contents.append(
                [
                    (m.stamp_ns, joint_positions(m.content, JOINT_NAMES).tolist())
                    for m in bag.messages(["/joint_states"])
                ]
            )
    assert contents[0] == contents[1]


def test_a_single_file_is_read_as_well_as_a_folder(tmp_path) -> None:
    folder = write_bag(tmp_path / "bag")
    with Bag(folder) as whole, Bag(folder / "bag.mcap") as alone:
        assert whole.counts == alone.counts


def test_memory_does_not_grow_with_the_bag(tmp_path) -> None:
    path = write_bag(tmp_path / "bag", 6.0, size=320)
    raw = 180 * 320 * 320 * 3
    tracemalloc.start()
    with Bag(path) as bag:
        count = sum(message.content.width == 320 for message in bag.messages(["/top/image_raw"]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 180
    assert peak < raw / 3


def test_what_is_recorded_after_time_went_back_comes_after_what_was_before(tmp_path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        for k in range(50):
            bag.write("/joint_states", joint_state(ns(100 + k / 50), JOINT_NAMES, np.zeros(6)), ns(k / 50))
        for k in range(50):
            bag.write("/joint_states", joint_state(ns(k / 50), JOINT_NAMES, np.zeros(6)), ns(1 + k / 50))
    with Bag(tmp_path / "bag") as bag:
        stamps = np.array([m.stamp_ns for m in bag.messages(["/joint_states"])])
    assert (np.diff(stamps) < 0).sum() == 1
    assert stamps[49] == ns(100 + 49 / 50)


@pytest.mark.parametrize("clock_ahead", [0.0, -3600.0])
def test_a_command_has_its_place_where_it_arrived_on_the_clock_of_the_stamps(tmp_path, clock_ahead) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        for k in range(100):
            state = joint_state(ns(k / 100), JOINT_NAMES, np.zeros(6))
            bag.write("/joint_states", state, ns(k / 100 + clock_ahead))
            if k == 50:
                for stamp in (ns(0.45), 0):
                    command = trajectory(stamp, [0.1], np.zeros((1, 6)))
                    bag.write(COMMANDS, command, ns(0.505 + clock_ahead))
    with Bag(tmp_path / "bag") as bag:
        found = list(bag.messages(["/joint_states", COMMANDS], [COMMANDS], "/joint_states"))
    for number in (51, 52):
        assert found[number].topic == COMMANDS
        assert found[number].time_ns == ns(0.505)


def test_content_is_decoded_only_when_looked_at(tmp_path, monkeypatch) -> None:
    with Bag(write_bag(tmp_path / "bag")) as bag:
        decoded = []
        deserialize = bag._reader.deserialize
        monkeypatch.setattr(bag._reader, "deserialize", lambda *a: decoded.append(a) or deserialize(*a))
        messages = list(bag.messages(["/top/image_raw"]))
        assert not decoded
        assert messages[3].content is messages[3].content
        assert len(decoded) == 1


# Damaged bags.


@pytest.mark.parametrize("kept", [0.95, 0.5, 0.001])
def test_a_truncated_file_is_refused(tmp_path, storage, kept) -> None:
    folder = write_bag(tmp_path / "bag", storage=storage)
    file = next(path for path in folder.iterdir() if path.suffix in (".mcap", ".db3"))
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(BagUnreadableError, match=r"ros2 bag reindex"), Bag(folder) as bag:
        list(bag.messages(["/joint_states"]))


def test_a_damaged_chunk_is_refused(tmp_path) -> None:
    folder = write_bag(tmp_path / "bag")
    file = folder / "bag.mcap"
    content = bytearray(file.read_bytes())
    content[2000:2100] = bytes(100)
    file.write_bytes(content)
    with pytest.raises(BagUnreadableError, match="bag"), Bag(folder) as bag:
        list(bag.messages(["/joint_states"]))


def test_a_recording_that_was_killed_before_its_metadata_were_written_is_refused(tmp_path) -> None:
    folder = write_bag(tmp_path / "bag")
    (folder / "metadata.yaml").unlink()
    with pytest.raises(BagUnreadableError, match="reindex"):
        Bag(folder)


@pytest.mark.parametrize("name", ["nothing", "notes.txt"])
def test_what_is_no_bag_is_refused(tmp_path, name) -> None:
    (tmp_path / "notes.txt").write_text("no bag")
    with pytest.raises(BagUnreadableError):
        Bag(tmp_path / name)


def test_an_existing_folder_is_not_written_over(tmp_path) -> None:
    (tmp_path / "bag").mkdir()
    with pytest.raises(BagError, match="does not exist yet"):
        BagWriter(tmp_path / "bag")


# Which topic is what.


def test_the_topics_of_one_robot_are_found_by_name_and_type(tmp_path) -> None:
    with Bag(write_bag(tmp_path / "bag", cameras=("top", "wrist"), namespace="/left")) as bag:
        topics = find_topics(bag, ("top", "wrist"))
    assert topics.joint_states == "/left/joint_states"
    assert topics.images == {"top": "/left/top/image_raw", "wrist": "/left/wrist/image_raw"}
    assert topics.actions == "/left/action"
    assert topics.episodes is None


def test_a_missing_topic_is_named_with_those_that_are_there(tmp_path) -> None:
    with Bag(write_bag(tmp_path / "bag")) as bag:
        with pytest.raises(MissingTopicError) as error:
            find_topics(bag, ("top", "wrist"))
        assert "images of camera wrist" in str(error.value)
        assert "/joint_states [sensor_msgs/msg/JointState]" in str(error.value)
        with pytest.raises(MissingTopicError, match="/nowhere"):
            list(bag.messages(["/nowhere"]))
        with pytest.raises(MissingTopicError, match="camera of the policy"):
            find_topics(bag, ("top",), TopicChoice(images={"side": "/top/image_raw"}))


def two_robots(folder: Path) -> Path:
    with BagWriter(folder) as bag:
        for namespace in ("/left", "/right"):
            for k in range(3):
                bag.write(f"{namespace}/joint_states", joint_state(ns(k / 100), JOINT_NAMES, np.zeros(6)))
                bag.write(f"{namespace}/top/image_raw", picture(ns(k / 30), frame(0, k)))
    return folder


def test_two_robots_in_one_bag_must_be_chosen_from(tmp_path) -> None:
    with Bag(two_robots(tmp_path / "bag")) as bag:
        with pytest.raises(AmbiguousTopicError, match=r"/left/joint_states, /right/joint_states"):
            find_topics(bag, ("top",))
        topics = find_topics(bag, ("top",), TopicChoice(namespace="/right"))
        assert (topics.joint_states, topics.images["top"]) == ("/right/joint_states", "/right/top/image_raw")
        chosen = TopicChoice(joint_states="/left/joint_states", images={"top": "/right/top/image_raw"})
        assert find_topics(bag, ("top",), chosen).joint_states == "/left/joint_states"
        with pytest.raises(MissingTopicError, match="below /middle"):
            find_topics(bag, ("top",), TopicChoice(namespace="/middle"))


def test_two_publishers_on_one_topic_are_not_taken_for_one_robot(tmp_path) -> None:
    types = get_typestore(Stores.ROS2_JAZZY)
    forever = QosTime(0, 0)
    offer = Qos(
        QosHistory.KEEP_LAST, 5, QosReliability.RELIABLE, QosDurability.VOLATILE, forever, forever,
        QosLiveliness.AUTOMATIC, forever, False,
    )  # fmt: skip
    writer = open_writer(tmp_path / "bag")
    kind = "sensor_msgs/msg/JointState"
    connection = writer.add_connection(
        "/joint_states", kind, typestore=types, offered_qos_profiles=[offer, offer]
    )
    message = joint_state(ns(0), JOINT_NAMES, np.zeros(6))
    writer.write(connection, ns(0), types.serialize_cdr(message, kind))
    writer.close()
    with Bag(tmp_path / "bag") as bag:
        with pytest.raises(AmbiguousTopicError, match="2 publishers on /joint_states"):
            find_topics(bag, ())
        assert find_topics(bag, (), TopicChoice(joint_states="/joint_states"))


def test_a_topic_that_changes_its_type_is_refused(tmp_path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        bag.write("/joint_states", joint_state(ns(0), JOINT_NAMES, np.zeros(6)))
        bag.write("/top/image_raw", picture(ns(0), frame(0, 0)))
        bag.write("/top/image_raw", compressed(ns(1), frame(0, 1)))
    with Bag(tmp_path / "bag") as bag:
        with pytest.raises(TopicTypeError, match=r"/top/image_raw: found .*Image, .*CompressedImage"):
            find_topics(bag, ("top",))
        with pytest.raises(TopicTypeError, match="one type throughout"):
            list(bag.messages(["/top/image_raw"]))


def test_a_chosen_topic_of_another_type_is_refused(tmp_path) -> None:
    with Bag(write_bag(tmp_path / "bag")) as bag, pytest.raises(TopicTypeError, match="JointState"):
        find_topics(bag, ("top",), TopicChoice(joint_states="/top/image_raw"))


def test_raw_and_compressed_cameras_may_be_mixed_and_show_the_same(tmp_path) -> None:
    path = write_bag(tmp_path / "bag", 0.5, cameras=("top", "wrist"), formats=("raw", "compressed"))
    with Bag(path) as bag:
        topics = find_topics(bag, ("top", "wrist"))
        assert bag.types[topics.images["wrist"]] == (COMPRESSED,)
        for number, topic in enumerate(topics.images.values()):
            for k, message in enumerate(bag.messages([topic])):
                np.testing.assert_array_equal(image(message.content, 32, 32)(), frame(number, k))


def test_a_camera_recorded_raw_and_compressed_is_read_raw(tmp_path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        bag.write("/joint_states", joint_state(ns(0), JOINT_NAMES, np.zeros(6)))
        bag.write("/top/image_raw/compressed", compressed(ns(0), frame(0, 0)))
        bag.write("/top/image_raw", picture(ns(0), frame(0, 0)))
    with Bag(tmp_path / "bag") as bag:
        assert find_topics(bag, ("top",)).images["top"] == "/top/image_raw"


@pytest.mark.parametrize("topic", [*RECORDED, "/top/image_raw", "/left/top/image_raw/compressed"])
def test_what_replay_needs_is_recorded(topic) -> None:
    assert re.search(recorded_pattern(), topic)


@pytest.mark.parametrize(
    "topic", ["/rosout", "/top/camera_info", "/top/image_raw/theora", "/x/joint_states", "/step/chunks"]
)
def test_what_replay_does_not_need_is_not_recorded(topic) -> None:
    assert not re.search(recorded_pattern(), topic)


def test_cameras_elsewhere_are_recorded_where_they_are() -> None:
    pattern = recorded_pattern(["front/color"])
    assert re.search(pattern, "/front/color")
    assert not re.search(pattern, "/top/image_raw")


def test_a_mark_says_what_happened_when_and_with_which_parameters() -> None:
    found = read_mark(mark(ns(1 / FPS), "begin", {"method": "step", "seed": 3}))
    assert (found.kind, found.values) == ("begin", {"method": "step", "seed": "3"})
    with pytest.raises(MessageError, match="begin or end"):
        read_mark(mark(0, "pause", {}))

"""The cycles of a recording: the node's own rule, windows by stamps, actions where they are due."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from bag_helpers import (
    FPS,
    SIZE,
    compressed,
    frame,
    ns,
    swing,
    trajectory,
    write_bag,
)

from step_ros.control.joints import JOINT_NAMES
from step_ros.data.bag_topics import find_topics
from step_ros.data.bag_writer import BagWriter, joint_state, mark, picture
from step_ros.data.bags import Bag
from step_ros.evaluation.replay.cycles import Cut, Cycle, CycleReader

TOP = "observation.images.top"
COMMANDS = "/joint_trajectory_controller/joint_trajectory"


def read(path, cameras=("top",), **options) -> tuple[list[Cycle], CycleReader]:
    cut = Cut(FPS, 2, 16, 8, dict.fromkeys(cameras, (SIZE, SIZE)))
    with Bag(path) as bag:
        reader = CycleReader(bag, find_topics(bag, cameras), cut, JOINT_NAMES, 8, **options)
        return list(reader), reader


def ticks(cycles: Iterable[Cycle]) -> list[int]:
    """Frame numbers of the newest frames."""
    return [round((cycle.stamps_ns[""] - ns(0)) * 1e-9 * FPS) for cycle in cycles]


def test_a_cycle_begins_once_per_executed_prefix(tmp_path) -> None:
    cycles, reader = read(write_bag(tmp_path / "bag"))
    assert ticks(cycles) == list(range(1, 90, 8))
    assert [cycle.first for cycle in cycles] == [True] + [False] * 11
    assert not reader.findings.refused
    assert reader.span[1] - reader.span[0] == pytest.approx(2.99, abs=1e-6)


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.3])
def test_what_is_seen_depends_on_stamps_and_not_on_when_images_arrived(tmp_path, delay) -> None:
    cycles, _ = read(write_bag(tmp_path / "bag", cameras=("top", "wrist"), delay=delay), ("top", "wrist"))
    assert ticks(cycles) == list(range(1, 90, 8))
    for cycle, tick in zip(cycles, ticks(cycles), strict=True):
        for number, camera in enumerate(("top", "wrist")):
            expected = [frame(number, tick - 1), frame(number, tick)]
            np.testing.assert_array_equal(cycle.observation[f"observation.images.{camera}"], expected)
        states = [swing(k / FPS - 0.05) for k in (tick - 1, tick)]
        np.testing.assert_allclose(cycle.observation["observation.state"], states, atol=2e-5)


def test_only_frames_that_a_window_uses_are_decoded(tmp_path, monkeypatch) -> None:
    from step_ros.data import messages

    decoded = []
    pixels = messages._pixels
    monkeypatch.setattr(messages, "_pixels", lambda message: decoded.append(message) or pixels(message))
    cycles, _ = read(write_bag(tmp_path / "bag", formats=("compressed",)))
    assert len(decoded) == 2 * len(cycles)


def test_history_is_strictly_past_and_the_chunk_begins_with_the_present_action(tmp_path) -> None:
    cycles, _ = read(write_bag(tmp_path / "bag"))
    for cycle, tick in list(zip(cycles, ticks(cycles), strict=True))[2:-3]:
        past = [swing((tick - k) / FPS) for k in range(8, 0, -1)]
        np.testing.assert_allclose(cycle.commanded, past, atol=1e-6)
        chunk = [swing((tick + k) / FPS) for k in range(-1, 15)]
        np.testing.assert_allclose(cycle.recorded, chunk, atol=1e-6)


def test_actions_past_the_recordings_end_are_unknown(tmp_path) -> None:
    cycles, _ = read(write_bag(tmp_path / "bag"))
    assert np.isfinite(cycles[-3].recorded).all()
    assert not np.isfinite(cycles[-1].recorded[-1]).any()
    assert np.isfinite(cycles[-1].recorded[:2]).all()


def test_trajectories_count_from_when_they_arrive_as_in_the_running_node(tmp_path) -> None:
    """The second one arrives 50 ms after its stamp: until then the first is in force."""
    with BagWriter(tmp_path / "bag") as bag:
        entries = []
        for k in range(200):
            entries.append((k / 100, "/joint_states", joint_state(ns(k / 100), JOINT_NAMES, np.zeros(6))))
        for k in range(60):
            entries.append((k / FPS, "/top/image_raw", picture(ns(k / FPS), frame(0, k))))
        times = np.arange(31) / FPS
        for stamp, arrival, value in ((0.2, 0.21, 1.0), (0.8, 0.85, 2.0)):
            rows = np.full((31, 6), value)
            entries.append((arrival, COMMANDS, trajectory(ns(stamp), times, rows)))
        for arrival, topic, message in sorted(entries, key=lambda entry: entry[0]):
            bag.write(topic, message, ns(arrival))
    cycles, _ = read(tmp_path / "bag")
    before = next(cycle for cycle in cycles if cycle.stamp > ns(0.75) * 1e-9)
    due = before.stamp - ns(0) * 1e-9 + np.arange(16) / FPS
    np.testing.assert_array_equal(before.recorded[:, 0], np.where(due < 0.85, 1.0, 2.0))
    first = cycles[0]
    assert np.isnan(first.commanded).all()


def test_a_camera_that_is_silent_for_a_while_is_reported_and_ends_the_episode(tmp_path) -> None:
    cycles, reader = read(write_bag(tmp_path / "bag", 4.0, blind=(1.0, 1.9)))
    stamps = np.array([cycle.stamp for cycle in cycles]) - ns(0) * 1e-9
    assert not ((stamps > 1.0) & (stamps < 1.9)).any()
    assert reader.findings.gap_count == 1
    assert reader.findings.gaps[0]["stream"] == "/top/image_raw"
    assert reader.findings.gaps[0]["seconds"] == pytest.approx(0.9 + 1 / FPS, abs=0.04)
    assert [k for k, cycle in enumerate(cycles) if cycle.first] == [0, int((stamps < 1.0).sum())]
    assert cycles[-1].episode == 1


def test_a_jump_of_time_begins_a_new_episode(tmp_path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        for era, start in enumerate((100.0, 0.0)):
            for k in range(150):
                time, arrival = start + k / 100, ns(1.5 * era + k / 100)
                bag.write("/joint_states", joint_state(ns(time), JOINT_NAMES, np.zeros(6)), arrival)
                bag.write("/action", joint_state(ns(time), JOINT_NAMES, np.zeros(6)), arrival)
                if k % 3 == 0:
                    bag.write("/top/image_raw", picture(ns(time), frame(0, k)), arrival)
    cycles, reader = read(tmp_path / "bag")
    assert reader.findings.restarts == 1
    assert [cycle.stamp > ns(50) * 1e-9 for cycle in cycles if cycle.first] == [True, False]
    assert {cycle.episode for cycle in cycles} == {0, 1}


def test_a_still_command_is_a_pause(tmp_path) -> None:
    cycles, _ = read(write_bag(tmp_path / "bag", 6.0, still=(2.0, 4.5)))
    stamps = np.array([cycle.stamp for cycle in cycles]) - ns(0) * 1e-9
    pauses = np.array([cycle.pause for cycle in cycles])
    assert pauses[(stamps > 3.2) & (stamps < 4.4)].all()
    assert not pauses[(stamps < 2.0) | (stamps > 4.6)].any()


def marked(folder, marks):
    """Three seconds of recording with episode marks at given times."""
    plain = write_bag(folder.with_name("plain"), 3.0)
    entries = []
    with Bag(plain) as bag:
        topics = find_topics(bag, ("top",))
        entries += [(m.stamp_ns, m.topic, m.content) for m in bag.messages(topics.all)]
        with BagWriter(folder) as out:
            entries += [
                (ns(time), "/step/episode", mark(ns(time), kind, values)) for time, kind, values in marks
            ]
            for stamp, topic, message in sorted(entries, key=lambda entry: entry[0]):
                out.write(topic, message, stamp)
    return folder


def test_cycles_lie_between_the_marks_of_an_episode(tmp_path) -> None:
    marks = [(0.5, "begin", {"method": "step"}), (1.2, "end", {}), (2.0, "begin", {}), (2.8, "end", {})]
    cycles, _ = read(marked(tmp_path / "bag", marks))
    stamps = np.array([cycle.stamp for cycle in cycles]) - ns(0) * 1e-9
    inside = ((stamps > 0.4) & (stamps < 1.2)) | ((stamps > 1.9) & (stamps < 2.8))
    assert inside.all()
    assert [cycle.first for cycle in cycles] == [k in (0, 3) for k in range(len(cycles))]
    assert cycles[0].marked["method"] == "step"


def test_a_reset_forgets_what_was_seen_before(tmp_path) -> None:
    cycles, _ = read(marked(tmp_path / "bag", [(0.0, "begin", {}), (1.0101, "reset", {})]))
    after = next(cycle for cycle in cycles if cycle.stamp > ns(1.0) * 1e-9)
    assert after.first
    assert ticks([after]) == [32], "two frames of its own are needed"


def test_cycles_follow_the_chunks_of_a_recorded_node(tmp_path) -> None:
    plain = write_bag(tmp_path / "plain", 3.0)
    wanted = (5, 14, 22, 40)
    with Bag(plain) as bag, BagWriter(tmp_path / "bag") as out:
        entries = [(m.stamp_ns, m.topic, m.content) for m in bag.messages(find_topics(bag, ("top",)).all)]
        for tick in wanted:
            chunk = trajectory(ns(tick / FPS), (np.arange(16)) / FPS, np.full((16, 6), tick))
            entries.append((ns(tick / FPS + 0.04), "/step/chunk", chunk))
        for stamp, topic, message in sorted(entries, key=lambda entry: entry[0]):
            out.write(topic, message, stamp)
    cycles, _ = read(tmp_path / "bag")
    assert ticks(cycles) == list(wanted)
    assert [cycle.chunk[0, 0] for cycle in cycles] == list(wanted)
    cycles, _ = read(tmp_path / "bag", follow_chunks=False)
    assert ticks(cycles) == list(range(1, 90, 8))


@pytest.mark.parametrize("fault", ["undecodable", "mono8", "joints"])
def test_messages_that_cannot_be_used_are_counted_with_the_reason_and_do_no_harm(tmp_path, fault) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        entries = []
        for k in range(200):
            names = JOINT_NAMES if fault != "joints" or k % 4 else ("a", "b", "c", "d", "e", "f")
            entries.append((ns(k / 100), "/joint_states", joint_state(ns(k / 100), names, np.zeros(6))))
            entries.append((ns(k / 100), "/action", joint_state(ns(k / 100), JOINT_NAMES, np.zeros(6))))
        for k in range(60):
            message = compressed(ns(k / FPS), frame(0, k))
            topic = "/top/image_raw/compressed"
            if fault == "mono8":
                message, topic = picture(ns(k / FPS), frame(0, k)), "/top/image_raw"
                message.encoding = "mono8" if k == 9 else "rgb8"
            elif fault == "undecodable" and k == 9:
                message.data = np.zeros(50, np.uint8)
            entries.append((ns(k / FPS), topic, message))
        for stamp, topic, message in sorted(entries, key=lambda entry: entry[0]):
            bag.write(topic, message, stamp)
    cycles, reader = read(tmp_path / "bag")
    assert len(cycles) >= 6
    words = {"undecodable": "cannot be decoded", "mono8": "encoding is 'mono8'", "joints": "lacks"}[fault]
    (reason, count), *others = reader.findings.refused.items()
    assert words in reason
    assert count == (50 if fault == "joints" else 1)
    assert not others

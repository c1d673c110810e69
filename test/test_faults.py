"""Everything that may go wrong around the cycle: nothing crashes, no limit is passed, the arm holds in time.

"In time" is one place: a hold is sent within `CONTROL_PERIOD` (one look of the node at its inputs, 0.05 s) of
the moment at which the fault can be noticed. That moment is the timeout for what fails to come, the end of
the cycle for what a policy does, and the message itself for what it says.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from fault_helpers import (
    CONTROL_PERIOD,
    CYCLE,
    FOLLOW_PATIENCE,
    LIMITS,
    PREFIX,
    SIZE,
    TICK,
    TIMEOUT,
    World,
    assert_within_limits,
)
from sensor_msgs.msg import CompressedImage, Image, JointState

from step_ros.nodes.permission import WINDOW_PATIENCE

NEXT_CYCLE = PREFIX + CYCLE + 2 * TICK
"""Seconds until the policy has answered once more."""
IMAGE_GAP = 4 * TICK


@dataclass(frozen=True)
class Fault:
    """One way to fail.

    Attributes:
        name: for the reader.
        begin: makes it happen.
        says: words on /diagnostics.
        noticed: seconds after its begin at which it can be noticed and the arm must hold; a function of the
            world where that depends on the motion; None where the arm need not hold.
        lasts: seconds.
        end: makes it end.
        leaps: the controller's own set point jumps, because its clock does or the arm is not where it was
            told to be; nothing that is sent can help.
    """

    name: str
    begin: Callable[[World], object]
    says: str
    noticed: float | Callable[[World], float] | None
    lasts: float = 2.5
    end: Callable[[World], object] = World.heal
    leaps: bool = False


def on(attribute: str, value: object) -> Callable[[World], None]:
    return lambda world: setattr(world, attribute, value)


def no_message(*_: object) -> list:
    return []


def edited(**fields: object) -> Callable[..., list]:
    """A filter that changes fields of every message."""

    def edit(*given: object) -> list:
        message = given[-1]
        for field, value in fields.items():
            setattr(message, field, value(message) if callable(value) else value)
        return [message]

    return edit


def with_position(value: float) -> Callable[[JointState], list[JointState]]:
    """Puts `value` into every joint's position, one joint per message."""
    joint = itertools.cycle(range(6))

    def spoil(state: JointState) -> list[JointState]:
        state.position[next(joint)] = value
        return [state]

    return spoil


def every(number: int) -> Callable[..., list]:
    """Lets every so many-th round of messages through."""
    counts: dict[object, int] = {}

    def thin(*given: object) -> list:
        stream = given[:-1]
        counts[stream] = counts.get(stream, 0) + 1
        return [given[-1]] if counts[stream] % number == 0 else []

    return thin


def swapped() -> Callable[..., list]:
    """Delivers two messages of a stream at a time, the newer one first."""
    waiting: dict[object, object] = {}

    def swap(*given: object) -> list:
        stream, message = given[:-1], given[-1]
        if stream not in waiting:
            waiting[stream] = message
            return []
        return [message, waiting.pop(stream)]

    return swap


def repeated() -> Callable[..., list]:
    """Delivers the first message of each stream again and again."""
    first: dict[object, object] = {}
    return lambda *given: [first.setdefault(given[:-1], given[-1])]


def jpeg(camera: str, image: Image) -> list[CompressedImage]:
    message = CompressedImage(format="jpeg", data=[255, 216, 255, 0, 1, 2])
    message.header = image.header
    return [message]


def dark_wrist(camera: str, image: Image) -> list[Image]:
    return [] if camera == "wrist" else [image]


def stop_bridge(world: World) -> None:
    world.images = world.joints = no_message
    world.controls = False


def policy(**changes: object) -> Callable[[World], None]:
    """Makes the policy do something."""

    def begin(world: World) -> None:
        for name, value in changes.items():
            setattr(world.policy, name, value)

    return begin


def in_cycle(action: Callable[[World], object]) -> Callable[[World], None]:
    """Does something once, while the policy thinks."""

    def begin(world: World) -> None:
        def once() -> None:
            world.policy.meanwhile = lambda: None
            action(world)

        world.policy.meanwhile = once

    return begin


def nan_chunk(chunk: np.ndarray) -> np.ndarray:
    chunk[5, 2] = math.nan
    return chunk


def reset(world: World) -> None:
    world.heal()
    world.runner.reset()


def unblock(world: World) -> None:
    """The controller was left with its old set point: as when a person lets the arm go, and then resets."""
    world.heal()
    world.runner.reset()


def release(world: World) -> None:
    world.runner.emergency_stop(False)
    world.runner.enable(True)


def jump(seconds: float) -> Callable[[World], None]:
    return lambda world: setattr(world, "clock_offset", world.clock_offset + seconds)


def joints(change: Callable[..., list]) -> Callable[[World], None]:
    return on("joints", change)


def images(change: Callable[..., list]) -> Callable[[World], None]:
    return on("images", change)


def rivals(count: int) -> Callable[[World], None]:
    return lambda world: world.runner.set_rivals(count)


def follow(world: World) -> float:
    return FOLLOW_PATIENCE + 2 * TICK


NAMES = ["gripper", "wrist_roll", "wrist_flex", "elbow_flex", "shoulder_lift", "shoulder_pan"]
CUT = {"name": lambda state: state.name[:5], "position": lambda state: state.position[:5]}
TWICE = {
    "name": lambda state: [*state.name, "gripper"],
    "position": lambda state: [*state.position, 0.5],
}
TURNED = {
    "name": NAMES,
    "position": lambda state: list(state.position)[::-1],
    "velocity": lambda state: list(state.velocity)[::-1],
}
NAN = [math.nan] * 6
OLD_WINDOW = 0.7 + IMAGE_GAP
"""Seconds for which the window remembers its last complete observation."""

FAULTS = [
    Fault("killed bridge", stop_bridge, "older than 0.5 s", TIMEOUT),
    Fault("cameras silent", images(no_message), "camera top is older than 0.5 s", TIMEOUT),
    Fault("one camera silent", images(dark_wrist), "camera wrist is older than 0.5 s", TIMEOUT),
    Fault("camera frozen, same stamps", lambda w: images(repeated())(w), "camera top is older", TIMEOUT),
    Fault("camera frozen, new stamps", on("still", True), "running", None),
    Fault(
        "camera at 2 Hz",
        lambda w: images(every(15))(w),
        "no complete observation",
        OLD_WINDOW + WINDOW_PATIENCE,
        lasts=4.0,
    ),
    Fault("joints silent", joints(no_message), "joint state is older than 0.5 s", TIMEOUT),
    Fault(
        "joints at 5 Hz",
        lambda w: joints(every(12))(w),
        "no complete observation",
        OLD_WINDOW + WINDOW_PATIENCE,
        lasts=4.0,
    ),
    Fault("joints frozen, same stamps", lambda w: joints(repeated())(w), "joint state is older", TIMEOUT),
    Fault("joint states doubled", joints(lambda state: [state, state]), "running", None),
    Fault("images doubled", images(lambda camera, image: [image, image]), "running", None),
    Fault("joint states reordered", lambda w: joints(swapped())(w), "time went back", None),
    Fault("images reordered", lambda w: images(swapped())(w), "time went back", None),
    Fault("clock jumps ahead", jump(30.0), "clock jump: time jumped ahead", 0.0, leaps=True),
    Fault("clock jumps back", jump(-30.0), "clock jump: time went back", 0.0, leaps=True),
    Fault("clock jumps back a little", jump(-0.2), "clock jump: time went back", 0.0, leaps=True),
    Fault("stamps in the future", on("stamp", lambda stamp: stamp + 5.0), "clocks differ", 0.0),
    Fault("stamps in the past", on("stamp", lambda stamp: stamp - 5.0), "older than 0.5 s", IMAGE_GAP),
    Fault("stamps zero", on("stamp", lambda stamp: 0.0), "older than 0.5 s", IMAGE_GAP),
    Fault("position NaN", lambda w: joints(with_position(math.nan))(w), "is not finite", TIMEOUT),
    Fault("position infinite", lambda w: joints(with_position(-math.inf))(w), "is not finite", TIMEOUT),
    Fault("velocity NaN", joints(edited(velocity=NAN)), "running", None),
    Fault("effort NaN", joints(edited(effort=NAN)), "running", None),
    Fault(
        "positions impossible",
        joints(edited(position=[1e300] * 6)),
        "position of shoulder_pan is 1e+300",
        TIMEOUT,
    ),
    Fault("joint missing", joints(edited(**CUT)), "lacks gripper", TIMEOUT),
    Fault("joint doubled", joints(edited(**TWICE)), "names gripper more than once", TIMEOUT),
    Fault("joints in another order", joints(edited(**TURNED)), "running", None),
    Fault("positions too few", joints(edited(position=[0.0])), "1 positions for 6 names", TIMEOUT),
    Fault("empty joint states", joints(lambda state: [JointState()]), "it has no joints", TIMEOUT),
    Fault("wrong encoding", images(edited(encoding="mono8")), "image encoding is 'mono8'", TIMEOUT),
    Fault("wrong size", images(edited(height=8, data=bytes(8 * 3 * SIZE))), "image is 16x8", TIMEOUT),
    Fault("truncated image", images(edited(data=bytes(100))), "image has 100 bytes", TIMEOUT),
    Fault("empty images", images(lambda camera, image: [Image()]), "image encoding is ''", TIMEOUT),
    Fault("undecodable JPEG", images(jpeg), "cannot be decoded", NEXT_CYCLE + TIMEOUT),
    Fault(
        "engine raises once",
        policy(errors=iter([RuntimeError("engine lost")])),
        "policy failed (RuntimeError: engine lost)",
        NEXT_CYCLE,
        end=reset,
    ),
    Fault(
        "engine always raises",
        policy(errors=itertools.repeat(MemoryError("no memory"))),
        "policy failed (MemoryError: no memory)",
        NEXT_CYCLE,
        end=reset,
    ),
    Fault("NaN from the policy", policy(mangle=nan_chunk), "not finite: chunk[5, 2] is nan", NEXT_CYCLE),
    Fault(
        "wrong shape from the policy", policy(mangle=lambda chunk: chunk[:, :5]), "wrong shape", NEXT_CYCLE
    ),
    Fault(
        "short chunk from the policy", policy(mangle=lambda chunk: chunk[:4]), "chunk too short", NEXT_CYCLE
    ),
    Fault("huge values from the policy", policy(mangle=lambda chunk: chunk + 1e9), "running", None),
    Fault("wild values from the policy", policy(mangle=lambda chunk: chunk * 50), "running", None),
    Fault("policy slower than its horizon", on("thinking", 0.7), "late chunk", None),
    Fault(
        "policy hangs",
        in_cycle(lambda world: world.run(3.0)),
        "policy has not answered for 2 s",
        NEXT_CYCLE + 2.0,
        lasts=1.0,
    ),
    Fault("two publishers of commands", rivals(1), "other publishers of commands", 0.0, end=rivals(0)),
    Fault("arm blocked", on("blocked", True), "follow error: shoulder_pan", follow, 4.0, unblock, leaps=True),
    Fault(
        "killed controller",
        on("controls", False),
        "follow error: shoulder_pan",
        follow,
        4.0,
        unblock,
        leaps=True,
    ),
    Fault("controller rejects chunks", on("takes", False), "rejected chunk", None, 0.5),
    Fault("controller says nothing", on("speaks", False), "running", None),
    Fault(
        "emergency stop in a cycle",
        in_cycle(lambda world: world.runner.emergency_stop(True)),
        "emergency stop",
        NEXT_CYCLE,
        end=release,
    ),
    Fault(
        "disabled in a cycle",
        in_cycle(lambda world: world.runner.enable(False)),
        "disabled",
        NEXT_CYCLE,
        end=lambda world: world.runner.enable(True),
    ),
    Fault("reset in a cycle", in_cycle(lambda world: world.runner.reset()), "running", None),
]


@pytest.fixture
def world(monkeypatch) -> World:
    world = World(monkeypatch).run(1.5)
    assert world.runner.hold_reason is None
    assert len(world.sent) >= 4
    return world


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_moves_no_joint_past_its_limits_and_is_held_named_and_survived(world, fault: Fault) -> None:
    begun = world.time
    fault.begin(world)
    noticeable = noticeable_at(world, fault)
    world.run(fault.lasts)
    noticeable = noticeable() if callable(noticeable) else noticeable
    holds = [sent.time for sent in world.since(begun) if sent.is_hold]
    if noticeable is not None:
        assert holds, world.said(begun)
        assert holds[0] <= noticeable + CONTROL_PERIOD
    assert any(fault.says in text for text in world.said(begun)), world.said(begun)

    ended = world.time
    fault.end(world)
    world.run(2.0)
    assert world.runner.hold_reason is None
    assert [sent for sent in world.since(ended + 1.3) if not sent.is_hold], "does not go on"
    for sent in world.sent:
        assert_within_limits(sent)
    if not fault.leaps:
        set_points = np.array(world.set_points)
        assert (np.abs(np.diff(set_points, axis=0)) <= LIMITS.max_velocity * TICK + 1e-6).all()


def noticeable_at(world: World, fault: Fault) -> float | Callable[[], float] | None:
    """When the fault can be noticed [s], or what will know."""
    if not callable(fault.noticed):
        return None if fault.noticed is None else world.time + fault.noticed
    away = []
    tick = world._watch_following

    def watch() -> None:
        tick()
        if world.away_since is not None:
            away.append(world.away_since)

    world._watch_following = watch
    return lambda: away[0] + fault.noticed(world)


@pytest.mark.parametrize("forget", ["a reset", "stamps that jump"])
def test_what_was_sent_before_everything_was_forgotten_is_still_held(world, forget: str) -> None:
    if forget == "a reset":
        world.runner.reset()
    else:
        world.stamp = lambda stamp: stamp - 5.0
        world.run(2 * TICK)
    begun = world.time
    world.runner.enable(False)
    assert [sent.is_hold for sent in world.since(begun)] == [True]


def test_a_measured_position_that_no_arm_can_have_is_never_held(world) -> None:
    world.joints = edited(position=[1e300] * 6)
    begun = world.time
    world.run(1.0)
    (hold,) = (sent for sent in world.since(begun) if sent.is_hold)
    assert np.abs(hold.trajectory.positions[0] - hold.set_point).max() < 1e-6


def disagreeing() -> Callable[[np.ndarray], np.ndarray]:
    """Every other chunk is a little further on and a little faster."""
    turns = itertools.cycle((0.0, 0.04))

    def disagree(chunk: np.ndarray) -> np.ndarray:
        return chunk + next(turns) * (1 + np.linspace(0.0, 1.0, 16))[:, None]

    return disagree


def test_blending_can_be_switched_while_the_arm_moves_and_takes_the_jump_out_of_seams(world) -> None:
    world.policy.mangle = disagreeing()
    jumps = {}
    for blend in (0.15, 0.0, 0.15):
        world.runner.set_blend(blend)
        world.run(0.5)
        begun = len(world.times)
        world.run(2.0)
        seams = [times.seam for times in world.times[begun:]]
        jumps[blend] = max(seam.velocity for seam in seams), max(seam.position for seam in seams)
    assert jumps[0.15] == pytest.approx((0.0, 0.0), abs=1e-6)
    assert min(jumps[0.0]) > 0.02


def test_every_cycle_tells_its_seam(world) -> None:
    values = world.times[-1].values()
    assert {"seam_position", "seam_velocity", "seam_acceleration"} <= set(values)
    assert "seam_velocity_p99" in world.runner.statistics.values()


def test_a_follow_error_asks_for_a_reset_and_only_that_helps(world) -> None:
    world.blocked = True
    world.run(4.0)
    assert "follow error: shoulder_pan" in world.runner.hold_reason
    assert "call reset" in world.runner.hold_reason
    world.heal()
    world.run(1.0)
    assert "follow error" in world.runner.hold_reason
    world.runner.reset()
    world.run(0.5)
    assert world.runner.hold_reason is None


@pytest.mark.parametrize("seconds", [30.0, -30.0])
def test_a_clock_that_jumps_is_counted_and_forgotten_with_all_that_was_seen(world, seconds: float) -> None:
    jump(seconds)(world)
    begun = world.time
    world.run(1.0)
    assert world.runner.statistics.faults["clock jump"] == 1
    first = next(sent for sent in world.since(begun + CONTROL_PERIOD) if not sent.is_hold)
    assert first.trajectory.stamp == pytest.approx(first.now, abs=0.1)

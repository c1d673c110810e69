"""The cycle without ROS: when the policy is asked, what is sent, and what makes the arm hold."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
import pytest

from step_ros.control.joints import JOINT_NAMES, JointLimits
from step_ros.control.monitors import FollowMonitor
from step_ros.data.messages import MessageError
from step_ros.nodes import ahead, cycles
from step_ros.nodes.commands import Commander
from step_ros.nodes.cycles import CycleRunner
from step_ros.nodes.worker import LatestWorker
from step_ros.policy.config import PolicyConfig, Settings
from step_ros.policy.errors import OutputError
from step_ros.policy.frames import Frame
from step_ros.policy.policy import Plan

FPS = 30.0
T = 1_700_000_000.0
LIMITS = JointLimits.so101()
CONFIG = PolicyConfig(
    input_features={"observation.state": (6,), "observation.images.top": (16, 16, 3)},
    action_names=JOINT_NAMES,
)
PICTURE = np.zeros((16, 16, 3), np.uint8)


class FakePolicy:
    """Plans to stay at `target`, and remembers what it was asked."""

    def __init__(self, target: float = 0.0) -> None:
        self.config, self.settings = CONFIG, Settings()
        self.target, self.error = target, None
        self.resets, self.observations, self.commanded = 0, [], []
        self.prefetched = []

    def prefetch(self, name: str, frame: np.ndarray) -> None:
        self.prefetched.append((name, frame))

    def reset(self) -> None:
        self.resets += 1

    def act(self, observation: dict, commanded: np.ndarray) -> Plan:
        self.observations.append(observation)
        self.commanded.append(commanded)
        if self.error is not None:
            raise self.error
        chunk = np.full((16, 6), self.target)
        cold = bool(np.isnan(commanded).all())
        return Plan(chunk, chunk[1:9], 2, 1, cold, False, None, (20, 10), "step", {"total": 3.0})


@dataclass
class Outlet:
    sent: list = field(default_factory=list)
    plans: list = field(default_factory=list)
    errors: list = field(default_factory=list)
    times: list = field(default_factory=list)
    marks: list = field(default_factory=list)
    alarms: int = 0

    def send(self, trajectory) -> None:
        self.sent.append(trajectory)

    def planned(self, plan, stamp) -> None:
        self.plans.append((stamp, plan))

    def marked(self, kind) -> None:
        self.marks.append(kind)

    def timed(self, times) -> None:
        self.times.append(times)

    def failed(self, error) -> None:
        self.errors.append(error)

    def alarmed(self) -> None:
        self.alarms += 1


class SameThread:
    """In the worker's place: runs each request at once."""

    def __init__(self, run, name: str) -> None:
        self.submit = run

    def stop(self) -> None:
        """Nothing to end."""


def arm(blend: float = 0.0, largest: float = np.inf) -> tuple[Commander, FollowMonitor]:
    """What commands the arm, and what watches how it follows."""
    return Commander(CONFIG, LIMITS, JOINT_NAMES, blend=blend), FollowMonitor(
        JOINT_NAMES, np.full(6, largest)
    )


class Rig:
    """A runner with a camera and joints at 30 Hz, on a clock of its own."""

    def __init__(self, policy: FakePolicy, latency: float = 0.02) -> None:
        self.policy, self.outlet, self.latency = policy, Outlet(), latency
        self.time, self.joints = T, np.zeros(6)
        self.picture = lambda: PICTURE
        self.runner = CycleRunner(
            policy, ("top",), *arm(), 0.5, 0.5, self.outlet, self.clock, lambda: self.time
        )

    def clock(self) -> float:
        return self.time

    def tick(self, count: int = 1, image: bool = True, joints: bool = True) -> None:
        for _ in range(count):
            stamp = self.time
            self.time += self.latency
            if joints:
                self.runner.add_joints(stamp, self.joints.copy())
            if image:
                self.runner.add_image("top", stamp, Frame(self.picture))
            self.time = stamp + 1 / FPS
            self.runner.check()

    @property
    def plans(self) -> list:
        return [trajectory for trajectory in self.outlet.sent if trajectory.stamp]

    @property
    def holds(self) -> list:
        return [trajectory for trajectory in self.outlet.sent if not trajectory.stamp]


@pytest.fixture
def rig(monkeypatch) -> Rig:
    for module in (cycles, ahead):
        monkeypatch.setattr(module, "LatestWorker", SameThread)
    rig = Rig(FakePolicy())
    rig.runner.start()
    return rig


def running(rig: Rig) -> Rig:
    """Past the first message of every stream, with two cycles done."""
    rig.tick(14)
    assert rig.runner.hold_reason is None
    assert len(rig.plans) == 2
    return rig


def test_one_chunk_is_sent_per_action_steps_ticks(rig) -> None:
    rig.tick(2 + 8 * 5)
    stamps = [trajectory.stamp for trajectory in rig.plans]
    assert len(stamps) == 6
    np.testing.assert_allclose(np.diff(stamps), 8 / FPS, atol=1e-5)
    assert rig.runner.statistics.skipped == 0


def test_the_chunk_is_stamped_with_the_time_of_the_image(rig) -> None:
    running(rig)
    assert rig.plans[0].stamp == pytest.approx(T + 1 / FPS, abs=1e-6)
    assert rig.runner.statistics.values()["cycle_ms_p50"] == pytest.approx(20.0, abs=0.1)


def test_a_changed_number_of_action_steps_counts_from_the_next_cycle(rig) -> None:
    running(rig)
    rig.policy.settings = Settings(action_steps=4)
    rig.tick(20)
    stamps = [trajectory.stamp for trajectory in rig.plans]
    np.testing.assert_allclose(np.diff(stamps)[2:], 4 / FPS, atol=1e-5)


def test_the_first_cycle_has_no_history_and_later_ones_what_was_sent(rig) -> None:
    rig.policy.target = 0.05
    running(rig)
    assert np.isnan(rig.policy.commanded[0]).all()
    np.testing.assert_allclose(rig.policy.commanded[1], 0.05)


def test_the_history_is_what_was_sent_after_limits(rig) -> None:
    rig.policy.target = 50.0
    running(rig)
    first = rig.plans[0]
    due = [first.sample(rig.plans[1].stamp - k / FPS)[0] for k in range(7, -1, -1)]
    np.testing.assert_allclose(rig.policy.commanded[1], due, atol=1e-6)


@pytest.mark.parametrize("target", [1e9, -1e9, 3.0])
def test_every_command_is_within_the_limits_whatever_the_policy_wants(rig, target: float) -> None:
    rig.policy.target = target
    rig.tick(60)
    assert len(rig.plans) >= 7
    before = np.zeros(6)
    for trajectory in rig.plans:
        assert (trajectory.positions >= LIMITS.lower).all()
        assert (trajectory.positions <= LIMITS.upper).all()
        ahead = trajectory.times >= 0.02
        speed = np.abs(np.diff(trajectory.positions[ahead], axis=0).T / np.diff(trajectory.times[ahead])).T
        assert (speed <= LIMITS.max_velocity + 1e-6).all()
        seam = np.abs(trajectory.sample(trajectory.stamp + 0.02)[0] - before)
        assert (seam <= 2 * LIMITS.max_step).all()
        before = trajectory.sample(trajectory.stamp + 8 / FPS + 0.02)[0]
    assert rig.runner.statistics.limited == len(rig.plans)


def test_a_policy_that_takes_too_long_makes_no_command_and_is_reported(rig) -> None:
    rig.latency = 0.03
    act = rig.policy.act

    def slow(*args):
        rig.time += 0.7
        return act(*args)

    rig.policy.act = slow
    rig.tick(2)
    assert rig.plans == []
    assert rig.runner.statistics.faults["late chunk"] == 1
    assert "late chunk" in rig.runner.statistics.last_warning


def test_with_one_action_per_cycle_every_frame_makes_a_cycle_when_the_policy_is_fast(rig) -> None:
    rig.policy.settings = Settings(action_steps=1)
    rig.tick(61)
    assert len(rig.plans) == 60
    np.testing.assert_allclose(np.diff([plan.stamp for plan in rig.plans]), 1 / FPS, atol=1e-5)
    assert rig.runner.statistics.skipped == 0
    assert rig.runner.complaint is None


class Later:
    """In the worker's place: keeps the newest request until it is told to run it."""

    def __init__(self, run, name: str) -> None:
        self._run, self._slot = run, None

    def submit(self, request) -> None:
        self._slot = request

    def run(self) -> None:
        request, self._slot = self._slot, None
        if request is not None:
            self._run(request)

    def stop(self) -> None:
        """Nothing to end."""


class SlowRig(Rig):
    """Its policy takes `seconds` per cycle, in which images go on coming."""

    seconds = 0.06

    def __init__(self) -> None:
        super().__init__(FakePolicy())
        act = self.policy.act

        def slow(*inputs) -> Plan:
            self.time += self.seconds
            return act(*inputs)

        self.policy.act = slow
        self.runner.start()

    def tick(self, count: int) -> None:
        start, free = self.time, self.time
        for k in range(count):
            self.time = start + k / FPS
            self.runner.add_joints(self.time, self.joints.copy())
            self.runner.add_image("top", self.time, Frame(self.picture))
            self.runner.check()
            if self.time >= free:
                self.runner._worker.run()
                free = self.time
        self.time = start + count / FPS


@pytest.fixture
def slow(monkeypatch) -> SlowRig:
    monkeypatch.setattr(cycles, "LatestWorker", Later)
    monkeypatch.setattr(ahead, "LatestWorker", SameThread)
    return SlowRig()


def test_a_policy_slower_than_its_action_steps_is_said_to_be_with_numbers_and_what_would_fit(slow) -> None:
    slow.policy.settings = Settings(action_steps=1)
    slow.tick(60)
    assert slow.runner.statistics.skipped == pytest.approx(29, abs=1)
    assert slow.holds == [], "chunks are longer than the cycle: the arm never waits"
    complaint = slow.runner.complaint
    assert "a cycle takes 60 ms (p95 60 ms) but action_steps 1 allows 33 ms" in complaint
    assert "cycles left out" in complaint
    assert "action_steps 2 would fit" in complaint


def test_when_as_many_action_steps_are_given_as_fit_the_complaint_ends(slow) -> None:
    slow.policy.settings = Settings(action_steps=1)
    slow.tick(30)
    assert slow.runner.complaint
    slow.policy.settings = Settings(action_steps=2)
    slow.tick(60)
    assert slow.runner.complaint is None


def test_a_policy_too_slow_for_any_action_steps_is_said_to_be(slow) -> None:
    slow.seconds = 0.55
    slow.runner.set_timeouts(5.0, 5.0)
    slow.tick(90)
    assert slow.runner.statistics.faults["late chunk"] > 0
    assert "no action_steps up to 15 would fit" in slow.runner.complaint


def test_cycles_left_out_because_images_are_missing_are_not_blamed_on_the_policy(rig) -> None:
    rig.policy.settings = Settings(action_steps=1)
    rig.tick(10)
    rig.tick(3, image=False)
    rig.tick(3)
    assert "images or joint states come late or are missing" in rig.runner.complaint


def test_cycles_left_out_are_counted(rig) -> None:
    running(rig)
    rig.runner.set_timeouts(5.0, 5.0)
    rig.time += 20 / FPS
    rig.tick(2)
    assert rig.plans[-1].stamp - rig.plans[-2].stamp == pytest.approx(26 / FPS, abs=1e-5)
    assert rig.runner.statistics.skipped == 2


@pytest.mark.parametrize(
    ("lost", "reason"), [("image", "camera top is older"), ("joints", "joint state is older")]
)
def test_the_arm_holds_when_an_input_goes_stale_and_goes_on_when_it_is_back(rig, lost, reason) -> None:
    running(rig)
    cycles_before = len(rig.plans)
    rig.tick(30, **{lost: False})
    assert reason in rig.runner.hold_reason
    assert len(rig.holds) == 1
    assert rig.outlet.sent[-1] is rig.holds[0]
    assert len(rig.plans) <= cycles_before + 2
    rig.tick(5)
    assert rig.runner.hold_reason is None
    assert rig.plans[-1] is rig.outlet.sent[-1]
    assert np.isnan(rig.policy.commanded[-1]).all(), "the arm was held: no history, a cold start"


def test_a_camera_too_slow_for_the_observation_window_makes_the_arm_hold_until_it_is_fast_again(rig) -> None:
    rig.tick(20)
    for number in range(60):
        rig.tick(image=number % 3 == 0)
    assert "no complete observation" in rig.runner.hold_reason
    assert rig.holds
    planned = len(rig.plans)
    rig.tick(20)
    assert rig.runner.hold_reason is None
    assert len(rig.plans) > planned


def test_a_hold_stays_at_the_measured_position_at_rest(rig) -> None:
    running(rig)
    rig.joints = np.full(6, 0.3)
    rig.tick()
    rig.runner.enable(False)
    hold = rig.holds[-1]
    np.testing.assert_array_equal(hold.positions, [rig.joints])
    np.testing.assert_array_equal(hold.velocities, 0)
    assert hold.stamp == 0


def test_a_hold_without_fresh_joint_states_stays_at_the_set_point(rig) -> None:
    rig.policy.target = 0.1
    running(rig)
    rig.joints = np.full(6, -1.0)
    rig.tick()
    rig.tick(30, joints=False)
    np.testing.assert_allclose(rig.holds[-1].positions, 0.1)


def test_a_measured_position_past_a_limit_is_held_at_the_limit(rig) -> None:
    running(rig)
    rig.joints = LIMITS.upper + 0.1
    rig.tick()
    rig.runner.enable(False)
    np.testing.assert_array_equal(rig.holds[-1].positions, [LIMITS.upper])


def test_an_arm_that_was_never_commanded_is_not_told_to_hold(rig) -> None:
    rig.runner.enable(False)
    rig.tick(10)
    assert rig.outlet.sent == []
    assert rig.runner.hold_reason == "disabled"


def test_while_disabled_nothing_is_asked_and_nothing_sent(rig) -> None:
    running(rig)
    rig.runner.enable(False)
    asked, sent = len(rig.policy.observations), len(rig.outlet.sent)
    rig.tick(40)
    assert (len(rig.policy.observations), len(rig.outlet.sent)) == (asked, sent)
    rig.runner.enable(True)
    rig.tick(2)
    assert len(rig.policy.observations) > asked


def test_an_emergency_stop_holds_at_once_and_leaves_the_arm_disabled(rig) -> None:
    running(rig)
    rig.runner.emergency_stop(True)
    assert rig.runner.hold_reason == "emergency stop"
    assert len(rig.holds) == 1
    rig.runner.enable(True)
    assert rig.runner.hold_reason == "emergency stop"
    rig.runner.emergency_stop(False)
    assert rig.runner.hold_reason == "disabled"
    rig.runner.enable(True)
    assert rig.runner.hold_reason is None


def test_an_emergency_stop_holds_an_arm_that_somebody_else_commands(rig) -> None:
    rig.runner.enable(False)
    rig.tick(3)
    rig.runner.emergency_stop(True)
    assert len(rig.holds) == 1


@pytest.mark.parametrize("error", [OutputError("denoiser returned NaN"), RuntimeError("out of memory")])
def test_a_policy_that_raises_makes_the_arm_hold_until_a_reset(rig, error: Exception) -> None:
    running(rig)
    rig.policy.error = error
    rig.tick(9)
    assert str(error) in rig.runner.hold_reason
    assert rig.outlet.errors == [error]
    assert len(rig.holds) == 1
    rig.policy.error = None
    asked = len(rig.policy.observations)
    rig.tick(20)
    assert len(rig.policy.observations) == asked
    rig.runner.reset()
    rig.tick(3)
    assert rig.runner.hold_reason is None
    assert rig.outlet.sent[-1].stamp


def test_a_chunk_with_nan_is_never_sent(rig) -> None:
    running(rig)
    rig.policy.target = np.nan
    rig.tick(20)
    assert rig.runner.statistics.faults["not finite"]
    assert "chunk[0, 0] is nan" in rig.runner.statistics.last_warning
    assert rig.holds
    assert all(np.isfinite(trajectory.positions).all() for trajectory in rig.outlet.sent)


def test_a_chunk_of_wrong_size_makes_the_arm_hold(rig) -> None:
    running(rig)
    rig.policy.act = lambda *_: Plan(
        np.zeros((16, 5)), np.zeros((8, 5)), 2, 1, False, False, None, (), "step", {"total": 1.0}
    )
    rig.tick(20)
    assert rig.runner.statistics.faults["wrong shape"]
    assert rig.outlet.sent[-1] is rig.holds[-1]


def test_a_reset_begins_a_new_episode(rig) -> None:
    running(rig)
    resets = rig.policy.resets
    rig.runner.reset()
    rig.tick(2)
    assert rig.policy.resets == resets + 1
    assert np.isnan(rig.policy.commanded[-1]).all()


def test_after_a_reset_the_arm_starts_from_where_it_is_measured(rig) -> None:
    rig.policy.target = 1.0
    rig.tick(40)
    rig.joints = np.full(6, -0.1)
    rig.runner.reset()
    rig.tick(2)
    np.testing.assert_allclose(rig.plans[-1].positions[0], 0.05)


@pytest.mark.parametrize(("change", "words"), [(-30.0, "went back"), (30.0, "jumped ahead")])
def test_stamps_that_go_back_or_jump_start_a_new_episode_with_the_reason(rig, change, words) -> None:
    running(rig)
    rig.time += change
    rig.tick(3)
    assert words in rig.runner.statistics.last_warning
    assert rig.runner.statistics.restarts == 1
    assert rig.runner.hold_reason is None
    assert np.isnan(rig.policy.commanded[-1]).all()
    assert rig.plans[-1].stamp > T + change


def test_refused_messages_are_counted_and_named_when_the_arm_holds(rig) -> None:
    running(rig)
    for _ in range(20):
        rig.tick(image=False)
        rig.runner.refuse("camera top", "image encoding is 'mono8'")
    assert rig.runner.statistics.refused["camera top"] == 20
    assert "mono8" in rig.runner.hold_reason
    assert rig.runner.statistics.values()["refused camera top"] == 20


def test_of_all_images_only_those_that_cycles_use_are_decoded(rig) -> None:
    decoded = []
    rig.picture = lambda: decoded.append(rig.time) or PICTURE
    rig.tick(2 + 8 * 5)
    assert len(rig.plans) == 6
    assert len(decoded) == 2 * 6


def test_the_older_frame_of_a_window_is_encoded_when_it_comes_and_not_in_the_cycle(rig) -> None:
    rig.tick(2 + 8 * 2)
    assert len(rig.plans) == 3
    assert [name for name, _ in rig.policy.prefetched] == ["observation.images.top"] * 2, (
        "all but the first cycle, whose frames came while the arm held"
    )


def test_while_the_arm_holds_nothing_is_encoded_ahead(rig) -> None:
    running(rig)
    rig.runner.enable(False)
    prefetched = len(rig.policy.prefetched)
    rig.tick(20)
    assert len(rig.policy.prefetched) == prefetched


def undecodable() -> np.ndarray:
    raise MessageError("compressed image ('jpeg', 3 bytes) cannot be decoded")


def test_images_that_turn_out_undecodable_are_refused_and_the_arm_holds_until_a_good_one_comes(rig) -> None:
    running(rig)
    rig.picture = undecodable
    rig.tick(40)
    assert rig.runner.statistics.refused["camera top"] > 20
    assert "cannot be decoded" in rig.runner.hold_reason
    assert len(rig.holds) == 1
    rig.picture = lambda: PICTURE
    rig.tick(5)
    assert rig.runner.hold_reason is None
    assert rig.plans[-1] is rig.outlet.sent[-1]


def test_a_single_undecodable_image_costs_a_tick_and_not_the_episode(rig) -> None:
    running(rig)
    rig.picture = undecodable
    rig.tick(4)
    rig.picture = lambda: PICTURE
    rig.tick(20)
    assert rig.runner.statistics.refused["camera top"] >= 1
    assert rig.holds == []
    assert not np.isnan(rig.policy.commanded[-1]).any()


def test_a_policy_that_fails_on_a_frame_ahead_of_its_cycle_makes_the_arm_hold(rig) -> None:
    running(rig)

    def fail(name: str, frame: np.ndarray) -> None:
        raise RuntimeError("encoder lost")

    rig.policy.prefetch = fail
    rig.tick(10)
    assert "encoder lost" in rig.runner.hold_reason
    assert len(rig.holds) == 1


def test_the_times_of_a_cycle_add_up(rig) -> None:
    running(rig)
    times = rig.outlet.times[-1]
    assert times.stamp == rig.plans[-1].stamp
    assert times.overhead_ms == pytest.approx(1e3 * times.latency - 3.0)
    assert times.values()["latency"] == pytest.approx(20.0, abs=0.1)


def test_a_repeated_warning_is_reported_at_once_only_the_first_time(rig) -> None:
    running(rig)
    alarms = rig.outlet.alarms
    for _ in range(5):
        rig.runner.refuse("camera top", "image is empty (0x0)")
    assert rig.outlet.alarms == alarms + 1


def test_episodes_are_marked_where_the_arm_begins_to_move_holds_and_forgets(rig) -> None:
    running(rig)
    assert rig.outlet.marks == ["reset", "begin"]
    rig.runner.enable(False)
    rig.runner.enable(True)
    rig.runner.reset()
    rig.runner.stop()
    assert rig.outlet.marks[2:] == ["end", "begin", "reset", "end"]


def test_deactivation_holds_the_arm(rig) -> None:
    running(rig)
    rig.runner.stop()
    assert rig.runner.hold_reason == "inactive"
    assert len(rig.holds) == 1
    rig.tick(20)
    assert rig.outlet.sent[-1] is rig.holds[0]


class GatedPolicy(FakePolicy):
    """Waits in `act` until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.gate = threading.Semaphore(0), threading.Semaphore(0)

    def act(self, observation: dict, commanded: np.ndarray) -> Plan:
        self.entered.release()
        assert self.gate.acquire(timeout=10)
        return super().act(observation, commanded)


def test_a_chunk_that_was_under_way_when_the_arm_was_told_to_hold_is_thrown_away() -> None:
    rig = Rig(GatedPolicy())
    rig.runner.start()
    rig.tick(3)
    assert rig.policy.entered.acquire(timeout=10)
    rig.runner.enable(False)
    rig.policy.gate.release()
    rig.runner.close()
    assert len(rig.policy.observations) == 1
    assert rig.plans == []


def test_messages_are_taken_while_the_policy_thinks_and_only_the_newest_window_is_used_next() -> None:
    rig = Rig(GatedPolicy(), latency=0.0)
    rig.runner.start()
    rig.tick(3)
    assert rig.policy.entered.acquire(timeout=10)
    for k in range(11):
        rig.joints = np.full(6, 0.01 * k)
        rig.tick()
    rig.policy.gate.release()
    assert rig.policy.entered.acquire(timeout=10)
    rig.policy.gate.release()
    rig.runner.close()
    assert len(rig.policy.observations) == 2
    np.testing.assert_allclose(rig.policy.observations[-1]["observation.state"][:, 0], [0.09, 0.10])


def test_the_worker_drops_a_request_that_a_newer_one_replaced() -> None:
    done, entered, gate = [], threading.Event(), threading.Event()

    def work(item: int) -> None:
        entered.set()
        gate.wait(10)
        done.append(item)
        if item == 3:
            finished.set()

    finished = threading.Event()
    worker = LatestWorker(work, "test")
    worker.submit(1)
    assert entered.wait(10)
    worker.submit(2)
    worker.submit(3)
    gate.set()
    assert finished.wait(10)
    worker.stop()
    assert done == [1, 3]

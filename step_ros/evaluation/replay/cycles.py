"""The cycles of a recording: what a policy would have been asked, when, and what the arm was told then.

Window and cadence are those of the running node, fed in the order of the stamps. Where the bag holds the
chunks of a running `/step`, cycles begin at their stamps: exactly there the robot's policy looked.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from step_ros.data import messages
from step_ros.data.bag_topics import TRAJECTORY, BagTopics
from step_ros.data.bags import Bag, BagMessage
from step_ros.data.episode_marks import BEGIN, END, RESET, read_mark
from step_ros.data.messages import MessageError
from step_ros.evaluation.replay.actions import LONGEST_GAP, RecordedActions
from step_ros.policy.cadence import Cadence
from step_ros.policy.config import IMAGES, PolicyConfig
from step_ros.policy.frames import Frame
from step_ros.policy.window import ObservationWindow

PAUSE_SECONDS = 1.0
"""A command that stays within PAUSE_RADIANS for so long is a pause."""
PAUSE_RADIANS = 0.01
PAUSE_STRIDE = 3
"""Rows from one look at the command to the next."""
LISTED_GAPS = 50
REMEMBERED = 128
"""Stamps of the stream that gives observations their time."""


@dataclass(frozen=True)
class Cut:
    """How windows are cut out of a recording.

    Attributes:
        fps: rows per second.
        n_obs_steps, horizon, n_action_steps: rows of an observation, of a chunk and of the history.
        sizes: camera -> (height, width) of its pictures; a camera that is not there keeps its own.
    """

    fps: float
    n_obs_steps: int
    horizon: int
    n_action_steps: int
    sizes: Mapping[str, tuple[int, int]]

    @classmethod
    def of(cls, config: PolicyConfig) -> Cut:
        """As a policy sees."""
        sizes = {name.removeprefix(IMAGES): config.input_features[name][:2] for name in config.image_names}
        return cls(config.fps, config.n_obs_steps, config.horizon, config.n_action_steps, sizes)


class RecordedFrame(Frame):
    """A frame that knows its stamp [ns]."""

    def __init__(self, decode: Callable[[], np.ndarray], stamp_ns: int) -> None:
        super().__init__(decode)
        self.stamp_ns = stamp_ns


@dataclass
class Cycle:
    """One observation and what was recorded around it; J joints in the policy's order [rad].

    Attributes:
        stamp: time of the newest frame [s].
        stamps_ns: the newest frames' stamps [ns] by camera, and the observation's own under "".
        episode: number of the stretch of uninterrupted motion, from 0.
        first: whether it begins that stretch.
        observation: as `Policy.act` takes it.
        commanded: (Ta, J) last recorded actions, NaN where there are none.
        recorded: (Tp, J) the recorded actions of the chunk's rows, NaN where the recording has none.
        pause: whether the recorded command has been still for PAUSE_SECONDS.
        chunk: (Tp, J) what the running policy planned here, if the bag holds it.
        marked: what the newest episode mark said, by name.
    """

    stamp: float
    stamps_ns: dict[str, int]
    episode: int
    first: bool
    observation: dict[str, np.ndarray]
    commanded: np.ndarray
    recorded: np.ndarray
    pause: bool = False
    chunk: np.ndarray | None = None
    marked: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Findings:
    """What was odd in a recording."""

    gaps: list[dict[str, object]] = field(default_factory=list)
    """At most LISTED_GAPS: `stream`, `start` and `seconds`."""
    gap_count: int = 0
    restarts: int = 0
    """Times that stamps went back or jumped ahead."""
    refused: Counter[str] = field(default_factory=Counter)
    """Unusable messages, by stream and reason."""


class CycleReader:
    """Reads a bag once and yields its cycles; what they need of the future is waited for.

    Args:
        bag, topics: where the messages are.
        cut: what an observation is.
        joint_names: the policy's joints as they are called in messages.
        action_steps: actions per cycle, where the bag's own chunks do not say when cycles begin.
        timeout: a stream silent for longer [s] makes the arm hold, and a new episode begin when it is back.
        follow_chunks: begin cycles where the recorded chunks did, if there are any.
        cadence: when cycles begin otherwise; the running node's by default.
    """

    def __init__(
        self,
        bag: Bag,
        topics: BagTopics,
        cut: Cut,
        joint_names: Sequence[str],
        action_steps: int,
        timeout: float = 0.5,
        follow_chunks: bool = True,
        cadence: Cadence | None = None,
    ) -> None:
        self._bag, self._topics, self._cut = bag, topics, cut
        self._names, self._timeout, self._action_steps = tuple(joint_names), timeout, action_steps
        self._cameras = {topic: camera for camera, topic in topics.images.items()}
        self._window = ObservationWindow(tuple(topics.images), cut.n_obs_steps, cut.fps)
        self._cadence = cadence or Cadence(cut.fps)
        self._actions = RecordedActions(topics.action_kind, self._names, cut.fps)
        self._of_step = topics.chunks is not None
        self._follow = follow_chunks and self._of_step
        self._clock = next(iter(topics.images.values()), topics.joint_states)
        self._exact: deque[tuple[float, int]] = deque(maxlen=REMEMBERED)
        self._newest: dict[str, float] = {}
        self._asked: deque[tuple[float, np.ndarray]] = deque()
        self._waiting: deque[Cycle] = deque()
        self._ready: deque[Cycle] = deque()
        self._moving, self._fresh, self._first = topics.episodes is None, False, True
        self._episode = -1
        self._marked: Mapping[str, str] = {}
        self._chunk_rows = range(1 - cut.n_obs_steps, cut.horizon - cut.n_obs_steps + 1)
        self._history_rows = range(-cut.n_action_steps, 0)
        self._pause_rows = range(-int(PAUSE_SECONDS * cut.fps), 0, PAUSE_STRIDE)
        self._ends = (np.array(self._chunk_rows) + 1) / cut.fps
        self.findings = Findings()
        self.span = (np.inf, -np.inf)
        """First and last stamp [s] read so far."""

    def __iter__(self) -> Iterator[Cycle]:
        topics = self._topics
        commands = (topics.actions,) if topics.action_kind == TRAJECTORY else ()
        for message in self._bag.messages(topics.all, commands, topics.joint_states):
            for step in (self._take, self._look):
                try:
                    step(message)
                except MessageError as error:
                    self.findings.refused[f"{message.topic}: {error}"] += 1
            yield from self._settled()
        self._settle(np.inf)
        yield from self._settled()

    def _take(self, message: BagMessage) -> None:
        topic = message.topic
        if topic == self._clock:
            self._exact.append((message.stamp, message.stamp_ns))
        if topic in self._cameras:
            self._heard(topic, message.time)
            self._see(message, self._cameras[topic])
        elif topic == self._topics.joint_states:
            self._heard(topic, message.time)
            positions = messages.joint_positions(message.content, self._names)
            self._jumped(message, self._window.add_joints(message.stamp, positions))
        elif topic == self._topics.episodes:
            self._mark(message)
        elif topic == self._topics.chunks and self._follow:
            stamp, _, positions, _ = messages.trajectory(message.content, self._names)
            self._asked.append((stamp, positions))
        if topic == self._topics.actions:
            if message.stamp_ns == 0 and self._of_step and self._topics.episodes is None:
                # A hold of the running node: without marks, the only sign of an episode's end.
                self._begin_episode(message.time)
            else:
                self._actions.add(message)

    def _see(self, message: BagMessage, camera: str) -> None:
        size = self._cut.sizes.get(camera)
        content = message.content
        decode = messages.image(content, *size) if size else partial(messages.picture, content)
        frame = RecordedFrame(decode, message.stamp_ns)
        self._jumped(message, self._window.add_image(camera, message.stamp, frame))

    def _mark(self, message: BagMessage) -> None:
        mark = read_mark(message.content)
        self._marked = mark.values
        # A frame that was under way at a reset was still seen after it, which its stamp does not tell. Where
        # chunks say when cycles began, nothing depends on it.
        if mark.kind == RESET and not self._follow:
            self._window.clear()
        if mark.kind in (BEGIN, RESET):
            self._begin_episode(message.time)
        if mark.kind in (BEGIN, END):
            self._moving = mark.kind == BEGIN

    def _heard(self, topic: str, time: float) -> None:
        """Note when a stream was heard, and how long it was silent."""
        before = self._newest.get(topic, time)
        self._newest[topic] = time
        self.span = min(self.span[0], time), max(self.span[1], time)
        if time - before > self._timeout:
            self.findings.gap_count += 1
            if len(self.findings.gaps) < LISTED_GAPS:
                gap = {"stream": topic, "start": before, "seconds": time - before}
                self.findings.gaps.append(gap)

    def _jumped(self, message: BagMessage, reason: str | None) -> None:
        """Begin anew with a message, if its stamp made the window do so."""
        if reason:
            self.findings.restarts += 1
            self._newest = {message.topic: message.time}
            self._asked.clear()
            self._begin_episode(message.time)

    def _begin_episode(self, now: float) -> None:
        """The next cycle knows no past; a teacher's commands go on, those of a policy start anew."""
        self._settle(now, wait=False)
        self._cadence.reset()
        self._first = True
        if self._of_step:
            self._actions.clear()

    def _look(self, message: BagMessage) -> None:
        """Settle what lies in the past by now; begin a cycle if one is due and the arm is not holding."""
        now = message.time
        self._settle(now)
        streams = 1 + len(self._cameras)
        fresh = len(self._newest) == streams and now - min(self._newest.values()) <= self._timeout
        if fresh and not self._fresh and self._topics.episodes is None:
            self._begin_episode(now)
        self._fresh = fresh
        if self._moving and (fresh or self._follow):
            stamp, chunk = self._asked_for() if self._follow else (self._due(), None)
            if stamp is not None:
                self._waiting.append(self._cycle(stamp, chunk))
                self._cadence.begin(stamp, self._action_steps)

    def _due(self) -> float | None:
        return self._window.newest(after=self._cadence.due(self._action_steps))

    def _asked_for(self) -> tuple[float | None, np.ndarray | None]:
        while self._asked:
            stamp, chunk = self._asked[0]
            if self._window.complete(stamp):
                self._asked.popleft()
                return stamp, chunk
            if max(self._newest.values(), default=stamp) - stamp < self._timeout:
                break
            self.findings.refused[f"{self._topics.chunks}: no complete observation at its stamp"] += 1
            self._asked.popleft()
        return None, None

    def _cycle(self, stamp: float, chunk: np.ndarray | None) -> Cycle:
        """The cycle of a complete window.

        Raises:
            MessageError: a frame in it cannot be decoded; the window has forgotten it.
        """
        window = self._window.observation(stamp)
        for camera, frames in window.frames.items():
            for frame in frames:
                try:
                    frame.pixels()
                except MessageError:
                    self._window.discard(camera, frame)
                    raise
        observation = window.arrays()
        self._episode += self._first
        first, self._first = self._first, False
        still = np.ptp(self._actions.rows(stamp, self._pause_rows), axis=0)
        newest = {camera: frames[-1].stamp_ns for camera, frames in window.frames.items()}
        return Cycle(
            stamp,
            {"": min(self._exact, key=lambda known: abs(known[0] - stamp))[1], **newest},
            self._episode,
            first,
            observation,
            self._actions.rows(stamp, self._history_rows),
            np.empty(0),
            pause=bool((still < PAUSE_RADIANS).all()),
            chunk=chunk,
            marked=self._marked,
        )

    def _settle(self, now: float, wait: bool = True) -> None:
        """Give waiting cycles the actions recorded after them, as far as they lie in the past by now.

        wait: leave those whose future is not wholly past; otherwise what is still to come stays unknown.
        """
        while self._waiting and (not wait or now > self._waiting[0].stamp + self._ends[-1] + LONGEST_GAP):
            cycle = self._waiting.popleft()
            cycle.recorded = self._actions.rows(cycle.stamp, self._chunk_rows)
            cycle.recorded[cycle.stamp + self._ends > now] = np.nan
            self._ready.append(cycle)

    def _settled(self) -> Iterator[Cycle]:
        while self._ready:
            yield self._ready.popleft()

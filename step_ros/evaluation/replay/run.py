"""Replays a bag: every method plans from exactly what the robot saw, and nothing moves (open loop)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from step_ros.control.errors import LimitsError
from step_ros.control.joints import JointLimits
from step_ros.data.bag_errors import MissingTopicError
from step_ros.data.bag_topics import ACTIONS, TopicChoice, find_topics
from step_ros.data.bags import Bag
from step_ros.data.prefetch import prefetched
from step_ros.data.recorded import TRAJECTORIES
from step_ros.evaluation.replay.cycles import Cut, Cycle, CycleReader, Findings
from step_ros.evaluation.replay.errors import ReplayError
from step_ros.evaluation.replay.measures import Measures
from step_ros.evaluation.replay.sweep import Distances
from step_ros.evaluation.replay.traces import Traces
from step_ros.evaluation.variants import parse_variant
from step_ros.policy.config import IMAGES, STATE, PolicyConfig
from step_ros.policy.methods import METHODS
from step_ros.policy.policy import Plan, Policy, load_policy
from step_ros.policy.settings import Settings

WITHOUT_HISTORY = " without history"
"""Ends the label of a method's twin that starts cold in every cycle."""
AHEAD = 8
"""Cycles that may be read before they are planned."""
ENCODED_AHEAD = 1
"""Of them encoded; a policy remembers the features of a few frames only."""


@dataclass(frozen=True)
class ReplayOptions:
    """How a bag is replayed.

    Attributes:
        methods: as in `step-ros eval`: METHOD[:setting=value,...].
        reference: the method that others are compared with, "" for none.
        reference_every: ask the reference in every so-many-th cycle only.
        cold_twins: also run every warm-started method without history.
        follow_chunks: begin cycles where the recorded `/step` did.
        action_steps: actions per cycle otherwise; the checkpoint's by default.
        joint_names: the joints as they are called in messages; the checkpoint's names by default.
    """

    methods: Sequence[str] = ("step",)
    reference: str = "ddpm"
    reference_every: int = 10
    cold_twins: bool = True
    engine: str = "auto"
    seed: int = 0
    follow_chunks: bool = True
    action_steps: int | None = None
    timeout: float = 0.5
    joint_names: Sequence[str] | None = None
    topics: TopicChoice = field(default_factory=TopicChoice)


@dataclass
class Replay:
    """What a replay came to.

    Attributes:
        results: as written to JSON, without provenance.
        traces: what the report draws.
        milliseconds: per method the time of every chunk.
        distances: per method the stall distances.
        action_steps: actions per cycle.
        default_settings: the checkpoint's own settings.
    """

    results: dict[str, object]
    traces: Traces
    milliseconds: dict[str, list[float]]
    distances: dict[str, Distances]
    action_steps: int
    default_settings: Settings


class Contender:
    """One method with settings, state, a sampler and measures of its own."""

    def __init__(self, label: str, policy: Policy, measures: Measures, warm: bool = True) -> None:
        self.label, self.policy, self.measures, self._warm = label, policy, measures, warm
        self.stall_distances: list[float | None] = []

    def run(self, cycle: Cycle, reference: np.ndarray | None, encoding: float) -> np.ndarray:
        """Plan and measure; returns the executed prefix (n, J) [rad].

        `encoding` is what the cycle's images took [ms], which are encoded once for all.
        """
        plan = self._act(cycle)
        self.measures.add(cycle, plan, reference, encoding)
        self.stall_distances.append(plan.stall_distance)
        return plan.executed

    def _act(self, cycle: Cycle) -> Plan:
        if cycle.first:
            self.policy.reset()
        past = cycle.commanded if self._warm else np.full_like(cycle.commanded, np.nan)
        return self.policy.act(cycle.observation, past)


def replay(
    bag_path: Path,
    checkpoint: Path,
    options: ReplayOptions,
    progress: Callable[[float], None] = lambda seconds: None,
) -> Replay:
    """Replay a bag with a checkpoint.

    Args:
        progress: called with the recorded seconds read so far.

    Raises:
        BagError: the bag cannot be used.
        PolicyError: checkpoint, method or setting cannot be used.
        ReplayError: the policy wants what a bag cannot give, or not one observation is complete.
    """
    policy = load_policy(checkpoint, engine=options.engine)
    contenders = list(_contenders(policy, options))
    reference = _reference(policy, options)
    config = policy.config
    cameras = [name.removeprefix(IMAGES) for name in config.image_names]
    _check_inputs(config)
    with Bag(bag_path) as bag:
        topics = find_topics(bag, cameras, options.topics)
        if topics.actions is None:
            needed = f"recorded actions: a topic like {TRAJECTORIES} or {ACTIONS}, or --actions TOPIC"
            raise MissingTopicError(bag.path, needed, bag.types)
        names = tuple(options.joint_names or config.action_names)
        if len(names) != config.action_dim:
            raise ReplayError(f"joint names: found {len(names)}, accepted: {config.action_dim}")
        steps = options.action_steps or config.settings().action_steps
        reader = CycleReader(
            bag, topics, Cut.of(config), names, steps, options.timeout, options.follow_chunks
        )
        traces = Traces(config, [contender.label for contender in contenders])
        pauses = _Pauses()
        stamps, first, still = [], [], []
        recorded_parameters: Mapping[str, str] = {}
        began, count, last_episode = time.perf_counter(), 0, -1
        encoded = ((cycle, _encode(policy, cycle)) for cycle in prefetched(reader, AHEAD))
        for cycle, encoding in prefetched(encoded, ENCODED_AHEAD):
            asked = reference is not None and (cycle.first or count % options.reference_every == 0)
            compared = reference.act(cycle.observation).chunk if asked else None
            executed = {c.label: c.run(cycle, compared, encoding) for c in contenders}
            traces.add(cycle, executed)
            pauses.add(cycle)
            recorded_parameters = recorded_parameters or cycle.marked
            stamps.append(cycle.stamp)
            first.append(cycle.first)
            still.append(cycle.pause)
            count, last_episode = count + 1, cycle.episode
            progress(reader.span[1] - reader.span[0])
        wall = time.perf_counter() - began
        if not count:
            raise ReplayError(
                f"{bag.path}: found no complete observation ({_why_none(reader.findings)}); accepted: "
                f"{config.n_obs_steps} frames of every camera {1000 / config.fps:.0f} ms apart, with joint "
                f"states around them, while the arm moves"
            )
        seconds = reader.span[1] - reader.span[0]
        results = {
            "bag": bag.path.resolve().name,
            "checkpoint": checkpoint.resolve().name,
            "engine": policy.engine,
            "seed": options.seed,
            "reference": options.reference or None,
            "reference_every": options.reference_every,
            "topics": {
                "joint_states": topics.joint_states,
                "images": topics.images,
                "actions": topics.actions,
                "episodes": topics.episodes,
                "chunks": topics.chunks if options.follow_chunks else None,
            },
            "recorded_parameters": _without_paths(recorded_parameters),
            "recorded_seconds": seconds,
            "wall_seconds": wall,
            "times_real_time": seconds / wall,
            "episodes": last_episode + 1,
            "cycles": count,
            **pauses.values(),
            "findings": {
                "gaps": reader.findings.gap_count,
                "longest_gaps": reader.findings.gaps,
                "restarts": reader.findings.restarts,
                "refused_messages": dict(reader.findings.refused),
                "publishers": {topic: bag.publishers[topic] for topic in topics.all},
            },
            "methods": {c.label: _described(c) for c in contenders},
        }
    return Replay(
        results,
        traces,
        {c.label: c.measures.milliseconds for c in contenders},
        {c.label: Distances(stamps, first, still, c.stall_distances) for c in contenders},
        steps,
        config.settings(),
    )


def _contenders(policy: Policy, options: ReplayOptions) -> Iterator[Contender]:
    for variant in map(parse_variant, options.methods):
        twins = ("", WITHOUT_HISTORY) if METHODS[variant.method].carries else ("",)
        for suffix in twins if options.cold_twins else ("",):
            own = policy.companion(variant.method, options.seed, **variant.settings)
            own.warm_up()
            measures = Measures(own.config, _limits(own.config), own.settings.action_steps)
            yield Contender(variant.label + suffix, own, measures, warm=not suffix)


def _reference(policy: Policy, options: ReplayOptions) -> Policy | None:
    """With another seed than the methods', so that a method is never compared with its own noise."""
    if not options.reference:
        return None
    variant = parse_variant(options.reference)
    reference = policy.companion(variant.method, options.seed + 1, **variant.settings)
    reference.warm_up()
    return reference


def _encode(policy: Policy, cycle: Cycle) -> float:
    """Encode the images of a cycle for all that share these networks; the time it takes [ms]."""
    began = time.perf_counter()
    for name in policy.config.image_names:
        for frame in cycle.observation[name]:
            policy.prefetch(name, frame)
    return 1e3 * (time.perf_counter() - began)


def _limits(config: PolicyConfig) -> JointLimits | None:
    """The arm's own limits, or none for joints that it does not have."""
    try:
        return JointLimits.so101(config.action_names)
    except LimitsError:
        return None


def _check_inputs(config: PolicyConfig) -> None:
    for name, shape in config.input_features.items():
        if name != STATE and name not in config.image_names:
            raise ReplayError(f"input_features: found {name}; accepted: {STATE} and {IMAGES}<camera>")
        if name == STATE and shape != (config.action_dim,):
            raise ReplayError(f"input_features[{name}]: found {shape}; accepted: one value per joint")


def _without_paths(parameters: Mapping[str, str]) -> dict[str, str]:
    """Results are published, and paths belong to one machine."""
    return {name: Path(value).name if name == "checkpoint" else value for name, value in parameters.items()}


def _why_none(findings: Findings) -> str:
    refused = "; ".join(f"{count} x {reason}" for reason, count in findings.refused.most_common(3))
    return refused or f"{findings.gap_count} gaps"


def _described(contender: Contender) -> Mapping[str, object]:
    policy = contender.policy
    settings = {name: getattr(policy.settings, name) for name in policy.settings.__dataclass_fields__}
    return {"method": policy.method, "settings": settings, **contender.measures.values()}


class _Pauses:
    """Counts pauses of the recorded command: stretches of cycles in which it is still."""

    def __init__(self) -> None:
        self._pauses = self._cycles = 0
        self._inside = False

    def add(self, cycle: Cycle) -> None:
        self._pauses += cycle.pause and not (self._inside and not cycle.first)
        self._cycles += cycle.pause
        self._inside = cycle.pause

    def values(self) -> dict[str, int]:
        return {"pauses": self._pauses, "cycles_in_pauses": self._cycles}

"""The seam benchmark without a policy: a smooth motion cut into chunks that agree or disagree.

First table: how well the set point follows the motion when a policy would be perfect, for each way to send
chunks. Second table: what is left where the chunks of a policy disagree, for single points, for chunks as
they are, and joined over several blend times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from step_ros.control.follower import FollowerSettings
from step_ros.evaluation.seams.playback import LaggingArm, Trace, jumps, play, tracking
from step_ros.evaluation.seams.publication import Publication, Sender

FPS, HORIZON, ACTION_STEPS, N_OBS_STEPS = 30.0, 16, 8, 2
JOINT = ("shoulder_pan",)
SETTLED = 0.6
"""Seconds at the start that are not counted."""
DISAGREEMENT = 0.02
"""Standard deviation [rad] by which a chunk is off at its beginning, and by which that grows to its end."""
TRANSPORT = 0.004
BLENDS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25)

_ALLOW = FollowerSettings(allow_nonzero_velocity_at_trajectory_end=True, period=0.01)
_DESIRED = FollowerSettings(interpolate_from_desired_state=True, period=0.01)
_BOTH = replace(_ALLOW, interpolate_from_desired_state=True)
SINGLE = Publication("1 point per tick", kind="single")
ANCHORED = Publication("16, anchored, at rest")

ROWS: tuple[tuple[Publication, str, float], ...] = (
    (SINGLE, "defaults", 0.03),
    (
        Publication("9, no velocities, stamp 0", "points", (1, 10), False, stamped=False, settings=_DESIRED),
        "from desired",
        0.03,
    ),
    (Publication("9, ends in motion", "points", (1, 10), at_rest=False), "defaults", 0.03),
    (Publication("15, ends in motion", "points", (1, 16), at_rest=False), "defaults", 0.03),
    (
        Publication("15, due ones removed", "points", (1, 16), at_rest=False, trimmed=True, settings=_ALLOW),
        "nonzero end",
        0.03,
    ),
    (
        Publication("15, due ones removed", "points", (1, 16), at_rest=False, trimmed=True, settings=_BOTH),
        "both",
        0.03,
    ),
    (
        Publication("9, due ones removed", "points", (1, 10), at_rest=False, trimmed=True, settings=_BOTH),
        "both",
        0.03,
    ),
    (
        Publication("15, none removed", "points", (1, 16), at_rest=False, settings=_ALLOW),
        "nonzero end",
        0.003,
    ),
    (Publication("16, anchored, in motion", "points", at_rest=False, settings=_BOTH), "both", 0.08),
    *((ANCHORED, "defaults", latency) for latency in (0.003, 0.03, 0.08, 0.15)),
)


def motion(times: np.ndarray) -> np.ndarray:
    """0.4 (1 - cos pi t) rad; top speed 1.26 rad/s."""
    return 0.4 * (1 - np.cos(np.pi * np.maximum(times, 0.0)))


def perfect_chunk(t_obs: float) -> np.ndarray:
    """The motion's next HORIZON elements (HORIZON, 1), from the one due at `t_obs` [s] on."""
    return motion(t_obs + np.arange(HORIZON) / FPS)[:, None]


def disagreeing_chunks(seed: int) -> Callable[[float], np.ndarray]:
    """Chunks of the motion, each with a smooth error of its own."""
    rng = np.random.default_rng(seed)
    share = np.linspace(0.0, 1.0, HORIZON)[:, None]

    def chunk_at(t_obs: float) -> np.ndarray:
        begin, gain = rng.normal(0.0, DISAGREEMENT, 2)
        return perfect_chunk(t_obs) + begin + gain * share

    return chunk_at


def sending_table(duration: float) -> list[dict[str, object]]:
    """One row for each way to send a perfect policy's chunks; the floor is one trajectory sent at once."""
    rows = []
    for publication, settings, latency in ROWS:
        trace = _play(publication, perfect_chunk, latency, duration)
        row: dict[str, object] = {"sent": publication.name, "settings": settings, "latency": latency}
        rejected = trace.rejected == trace.sent
        row |= {} if rejected else tracking(trace, motion, SETTLED)
        rows.append(row | {"messages": trace.sent, "rejected": trace.rejected})
    return [_floor(duration), *rows]


def disagreement_table(
    duration: float, seed: int, blends: Sequence[float] = BLENDS, latency: float = 0.08
) -> list[dict[str, object]]:
    """One row for single points, and one for each blend time, of the same disagreeing chunks."""
    publications = [SINGLE, *(joined(blend) for blend in blends)]
    return [
        {"sent": publication.name, "blend": publication.blend, "latency": latency}
        | jumps(_play(publication, disagreeing_chunks(seed), latency, duration, TRANSPORT))
        for publication in publications
    ]


def joined(blend: float) -> Publication:
    """What step_ros sends, with this blend time [s]."""
    return Publication("step_ros", kind="step_ros", blend=blend)


def _play(
    publication: Publication,
    chunk_at: Callable[[float], np.ndarray],
    latency: float,
    duration: float,
    transport: float = 0.0,
) -> Trace:
    return play(
        chunk_at,
        LaggingArm(np.zeros(1)),
        Sender(publication, JOINT, FPS, N_OBS_STEPS, ACTION_STEPS),
        joint_names=JOINT,
        settings=publication.settings,
        cycle=ACTION_STEPS / FPS,
        latency=latency,
        duration=duration,
        lead=publication.lead if publication.blend else 0.0,
        transport=transport,
    )


def _floor(duration: float) -> dict[str, object]:
    elements = int(duration * FPS) + HORIZON
    whole = Publication("all at once (floor)", "points", (0, elements))
    trace = play(
        lambda t_obs: motion(t_obs + np.arange(elements) / FPS)[:, None],
        LaggingArm(np.zeros(1)),
        Sender(whole, JOINT, FPS, N_OBS_STEPS, ACTION_STEPS),
        joint_names=JOINT,
        settings=whole.settings,
        cycle=2 * duration,
        latency=0.003,
        duration=duration,
    )
    row = {"sent": whole.name, "settings": "defaults", "latency": 0.003}
    return row | tracking(trace, motion, SETTLED) | {"messages": trace.sent, "rejected": trace.rejected}

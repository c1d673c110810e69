"""The one list of topics that a recording needs for replay. Light, so that launch files can read it."""

from __future__ import annotations

import re
from collections.abc import Sequence

JOINT_STATES = "/joint_states"
TRAJECTORIES = "/joint_trajectory_controller/joint_trajectory"
CHUNKS = "/step/chunk"
STALLED = "/step/stalled"
EPISODES = "/step/episode"
DIAGNOSTICS = "/diagnostics"

RECORDED = (JOINT_STATES, TRAJECTORIES, CHUNKS, STALLED, EPISODES, DIAGNOSTICS)
"""Besides the cameras' images."""
IMAGES = r"/.+/image_raw(/compressed)?"
"""Where cameras publish, unless somebody names other topics."""


def recorded_pattern(image_topics: Sequence[str] = ()) -> str:
    """A regular expression for `ros2 bag record --regex`: exactly the topics that replay needs.

    Args:
        image_topics: where the policy's cameras are, if not on `<camera>/image_raw[/compressed]`.
    """
    images = [re.escape(f"/{topic.lstrip('/')}") for topic in image_topics] or [IMAGES]
    return f"^({'|'.join([*map(re.escape, RECORDED), *images])})$"

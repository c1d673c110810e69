"""The MuJoCo world: SO-101 arm, tasks, servos, cameras and the scripted expert."""

import os

# MuJoCo decides when it is imported; EGL needs no display. What the user has set stays.
os.environ.setdefault("MUJOCO_GL", "egl")

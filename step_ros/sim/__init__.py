"""The MuJoCo world: SO-101 arm, tasks, servos, cameras and the scripted expert."""

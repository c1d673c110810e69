"""Few-step diffusion policies for the SO-ARM101 as a ROS 2 package."""

__version__ = "0.1.0"

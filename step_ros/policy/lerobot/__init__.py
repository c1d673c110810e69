"""Diffusion policies trained with LeRobot 0.3 to 0.6, read as they lie on disk and without LeRobot."""

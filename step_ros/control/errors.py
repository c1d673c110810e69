"""The ways in which a command can be refused before it reaches the arm."""


class ControlError(Exception):
    """Base of every refusal in this room."""


class LimitsError(ControlError):
    """Joint limits that make no sense: wrong length, not finite, lower above upper."""


class UnsafeCommandError(ControlError):
    """A command that must never be sent: wrong shape, NaN or infinite."""


class TrajectoryRejectedError(ControlError):
    """A trajectory that a joint_trajectory_controller would refuse; the one in force goes on."""

"""Servo settings of the arm: how each joint's position actuator pulls towards its set point.

`sts3215` is the stiff set of the SO-101 model files that corresponds to the servo's own P gain of 16;
`compliant` is their older set, which sags by about 30 mrad under gravity.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Servo:
    """One joint's actuator: torque = kp (set point - q) - kv dq, limited to +-max_torque (N m)."""

    kp: float
    kv: float
    max_torque: float
    gripper_max_torque: float
    damping: float = 0.60
    frictionloss: float = 0.052
    armature: float = 0.028


SERVOS: dict[str, Servo] = {
    # LeRobot limits the gripper servo to half its torque (Max_Torque 500 of 1000).
    "sts3215": Servo(kp=998.22, kv=2.731, max_torque=2.94, gripper_max_torque=1.47),
    "compliant": Servo(kp=17.8, kv=0.0, max_torque=3.35, gripper_max_torque=1.47),
}

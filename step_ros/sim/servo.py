"""Servo settings of the arm: how each joint's position actuator pulls towards its set point.

`sts3215` is the stiff set of the official SO-101 model and has no imperfections; `compliant` is the model's
older set, which sags by about 30 mrad under gravity. `sticky` is a servo as it is measured: soft at
LeRobot's P gain of 16, holding on to where it stands, with play, coarse, and late. docs/simulation.md says
where each value comes from.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

ENCODER_STEP = 2 * np.pi / 4096
"""One step (rad) of the servo's 12-bit encoder."""


class ServoError(ValueError):
    """A servo model that does not exist, or a setting that it cannot have."""


@dataclass(frozen=True)
class Servo:
    """One joint's actuator: torque = kp (set point - q) - kv dq, limited to +-max_torque (N m).

    Everything from `stiction` on is an imperfection, and none is there by default. At rest friction exceeds
    its sliding value `frictionloss` by `stiction + stiction_per_load |torque|` N m; what it exceeds it by
    falls by 1/e for each `stiction_velocity` rad/s. A command nearer than `dead_band` rad to the measured
    position is not followed. Turning round costs `backlash` rad of play. Commands and measured positions
    are multiples of `resolution` rad (0: exact). A command takes effect `delay` s later.

    Raises:
        ServoError: a setting is negative or not finite.
    """

    kp: float
    kv: float
    max_torque: float
    gripper_max_torque: float
    damping: float = 0.60
    frictionloss: float = 0.052
    armature: float = 0.028
    stiction: float = 0.0
    stiction_per_load: float = 0.0
    stiction_velocity: float = 0.055
    dead_band: float = 0.0
    backlash: float = 0.0
    resolution: float = 0.0
    delay: float = 0.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not (np.isfinite(value) and value >= 0):
                raise ServoError(f"servo {field.name}: found {value}, accepted: a finite number, at least 0")
        if self.stiction_velocity == 0:
            raise ServoError("servo stiction_velocity: found 0, accepted: above 0")

    @property
    def ideal(self) -> bool:
        """The set point reaches the joint as it is, and friction does not depend on motion."""
        effects = (self.stiction, self.stiction_per_load, self.dead_band, self.backlash)
        return not any((*effects, self.resolution, self.delay))


SERVOS: dict[str, Servo] = {
    # LeRobot limits the gripper servo to half its torque (Max_Torque 500 of 1000).
    "sts3215": Servo(kp=998.22, kv=2.731, max_torque=2.94, gripper_max_torque=1.47),
    "compliant": Servo(kp=17.8, kv=0.0, max_torque=3.35, gripper_max_torque=1.47),
    "sticky": Servo(
        kp=13.2,
        kv=0.0,
        max_torque=2.94,
        gripper_max_torque=1.47,
        damping=1.57,
        frictionloss=0.023,
        armature=0.0266,
        stiction=0.12,
        stiction_per_load=0.30,
        dead_band=ENCODER_STEP,
        backlash=np.radians(0.87),
        resolution=ENCODER_STEP,
        delay=1 / 30,
    ),
}


def make_servo(servo: str | Servo) -> Servo:
    """The settings that `NAME[:setting=value,...]` stands for; settings are returned as they are.

    Raises:
        ServoError: unknown name or setting, or a value that is no number or out of range.
    """
    if isinstance(servo, Servo):
        return servo
    name, _, options = servo.partition(":")
    if name not in SERVOS:
        raise ServoError(f"servo: found {name!r}, accepted: {', '.join(SERVOS)}")
    settings = [field.name for field in dataclasses.fields(Servo)]
    values: dict[str, float] = {}
    for option in filter(None, options.split(",")):
        setting, _, text = option.partition("=")
        if setting not in settings:
            raise ServoError(f"servo setting: found {setting!r}, accepted: {', '.join(settings)}")
        try:
            values[setting] = float(text)
        except ValueError:
            raise ServoError(f"servo {setting}: found {text!r}, accepted: a number") from None
    return dataclasses.replace(SERVOS[name], **values)

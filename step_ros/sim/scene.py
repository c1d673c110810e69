"""The scene of a task as an MjSpec: arm, table, light, objects and cameras."""

from __future__ import annotations

import mujoco

from step_ros.sim.arm import arm_spec
from step_ros.sim.cameras import add_cameras
from step_ros.sim.servo import Servo
from step_ros.sim.task import Task

CONTROL_RATE = 30
SUBSTEPS = 16
TIMESTEP = 1.0 / (CONTROL_RATE * SUBSTEPS)


def scene_spec(task: Task, servo: str | Servo, image_size: tuple[int, int]) -> mujoco.MjSpec:
    """Everything of a task in one model; images up to `image_size` (height, width) can be rendered."""
    spec = arm_spec(servo)
    spec.option.timestep = TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10
    spec.visual.global_.offheight = max(image_size[0], spec.visual.global_.offheight)
    spec.visual.global_.offwidth = max(image_size[1], spec.visual.global_.offwidth)
    spec.visual.quality.offsamples = 4
    spec.visual.headlight.ambient = [0.45, 0.45, 0.45]
    spec.visual.headlight.diffuse = [0.35, 0.35, 0.35]
    spec.visual.headlight.specular = [0, 0, 0]
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.85, 0.88, 0.92],
        rgb2=[0.70, 0.74, 0.80],
        width=64,
        height=64,
    )
    spec.worldbody.add_light(
        pos=[0.3, -0.3, 1.0], dir=[-0.1, 0.3, -1.0], diffuse=[0.5, 0.5, 0.5], castshadow=False
    )
    spec.worldbody.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[1.0, 1.0, 0.1],
        rgba=[0.82, 0.80, 0.76, 1.0],
        friction=[1.0, 0.005, 0.0005],
    )
    task.add_objects(spec)
    add_cameras(spec)
    return spec

"""The SO-101 arm as an MjSpec: official kinematics and inertias, light visuals, box fingers, named servos."""

from __future__ import annotations

import mujoco

from step_ros.control.joints import JOINT_NAMES
from step_ros.sim.meshes import ASSETS, light_mesh
from step_ros.sim.servo import Servo, make_servo

# Half the edge of the tasks' cubes; the grasp point is where such a cube's centre sits in the OPEN jaw.
CUBE_HALF = 0.0125
GRASP_SITE = "grasp"
# Inner face of the fixed finger in the gripper frame, and the clearance left to it before the jaw closes (m).
_FIXED_FACE_X = -0.0015
GRASP_CLEARANCE = 0.010
_FINGER_HEIGHT_Z = -0.0972

# Contact only where fingers and palm are: (body, position, half size) in the body's frame.
_PALM = ("gripper", (-0.0025, 0.0, -0.022), (0.0325, 0.015, 0.015))


def arm_spec(servo: str | Servo = "sts3215") -> mujoco.MjSpec:
    """Build the arm. Raises ValueError for an unknown servo (`make_servo`)."""
    spec = mujoco.MjSpec.from_file(str(ASSETS / "so101_new_calib.xml"))
    _use_light_visuals(spec)
    _use_box_contacts(spec)
    _use_servo(spec, make_servo(servo))
    spec.body("gripper").add_site(
        name=GRASP_SITE,
        pos=[_FIXED_FACE_X + CUBE_HALF + GRASP_CLEARANCE, -0.0002, _FINGER_HEIGHT_Z],
        group=3,
    )
    return spec


def _use_light_visuals(spec: mujoco.MjSpec) -> None:
    for mesh in spec.meshes:
        vertices, faces = light_mesh(ASSETS / "assets" / mesh.file)
        mesh.name = mesh.file.removesuffix(".stl")
        mesh.file = ""
        mesh.uservert = vertices.ravel()
        mesh.userface = faces.ravel()
        # Decimation leaves small holes, so the enclosed volume is not defined; inertias are given anyway.
        mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL


def _use_box_contacts(spec: mujoco.MjSpec) -> None:
    for geom in list(spec.geoms):
        if geom.name in ("fixed_jaw_pad", "moving_jaw_pad"):
            _make_contact(geom)
        elif geom.classname.name == "collision":
            spec.delete(geom)
    body, position, half_size = _PALM
    palm = spec.body(body).add_geom(
        name="palm", type=mujoco.mjtGeom.mjGEOM_BOX, pos=position, size=half_size, group=3
    )
    _make_contact(palm)


def _make_contact(geom: mujoco.MjsGeom) -> None:
    geom.contype, geom.conaffinity = 1, 1
    geom.condim = 4
    geom.friction = [1.5, 0.02, 0.001]
    geom.solref = [0.01, 1.0]
    geom.priority = 1
    geom.mass = 0.0


def _use_servo(spec: mujoco.MjSpec, servo: Servo) -> None:
    for joint_name in JOINT_NAMES:
        joint = spec.joint(joint_name)
        joint.damping[0] = servo.damping
        joint.frictionloss = servo.frictionloss
        joint.armature = servo.armature
        actuator = spec.actuator(joint_name)
        actuator.gainprm[0] = servo.kp
        actuator.biasprm[1:3] = [-servo.kp, -servo.kv]
        limit = servo.gripper_max_torque if joint_name == "gripper" else servo.max_torque
        actuator.forcerange = [-limit, limit]

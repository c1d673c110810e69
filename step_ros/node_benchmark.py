"""`step-ros bench node`: what the node adds to its policy's own time, measured through ROS.

The real `/step` runs as a process, a `/synthetic_robot` feeds it, and this process measures: how long from an
image's stamp to the trajectory made from it, how much of that was not the policy's own work, what was lost on
the way, and what the node's process used of the machine.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from step_ros.evaluation.provenance import provenance
from step_ros.nodes.node_meter import Cycle, NodeMeter, NodeMeterError, metering
from step_ros.nodes.processes import NodeDiedError, NodeProcesses
from step_ros.nodes.synthetic_robot import IMAGE_RATE
from step_ros.nodes.usage import CpuMeter, resident_bytes
from step_ros.paths import share_path
from step_ros.policy.config import IMAGES, STATE, PolicyConfig
from step_ros.policy.untrained import save_untrained

IMAGE_SIZE = (480, 640)
POLICY_IMAGE_SIZE = (96, 128)
"""Inputs of the benchmark's own policy, of the images' aspect ratio."""
REACH = 0.15
"""How far its commands may lie from zero [rad], where the synthetic robot stands: near, as on a real one."""
OUTPUT = 0.1
"""Factor of its denoiser's output: most chunks are such that an arm can follow them as they are."""
CONFIGURE_SECONDS = 300.0
IDLE_SECONDS = 10.0
LAST_REPORT_SECONDS = 2.0
"""Until the last report has counted the last message."""
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""How Fast DDS 2 and 3 are told of a profile."""
_PERCENTILES = (50, 95, 99)


class NodeBenchmarkError(Exception):
    """The benchmark could not be run; the message says what is wrong or which node failed."""


def bench_node(
    out: Path,
    *,
    checkpoint: Path | None = None,
    cameras: int = 1,
    seconds: float = 120.0,
    image_size: tuple[int, int] = IMAGE_SIZE,
    dds_profile: Path | None = None,
    parameters: Sequence[str] = (),
    console: Console | None = None,
) -> dict[str, object]:
    """Run `/step` under synthetic images and joint states and measure it.

    Args:
        out: JSON file to write.
        checkpoint: folder of a policy whose inputs have the aspect ratio of `image_size`; by default the
            shipped policy's networks with inputs of 96 x 128 and random weights, since the time does not
            depend on what the weights are.
        cameras: how many cameras the default policy has, 1 or 2.
        seconds: how long images are published.
        image_size: height and width of the published images.
        dds_profile: Fast DDS profile of the nodes; what the environment names, if anything, by default.
        parameters: of `/step`, each as name:=value.
        console: where the table goes.

    Returns:
        What is written to `out`.

    Raises:
        NodeBenchmarkError: nothing to run, or a node failed.
    """
    console = console or Console()
    out = Path(out)
    if seconds <= 0:
        raise NodeBenchmarkError(f"seconds: found {seconds}, accepted: more than 0")
    given = _parameters(parameters)
    with tempfile.TemporaryDirectory(prefix="step_ros_bench_") as scratch:
        folder = Path(scratch)
        config = _config(checkpoint) if checkpoint else _default_config(cameras)
        _check_images(config, image_size)
        if checkpoint is None:
            save_untrained(folder / "policy", config, reach=REACH, output=OUTPUT)
        environment = _environment(dds_profile)
        try:
            with console.status(f"Measuring /step for {seconds:.0f} s"):
                measured = _measure(
                    folder,
                    checkpoint or folder / "policy",
                    config,
                    seconds,
                    image_size,
                    environment,
                    given,
                )
        except (NodeMeterError, NodeDiedError) as error:
            raise NodeBenchmarkError(str(error)) from error
    profile = environment.get(PROFILE_VARIABLES[0])
    result = {
        "policy": checkpoint.name if checkpoint else "shipped networks, random weights",
        "inputs": {name: list(config.input_features[name]) for name in config.image_names},
        "image_size": list(image_size),
        "image_rate": IMAGE_RATE,
        "seconds": seconds,
        "parameters": given,
        "dds_profile": Path(profile).name if profile else None,
        **measured,
        **provenance(),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    console.print(_table(result))
    console.print(f"Written to {out}", soft_wrap=True)
    return result


def _parameters(assignments: Sequence[str]) -> dict[str, str]:
    pairs = [assignment.partition(":=") for assignment in assignments]
    for name, _, value in pairs:
        if not (name and value):
            raise NodeBenchmarkError(f"parameter: found '{name}', accepted: NAME:=VALUE")
    return {name: value for name, _, value in pairs}


def _config(checkpoint: Path) -> PolicyConfig:
    file = checkpoint / "config.json"
    if not file.is_file():
        raise NodeBenchmarkError(
            f"checkpoint: {checkpoint} holds no config.json, accepted: a policy's folder"
        )
    return PolicyConfig.from_json(file.read_text(), file)


def _default_config(cameras: int) -> PolicyConfig:
    """The shipped policy with the benchmark's images."""
    shipped = _config(share_path("models", "policies", "pick_place"))
    if not 1 <= cameras <= len(shipped.image_names):
        raise NodeBenchmarkError(f"cameras: found {cameras}, accepted: 1 to {len(shipped.image_names)}")
    inputs = {STATE: shipped.input_features[STATE]}
    inputs |= dict.fromkeys(shipped.image_names[:cameras], (*POLICY_IMAGE_SIZE, 3))
    return dataclasses.replace(shipped, input_features=inputs)


def _check_images(config: PolicyConfig, image_size: tuple[int, int]) -> None:
    for name in config.image_names:
        height, width, _ = config.input_features[name]
        if image_size[0] * width != image_size[1] * height or image_size[0] < height:
            raise NodeBenchmarkError(
                f"checkpoint: {name} is {height} x {width} (height x width), which /step does not make from "
                f"images of {image_size[0]} x {image_size[1]}; accepted: their aspect ratio, no more pixels"
            )


def _environment(dds_profile: Path | None) -> dict[str, str]:
    """The nodes' environment: among themselves, one thread per library call, images in shared memory."""
    environment = {
        "ROS_DOMAIN_ID": str(1 + os.getpid() % 100),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "OMP_NUM_THREADS": "1",
        **os.environ,
    }
    if dds_profile is not None:
        if not dds_profile.is_file():
            raise NodeBenchmarkError(
                f"dds_profile: {dds_profile} is not there, accepted: an XML file of Fast DDS"
            )
        environment |= dict.fromkeys(PROFILE_VARIABLES, str(dds_profile.resolve()))
    return environment


def _measure(
    folder: Path,
    checkpoint: Path,
    config: PolicyConfig,
    seconds: float,
    image_size: tuple[int, int],
    environment: dict[str, str],
    parameters: Mapping[str, str],
) -> dict[str, object]:
    names = [name.removeprefix(IMAGES) for name in config.image_names]
    step = {"checkpoint": checkpoint.resolve(), "autostart": "false", **parameters}
    robot = {
        "cameras": f"[{', '.join(names)}]",
        "image_size": list(image_size),
        "seconds": float(seconds),
        "joint_names": f"[{', '.join(config.action_names)}]",
    }
    # The middleware of this process reads its settings from the environment as well.
    os.environ.update(environment)
    with NodeProcesses(folder / "logs", environment) as nodes, metering(nodes.check) as meter:
        nodes.start("step_node", *_assignments(step))
        meter.configure(CONFIGURE_SECONDS)
        idle = CpuMeter(nodes.pid("step_node"))
        meter.wait(IDLE_SECONDS)
        cpu = {"idle": idle.share()}
        meter.check_alone()
        meter.activate()
        nodes.start("synthetic_robot", *_assignments(robot))
        meter.wait_until_robot_is("publishing", CONFIGURE_SECONDS)
        active = CpuMeter(nodes.pid("step_node"))
        meter.wait_until_robot_is("done", seconds + CONFIGURE_SECONDS)
        cpu["active"], resident = active.share(), resident_bytes(nodes.pid("step_node"))
        meter.wait(LAST_REPORT_SECONDS)
        meter.check_alone()
        return _figures(meter, names, config.n_obs_steps, resident, cpu)


def _assignments(parameters: Mapping[str, object]) -> list[str]:
    return [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]


def _figures(
    meter: NodeMeter, cameras: list[str], n_obs_steps: int, resident: int, cpu: dict[str, float]
) -> dict[str, object]:
    report, published = meter.step, int(meter.robot.number("images_per_camera"))
    lost = {camera: published - int(report.number(f"received camera {camera}") or 0) for camera in cameras}
    cycles = [cycle for cycle in meter.cycles if cycle.told and not np.isnan(cycle.published_ms)]
    if not cycles:
        missing = ", ".join(f"{camera} {count}" for camera, count in lost.items())
        raise NodeBenchmarkError(
            f"/step sent nothing; of {published} images were lost: {missing}; it says: {report.message}"
        )
    action_steps, made = int(report.number("action_steps")), int(report.number("cycles"))
    return {
        "engine": report.values["engine"],
        "precision": report.values["precision"],
        "method": report.values["method"],
        "action_steps": action_steps,
        "cycles": {
            "expected": math.ceil((published - n_obs_steps + 1) / action_steps),
            "made": made,
            "left_out": int(report.number("skipped_cycles")),
            "late": int(report.number("late_chunks")),
            "trajectories_lost": made - sum(not np.isnan(cycle.published_ms) for cycle in meter.cycles),
        },
        "images": {camera: {"published": published, "lost": count} for camera, count in lost.items()},
        "first_cycle_ms": {
            "stamp to publication": round(cycles[0].published_ms, 3),
            "policy": round(cycles[0].told["policy_total"], 3),
        },
        "milliseconds": _milliseconds(cycles),
        "cpu_share_of_a_core": {name: round(share, 4) for name, share in cpu.items()},
        "resident_mb": round(resident / 1e6, 1),
    }


def _milliseconds(cycles: list[Cycle]) -> dict[str, dict[str, float]]:
    """Percentiles over all cycles of what passed between which moments."""
    columns = {
        "stamp to publication": [cycle.published_ms for cycle in cycles],
        "stamp to reception": [cycle.received_ms for cycle in cycles],
        "policy": [cycle.told["policy_total"] for cycle in cycles],
        "overhead": [cycle.published_ms - cycle.told["policy_total"] for cycle in cycles],
        "overhead, by the node": [cycle.told["overhead"] for cycle in cycles],
        "of it: until the cycle begins": [cycle.told["latency"] - cycle.told["busy"] for cycle in cycles],
        "of it: in the cycle": [cycle.told["busy"] - cycle.told["policy_total"] for cycle in cycles],
    }
    return {
        name: {
            f"p{share}": round(float(value), 3)
            for share, value in zip(_PERCENTILES, np.percentile(values, _PERCENTILES), strict=True)
        }
        for name, values in columns.items()
    }


def _table(result: Mapping[str, object]) -> Table:
    count, cpu = result["cycles"], result["cpu_share_of_a_core"]
    lost = ", ".join(
        f"{name} {image['lost']} of {image['published']}" for name, image in result["images"].items()
    )
    title = (
        f"/step: {len(result['images'])} camera(s), {result['method']} on {result['engine']} in "
        f"{result['precision']}, action_steps {result['action_steps']}"
    )
    table = Table("ms", *(f"p{share}" for share in _PERCENTILES), title=title)
    for name, row in result["milliseconds"].items():
        table.add_row(name, *(f"{value:.2f}" for value in row.values()))
    table.add_section()
    first = result["first_cycle_ms"]
    table.add_row("first cycle, a cold start", f"{first['stamp to publication']:.2f}")
    table.add_row("of it: policy", f"{first['policy']:.2f}")
    table.caption = (
        f"cycles: {count['made']} of {count['expected']} made, {count['left_out']} left out, "
        f"{count['late']} late; "
        f"images lost: {lost}; CPU: {cpu['idle']:.1%} of a core idle, {cpu['active']:.1%} active; "
        f"memory: {result['resident_mb']:.0f} MB"
    )
    return table

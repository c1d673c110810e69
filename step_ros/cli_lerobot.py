"""The commands of `step-ros` that take over what LeRobot made: a policy, a calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

UNITS_HELP = "Unit of a LeRobot dataset's joints: radians, degrees, range_m100_100 or native; never guessed."
CALIBRATION_HELP = "LeRobot's calibration file of the arm (.json); range_m100_100 needs it."


def import_policy(
    checkpoint: Annotated[Path, typer.Argument(help="LeRobot's folder pretrained_model (diffusion policy).")],
    out: Annotated[Path, typer.Option(help="Folder of the imported policy.")],
    units: Annotated[str, typer.Option(help=UNITS_HELP)],
    calibration: Annotated[Path | None, typer.Option(help=CALIBRATION_HELP)] = None,
    fps: Annotated[float, typer.Option(min=0.1, help="Rate at which its dataset was recorded.")] = 30.0,
    joints: Annotated[
        list[str] | None,
        typer.Option(
            "--joint", help="Name of an action's dimension; repeat for all.", show_default="the arm's"
        ),
    ] = None,
) -> None:
    """Write a diffusion policy that LeRobot trained in this package's format, in radians."""
    from step_ros.lerobot_policies import import_policy

    config = import_policy(checkpoint, out, units, calibration, fps, joints)
    typer.echo(f"{out}: inputs {', '.join(config.input_features)}; actions {', '.join(config.action_names)}")
    if config.units == "native":
        typer.echo("its units are native: it is for evaluation alone, not for an arm")
    typer.echo(f"next: step-ros train predictor --policy {out} --dataset DATASET")


def offsets(
    calibration: Annotated[Path, typer.Argument(help="LeRobot's calibration file of the arm (.json).")],
) -> None:
    """Print the launch argument that tells the servos' driver where a calibrated arm is at 0 rad."""
    from step_ros.control.joints import JOINT_NAMES
    from step_ros.control.units import driver_offsets, load_calibration

    ticks = driver_offsets(load_calibration(calibration), JOINT_NAMES)
    typer.echo(f'offsets:="{" ".join(map(str, ticks))}"')

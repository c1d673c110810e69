"""The command line `step-ros`: each command is one call into the package.

What a command needs is imported when it runs, so that `step-ros --help` does not wait for torch.
"""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from step_ros import __version__
from step_ros.paths import share_path

app = typer.Typer(
    name="step-ros",
    help="Few-step diffusion policies for the SO-ARM101 on ROS 2.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
train_app = typer.Typer(help="Train a policy, or the predictor of a trained policy.", no_args_is_help=True)
app.add_typer(train_app, name="train")

SHOWN_VERSIONS = ("torch", "diffusers", "openvino", "mujoco", "mink", "numpy", "ros-rclpy", "rosbags")

Task = Annotated[str, typer.Option(help="pick_place or stack_cube.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes that simulate side by side.")]
MaxMinutes = Annotated[float | None, typer.Option(min=0.0, help="Save and stop after so many minutes.")]


def main() -> None:
    """Entry point of `step-ros`: a refused policy or dataset ends it with one line instead of a trace."""
    try:
        app()
    except Exception as error:
        from step_ros.data.errors import DatasetError
        from step_ros.policy.errors import PolicyError

        if not isinstance(error, DatasetError | PolicyError):
            raise
        sys.exit(f"step-ros: {error}")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command."""


@app.command()
def demo(
    task: Task = "pick_place",
    episodes: Annotated[int, typer.Option(min=1, help="Episodes to run.")] = 10,
    out: Annotated[Path, typer.Option(help="Folder of the report and the bag.")] = Path("demo_out"),
) -> None:
    """Run the policy against the simulated arm through ROS topics and write a report."""
    from step_ros.demo import run_demo

    run_demo(task=task, episodes=episodes, out=out)


@app.command()
def collect(
    task: Task = "pick_place",
    episodes: Annotated[int, typer.Option(min=1, help="Episodes the dataset shall hold in the end.")] = 200,
    out: Annotated[Path, typer.Option(help="Folder of the dataset; one that exists is continued.")] = ...,
    seed: Annotated[int, typer.Option(help="Demonstration k starts from seed + k.")] = 1_000_000,
    workers: Workers = 2,
) -> None:
    """Record demonstrations of the scripted expert as a LeRobotDataset v3.0."""
    from step_ros.collect import collect

    collect(task=task, episodes=episodes, out=out, seed=seed, workers=workers)


@train_app.command("policy")
def train_policy(
    dataset: Annotated[Path, typer.Argument(help="Folder of a LeRobotDataset v3.0.")],
    out: Annotated[Path, typer.Option(help="Folder of the checkpoint to be made.")] = ...,
    encoder_iterations: Annotated[int, typer.Option(min=1, help="Steps of the image encoders.")] = 2000,
    iterations: Annotated[int, typer.Option(min=1, help="Steps of the denoiser.")] = 12000,
    batch_size: Annotated[int, typer.Option(min=1)] = 64,
    lr: Annotated[float, typer.Option(min=0.0, help="Peak learning rate.")] = 5e-4,
    seed: Annotated[int, typer.Option(help="Of initial weights, batches and noise.")] = 0,
    resume: Annotated[bool, typer.Option(help="Go on where an interrupted run in `out` stopped.")] = True,
    max_minutes: MaxMinutes = None,
) -> None:
    """Train image encoders and denoiser on a dataset."""
    from step_ros.training.commands import train_policy

    train_policy(
        dataset,
        out,
        encoder_iterations=encoder_iterations,
        iterations=iterations,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        resume=resume,
        max_minutes=max_minutes,
    )


@train_app.command("predictor")
def train_predictor(
    policy: Annotated[Path, typer.Argument(help="Folder of a trained policy; the predictor is added to it.")],
    dataset: Annotated[Path, typer.Argument(help="The dataset that the policy was trained on.")],
    iterations: Annotated[int, typer.Option(min=1)] = 5000,
    batch_size: Annotated[int, typer.Option(min=1)] = 64,
    lr: Annotated[float, typer.Option(min=0.0, help="Peak learning rate.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Of initial weights, batches and augmentation.")] = 0,
    resume: Annotated[bool, typer.Option(help="Go on where an interrupted run stopped.")] = True,
    max_minutes: MaxMinutes = None,
) -> None:
    """Train the spatiotemporal consistency predictor of a policy."""
    from step_ros.training.commands import train_predictor

    train_predictor(
        policy,
        dataset,
        iterations=iterations,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        resume=resume,
        max_minutes=max_minutes,
    )


@app.command()
def info() -> None:
    """Print the versions in use and the policies that come with the package."""
    for distribution in ("step_ros", *SHOWN_VERSIONS):
        try:
            version = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            version = "not installed by pip"
        typer.echo(f"{distribution:24s} {version}")
    for config in sorted(share_path("models", "policies").glob("*/config.json")):
        typer.echo(f"{'policy':24s} {config.parent}")


if __name__ == "__main__":
    main()

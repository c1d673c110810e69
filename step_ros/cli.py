"""The command line `step-ros`: each command is one call into the package.

What a command needs is imported when it runs, so that `step-ros --help` does not wait for torch.
"""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer

from step_ros import __version__, cli_bags, cli_bench, cli_lerobot, cli_results, cli_train
from step_ros.cli_bags import pairs
from step_ros.cli_results import Checkpoint, Engine, FirstSeed, Servo, Task, Workers
from step_ros.cli_train import DatasetRate, Features
from step_ros.paths import share_path
from step_ros.sim.catalogue import ARM_TASKS

SHOWN_VERSIONS = ("torch", "diffusers", "openvino", "mujoco", "mink", "numpy", "ros-rclpy", "rosbags")

app = typer.Typer(
    name="step-ros",
    help="Few-step diffusion policies for the SO-ARM101 on ROS 2.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
app.add_typer(cli_train.app, name="train")
bench_app = typer.Typer(help="Measure how fast this machine is.", no_args_is_help=True)
app.add_typer(bench_app, name="bench")
cli_bench.add_to(bench_app)

ArmTask = Annotated[Literal[ARM_TASKS], typer.Option(help="What is to be done.")]


def main() -> None:
    """Entry point of `step-ros`: what the package refuses, with a reason, ends it in one line.

    Any other exception is a fault in the package and keeps its trace.
    """
    try:
        app()
    except Exception as error:
        if not type(error).__module__.startswith("step_ros."):
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
    task: ArmTask = "pick_place",
    episodes: Annotated[int, typer.Option(min=1, help="Episodes to run.")] = 10,
    out: Annotated[Path, typer.Option(help="Folder of the report and the bag.")] = Path("demo_out"),
    seed: FirstSeed = 0,
    checkpoint: Checkpoint = None,
    method: Annotated[
        str | None, typer.Option(help="step, ddim, ddpm or predictor.", show_default="step")
    ] = None,
) -> None:
    """Run a policy on the simulated arm through ROS topics and write a report."""
    from step_ros.demo import run_demo

    run_demo(task=task, episodes=episodes, out=out, seed=seed, checkpoint=checkpoint, method=method)


@app.command()
def collect(
    out: Annotated[Path, typer.Option(help="Folder of the dataset; one that exists is continued.")],
    episodes: Annotated[int, typer.Option(min=1, help="Episodes the dataset shall hold in the end.")],
    task: Task = "pick_place",
    seed: FirstSeed = 1_000_000,
    workers: Workers = 2,
    noise: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="Disturbance of the expert's commands, rad or pixels.", show_default="the task's"
        ),
    ] = None,
    observations: Annotated[
        Literal["images", "states"], typer.Option(help="With images, or vectors alone (nothing is rendered).")
    ] = "images",
    servo: Servo = "sts3215",
) -> None:
    """Record demonstrations of the scripted expert as a LeRobotDataset v3.0."""
    from step_ros.collect import collect

    collect(
        task=task,
        episodes=episodes,
        out=out,
        seed=seed,
        workers=workers,
        noise=noise,
        observations=observations,
        servo=servo,
    )


@app.command()
def calibrate(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a policy; the file is added to it.")],
    dataset: Annotated[Path, typer.Argument(help="The dataset that the policy was trained on.")],
    samples: Annotated[int, typer.Option(min=1, help="Windows of the dataset.")] = 128,
    seed: Annotated[int, typer.Option(help="Of the choice of windows.")] = 0,
    fps: DatasetRate = None,
    features: Features = None,
) -> None:
    """Encode windows of a dataset, which precision int8 needs to quantise a policy's denoiser."""
    from step_ros.training.calibrate import calibrate

    file = calibrate(
        checkpoint, dataset, samples=samples, seed=seed, fps=fps, features=pairs("--feature", features)
    )
    typer.echo(file)


@bench_app.command("latency")
def bench_latency(
    engines: Annotated[
        list[str] | None, typer.Option("--engine", help="torch, openvino, onnx, cuda.", show_default="all")
    ] = None,
    sizes: Annotated[
        list[str] | None,
        typer.Option("--size", help="shipped, or the U-Net's channels as 64-128-256.", show_default="all"),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method", help="STEP-2, STEP-4, DDIM-2, DDIM-10, DDPM-100, predictor.", show_default="all"
        ),
    ] = None,
    threads: Annotated[
        list[int] | None, typer.Option(help="Threads of every engine.", show_default="1 and all cores")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds over all rows of a size.")] = 5,
    quick: Annotated[bool, typer.Option(help="Two short rounds; by default two sizes, one thread.")] = False,
    cold_start: Annotated[
        bool, typer.Option(help="Also how the shipped and the largest policy come up.")
    ] = True,
    lerobot_python: Annotated[
        Path | None, typer.Option(help="Interpreter that has LeRobot, to measure it as well.")
    ] = None,
    out: Annotated[Path, typer.Option(help="JSON file of the results; one that exists is continued.")] = Path(
        "results/latency.json"
    ),
    doc: Annotated[Path, typer.Option(help="Page of the results, its plot in images/ beside it.")] = Path(
        "docs/latency.md"
    ),
) -> None:
    """Time a cycle of every engine, size and method, beside the machine's limit and other packages."""
    from step_ros.evaluation.latency.command import bench_latency

    bench_latency(
        engines=engines,
        sizes=sizes,
        methods=methods,
        threads=threads,
        repeats=repeats,
        quick=quick,
        cold_start=cold_start,
        lerobot_python=lerobot_python,
        out=out,
        doc=doc,
    )


@bench_app.command("seams")
def bench_seams(
    out: Annotated[Path, typer.Option(help="JSON file of the results.")] = Path("results/seams.json"),
    seconds: Annotated[float, typer.Option(min=2.0, help="Length of each run without a policy.")] = 60.0,
    seed: FirstSeed = 20_000,
    latency: Annotated[
        float, typer.Option(min=0.0, max=0.4, help="Seconds from observation to chunk.")
    ] = 0.08,
    blends: Annotated[
        list[float] | None,
        typer.Option("--blend", min=0.0, help="Blend times, seconds.", show_default="0 to 0.25"),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Folder of a policy, to run it in the simulated world too.")
    ] = None,
    task: Task = "pick_place",
    episodes: Annotated[int, typer.Option(min=1, help="Episodes per row, with a policy.")] = 5,
) -> None:
    """Measure how smoothly the arm is led from chunk to chunk, by the way in which chunks are sent."""
    from step_ros.evaluation.seams.command import bench_seams
    from step_ros.evaluation.seams.reference_motion import BLENDS

    bench_seams(
        out,
        seconds=seconds,
        seed=seed,
        latency=latency,
        blends=blends or BLENDS,
        checkpoint=policy,
        task=task,
        episodes=episodes,
    )


@bench_app.command("node")
def bench_node(
    out: Annotated[Path, typer.Option(help="JSON file of the results.")] = Path("results/node.json"),
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Folder of a policy.", show_default="shipped networks, random weights, 96 x 128"),
    ] = None,
    cameras: Annotated[int, typer.Option(min=1, max=2, help="Cameras of the default policy.")] = 1,
    seconds: Annotated[float, typer.Option(min=1.0, help="How long images are published.")] = 120.0,
    image_size: Annotated[tuple[int, int], typer.Option(help="Height and width of the published images.")] = (
        480,
        640,
    ),
    dds_profile: Annotated[
        Path | None, typer.Option(help="Fast DDS profile.", show_default="config/fastdds_images.xml")
    ] = None,
    dds_defaults: Annotated[
        bool, typer.Option("--dds-defaults", help="No profile: Fast DDS as the environment sets it.")
    ] = False,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--parameter", help="NAME:=VALUE for /step, such as action_steps:=1; may be repeated."),
    ] = None,
) -> None:
    """Measure through ROS what /step adds to its policy's own time, and what it uses of the machine."""
    from step_ros.node_benchmark import bench_node

    profile = None if dds_defaults else dds_profile or share_path("config", "fastdds_images.xml")
    bench_node(
        out,
        checkpoint=checkpoint,
        cameras=cameras,
        seconds=seconds,
        image_size=image_size,
        dds_profile=profile,
        parameters=parameters or [],
    )


@bench_app.command("soak")
def bench_soak(
    out: Annotated[Path, typer.Option(help="JSON file of the results.")] = Path("results/soak.json"),
    checkpoint: Checkpoint = None,
    cycles: Annotated[int, typer.Option(min=1, help="Cycles that are measured.")] = 20_000,
    messages: Annotated[int, typer.Option(min=0, help="Random messages of each kind.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Of the random messages.")] = 20_000,
    engine: Engine = "auto",
) -> None:
    """Run /step for many cycles and under random messages, and see whether memory or time creeps."""
    from step_ros.soak import bench_soak

    bench_soak(out, checkpoint=checkpoint, cycles=cycles, messages=messages, seed=seed, engine=engine)


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a policy.")],
    out: Annotated[Path, typer.Option(help="Folder of the files.")],
    steps: Annotated[
        int | None, typer.Option(min=1, help="Denoising steps in step.onnx.", show_default="the policy's own")
    ] = None,
) -> None:
    """Write a policy's networks, and one whole STEP cycle, as ONNX files with fixed shapes."""
    from step_ros.policy.export import export_checkpoint

    for file in export_checkpoint(checkpoint, out, steps):
        typer.echo(file)


app.command("import")(cli_lerobot.import_policy)
app.command()(cli_lerobot.offsets)


@app.command()
def info() -> None:
    """Print the versions in use and the policies that come with the package."""
    for distribution in ("step_ros", *SHOWN_VERSIONS):
        try:
            version = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            version = "not installed by pip"
        typer.echo(f"{distribution:12s} {version}")
    for config in sorted(share_path("models", "policies").glob("*/config.json")):
        typer.echo(f"{'policy':12s} {config.parent}")


cli_results.add_to(app)
cli_bags.add_to(app)

if __name__ == "__main__":
    main()

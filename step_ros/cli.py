"""The command line `step-ros`: each command is one call into the package.

What a command needs is imported when it runs, so that `step-ros --help` does not wait for torch.
"""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer

from step_ros import __version__, cli_bags, cli_lerobot
from step_ros.cli_bags import pairs
from step_ros.paths import share_path
from step_ros.sim.catalogue import ARM_TASKS, TASK_NAMES

SHOWN_VERSIONS = ("torch", "diffusers", "openvino", "mujoco", "mink", "numpy", "ros-rclpy", "rosbags")
COMPARED = [
    "step",
    "ddpm",
    "ddim:num_inference_steps=10",
    "ddim:timesteps=50/0",
    "ddim:timesteps=75/25",
    "predictor",
]

app = typer.Typer(
    name="step-ros",
    help="Few-step diffusion policies for the SO-ARM101 on ROS 2.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
train_app = typer.Typer(help="Train a policy, or the predictor of a trained policy.", no_args_is_help=True)
app.add_typer(train_app, name="train")
bench_app = typer.Typer(help="Measure how fast this machine is.", no_args_is_help=True)
app.add_typer(bench_app, name="bench")

Engine = Annotated[str, typer.Option(help="auto, torch, openvino, onnx, cuda, or onnx:FOLDER.")]
Task = Annotated[Literal[TASK_NAMES], typer.Option(help="What is to be done.")]
ArmTask = Annotated[Literal[ARM_TASKS], typer.Option(help="What is to be done.")]
Servo = Annotated[str, typer.Option(help="Servo model: NAME[:setting=value,...]; see docs/simulation.md.")]
Checkpoint = Annotated[Path | None, typer.Option(help="Folder of a policy.", show_default="the task's")]
FirstSeed = Annotated[int, typer.Option(help="Episode k starts from seed + k.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes that simulate side by side.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Windows per training step.")]
LearningRate = Annotated[float, typer.Option(min=0.0, help="Highest learning rate (AdamW).")]
TrainingSeed = Annotated[int, typer.Option(help="Of weights, batches, noise and the held-out split.")]
Resume = Annotated[bool, typer.Option(help="Go on where an interrupted run stopped.")]
MaxMinutes = Annotated[float | None, typer.Option(min=0.0, help="Save and stop after so many minutes.")]
DatasetRate = Annotated[
    float | None, typer.Option(min=0.0, help="Frames per second of a zarr or HDF5 dataset that does not say.")
]
Features = Annotated[
    list[str] | None,
    typer.Option("--feature", help="FEATURE=ARRAY[a:b][,...] of a zarr or HDF5 dataset; may be repeated."),
]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads of torch.", show_default="all cores")]


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


@train_app.command("policy")
def train_policy(
    dataset: Annotated[Path, typer.Argument(help="LeRobotDataset, diffusion_policy zarr or robomimic HDF5.")],
    out: Annotated[Path, typer.Option(help="Folder of the checkpoint.")],
    encoder_iterations: Annotated[int, typer.Option(min=1, help="Steps of the image encoders.")] = 2000,
    encoder_lr: LearningRate = 1e-3,
    iterations: Annotated[int, typer.Option(min=1, help="Steps of the denoiser.")] = 12000,
    batch_size: BatchSize = 64,
    lr: LearningRate = 5e-4,
    seed: TrainingSeed = 0,
    resume: Resume = True,
    max_minutes: MaxMinutes = None,
    down_dims: Annotated[tuple[int, int, int], typer.Option(help="Channels of the U-Net's levels.")] = (
        64,
        128,
        256,
    ),
    prediction_type: Annotated[
        Literal["epsilon", "sample"],
        typer.Option(help="What the denoiser predicts: noise or the clean chunk."),
    ] = "epsilon",
    threads: Threads = None,
    fps: DatasetRate = None,
    features: Features = None,
) -> None:
    """Train the image encoders, then the denoiser, on a dataset."""
    from step_ros.training.commands import train_policy

    train_policy(
        dataset,
        out,
        encoder_iterations=encoder_iterations,
        encoder_lr=encoder_lr,
        iterations=iterations,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        resume=resume,
        max_minutes=max_minutes,
        down_dims=down_dims,
        prediction_type=prediction_type,
        threads=threads,
        fps=fps,
        features=pairs("--feature", features),
    )


@train_app.command("predictor")
def train_predictor(
    policy: Annotated[
        Path | None, typer.Argument(help="Folder of a trained policy; the predictor is added to it.")
    ] = None,
    dataset: Annotated[
        Path | None, typer.Argument(help="The dataset that the policy was trained on.")
    ] = None,
    policy_option: Annotated[
        Path | None, typer.Option("--policy", help="The policy, as an option; LeRobot's folders as well.")
    ] = None,
    dataset_option: Annotated[
        Path | None, typer.Option("--dataset", help="The dataset, as an option.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the policy with predictor.", show_default="the policy's, unless LeRobot's"
        ),
    ] = None,
    units: Annotated[str | None, typer.Option(help=cli_lerobot.UNITS_HELP)] = None,
    calibration: Annotated[Path | None, typer.Option(help=cli_lerobot.CALIBRATION_HELP)] = None,
    renamed: Annotated[
        list[str] | None,
        typer.Option("--rename", help="POLICY_INPUT=DATASET_FEATURE where names differ; may be repeated."),
    ] = None,
    held_out: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of the episodes that the error is measured on.")
    ] = 0.05,
    iterations: Annotated[int, typer.Option(min=1, help="Training steps.")] = 5000,
    batch_size: BatchSize = 64,
    lr: LearningRate = 1e-3,
    seed: TrainingSeed = 0,
    resume: Resume = True,
    max_minutes: MaxMinutes = None,
    threads: Threads = None,
    time_shift: Annotated[int, typer.Option(min=0, help="Moves the history by up to so many ticks.")] = 4,
    noise: Annotated[float, typer.Option(min=0.0, help="White noise on the history, normalised.")] = 0.25,
    offset: Annotated[
        float, typer.Option(min=0.0, help="Offset per joint of the history, normalised.")
    ] = 0.15,
    dropout: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of windows without history.")
    ] = 0.05,
    fps: DatasetRate = None,
    features: Features = None,
) -> None:
    """Train the predictor of a policy on falsified histories, so that it does not copy them."""
    from step_ros.lerobot_policies import train_lerobot_predictor
    from step_ros.training.augmentation import HistoryAugmentation

    train_lerobot_predictor(
        _given("policy", policy, policy_option),
        _given("dataset", dataset, dataset_option),
        out=out,
        units=units,
        calibration=calibration,
        renamed=pairs("--rename", renamed),
        held_out=held_out,
        iterations=iterations,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        resume=resume,
        max_minutes=max_minutes,
        threads=threads,
        fps=fps,
        features=pairs("--feature", features),
        augmentation=HistoryAugmentation(time_shift=time_shift, noise=noise, offset=offset, dropout=dropout),
    )


def _given(name: str, argument: Path | None, option: Path | None) -> Path:
    """What was given as an argument or as an option, once."""
    if (argument is None) == (option is None):
        found = "nothing" if option is None else f"{argument} and {option}"
        raise typer.BadParameter(f"found {found}, accepted: one folder", param_hint=f"{name} or --{name}")
    return argument or option


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


@app.command("eval")
def evaluate(
    out: Annotated[Path, typer.Option(help="JSON file of the results; one that exists is continued.")],
    task: Task = "pick_place",
    checkpoint: Checkpoint = None,
    methods: Annotated[
        list[str],
        typer.Option("--method", help="METHOD[:setting=value,...], lists as 75/25; may be repeated."),
    ] = COMPARED,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes per method, on the same seeds.")] = 100,
    seed: FirstSeed = 0,
    workers: Workers = 2,
    engine: Engine = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads per network call.")] = 1,
    precision: Annotated[str, typer.Option(help="Number format: fp32, bf16 or int8.")] = "fp32",
    servo: Servo = "sts3215",
) -> None:
    """Compare methods on the same seeds in lock-step simulation, without ROS."""
    from step_ros.evaluation.commands import evaluate

    evaluate(
        task=task,
        checkpoint=checkpoint or share_path("models", "policies", task),
        methods=methods,
        episodes=episodes,
        out=out,
        seed=seed,
        workers=workers,
        engine=engine,
        threads=threads,
        precision=precision,
        servo=servo,
    )


@app.command("eval-expert")
def evaluate_expert(
    out: Annotated[Path, typer.Option(help="JSON file of the results.")],
    task: Task = "pick_place",
    episodes: Annotated[int, typer.Option(min=1, help="Episodes to run.")] = 100,
    seed: FirstSeed = 0,
    servo: Servo = "sts3215",
) -> None:
    """Count how often the scripted expert solves a task."""
    from step_ros.evaluation.expert import evaluate_expert

    evaluate_expert(task=task, out=out, episodes=episodes, seed=seed, servo=servo)


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


cli_bags.add_to(app)

if __name__ == "__main__":
    main()

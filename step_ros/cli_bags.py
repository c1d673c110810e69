"""The commands of `step-ros` about bags: replay, bag2lerobot and lerobot2bag."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from step_ros.cli_lerobot import CALIBRATION_HELP, UNITS_HELP
from step_ros.cli_options import spread
from step_ros.paths import share_path

if TYPE_CHECKING:
    from step_ros.data.bag_topics import TopicChoice

BROKEN = 3
"""Exit status of a replay that broke a threshold; 1 means that there was no replay to judge."""


def pairs(option: str, texts: list[str] | None) -> dict[str, str] | None:
    """NAME=VALUE options as a mapping."""
    for text in texts or ():
        if not all(text.partition("=")[::2]):
            raise typer.BadParameter(f"found {text}, accepted: NAME=VALUE", param_hint=option)
    return dict(text.split("=", 1) for text in texts) if texts else None


@dataclass(frozen=True)
class Recorded:
    """What a bag calls its topics and joints."""

    namespace: Annotated[str, typer.Option(help="Only topics below it, such as /left.")] = ""
    joint_states: Annotated[
        str, typer.Option(help="Topic of the joint states.", show_default="found by name")
    ] = ""
    actions: Annotated[
        str,
        typer.Option(
            help="Topic of what was commanded (JointTrajectory or JointState).", show_default="found"
        ),
    ] = ""
    images: Annotated[
        list[str] | None, typer.Option("--image", help="CAMERA=TOPIC; may be repeated.", show_default="found")
    ] = None
    joint_names: Annotated[
        list[str] | None,
        typer.Option("--joint", help="A joint as messages call it, in the policy's order; repeat for all."),
    ] = None

    @property
    def topics(self) -> TopicChoice:
        from step_ros.data.bag_topics import TopicChoice

        return TopicChoice(self.namespace, self.joint_states, self.actions, pairs("--image", self.images))


@spread
def replay(
    bag: Annotated[Path, typer.Argument(help="Folder of a bag, or its .mcap or .db3 file.")],
    out: Annotated[Path, typer.Option(help="Folder of replay.json and replay.html.")] = Path("replay_out"),
    checkpoint: Annotated[
        Path | None, typer.Option(help="Folder of a policy.", show_default="pick_place, as shipped")
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", help="METHOD[:setting=value,...]; may be repeated.", show_default="step"),
    ] = None,
    reference: Annotated[str, typer.Option(help="What methods are compared with; empty: nothing.")] = "ddpm",
    reference_every: Annotated[int, typer.Option(min=1, help="Ask the reference every so many cycles.")] = 10,
    cold_twins: Annotated[
        bool, typer.Option(help="Also run warm-started methods without history, to see what it is worth.")
    ] = True,
    sweep_stalls: Annotated[
        bool, typer.Option("--sweep", help="Show where the stall rule fires for a range of thresholds.")
    ] = False,
    other: Annotated[
        Path | None, typer.Option("--compare", help="replay.json of an earlier replay of this bag.")
    ] = None,
    gate: Annotated[
        Path | None, typer.Option(help=f"YAML file of thresholds; exit status {BROKEN} if one is broken.")
    ] = None,
    engine: Annotated[str, typer.Option(help="What runs the networks: auto, torch, openvino ...")] = "auto",
    seed: Annotated[int, typer.Option(help="Of the sampler's noise.")] = 0,
    follow_chunks: Annotated[
        bool, typer.Option(help="Begin cycles where the recorded /step did, if the bag says.")
    ] = True,
    action_steps: Annotated[
        int | None, typer.Option(min=1, help="Actions per cycle otherwise.", show_default="the policy's")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.02, help="Silence of a stream [s] that ends an episode.")
    ] = 0.5,
    *,
    recorded: Recorded,
) -> None:
    """Let methods plan from what a recorded robot saw, and compare them with what it was told to do."""
    from step_ros.evaluation.replay.commands import run_replay
    from step_ros.evaluation.replay.run import ReplayOptions

    options = ReplayOptions(
        methods=methods or ReplayOptions.methods,
        reference=reference,
        reference_every=reference_every,
        cold_twins=cold_twins,
        engine=engine,
        seed=seed,
        follow_chunks=follow_chunks,
        action_steps=action_steps,
        timeout=timeout,
        joint_names=recorded.joint_names,
        topics=recorded.topics,
    )
    kept = run_replay(
        bag,
        checkpoint or share_path("models", "policies", "pick_place"),
        out,
        options,
        sweep_stalls=sweep_stalls,
        other=other,
        gate=gate,
    )
    if not kept:
        raise typer.Exit(BROKEN)


@spread
def bag2lerobot(
    bag: Annotated[Path, typer.Argument(help="Folder of a bag, or its .mcap or .db3 file.")],
    out: Annotated[Path, typer.Option(help="Folder of the dataset; one that exists is continued.")],
    fps: Annotated[int, typer.Option(min=1, help="Rows per second.")] = 30,
    task: Annotated[
        str, typer.Option(help="What is done.", show_default="as marked, or the bag's name")
    ] = "",
    crf: Annotated[int, typer.Option(min=0, max=51, help="Quality of the videos; 0 loses nothing.")] = 10,
    longest_gap: Annotated[
        float, typer.Option(min=0.0, help="Dropped frames for longer [s] end an episode.")
    ] = 0.15,
    *,
    recorded: Recorded,
) -> None:
    """Turn a recording into a LeRobotDataset v3.0, stamps kept."""
    from step_ros.bag2lerobot import bag2lerobot
    from step_ros.control.joints import JOINT_NAMES

    converted = bag2lerobot(
        bag,
        out,
        fps=fps,
        task=task,
        joint_names=recorded.joint_names or JOINT_NAMES,
        crf=crf,
        longest_gap=longest_gap,
        topics=recorded.topics,
    )
    typer.echo(f"{len(converted.episodes)} episodes, {sum(converted.episodes)} rows in {out}")
    for reason, count in converted.left_out.most_common():
        typer.echo(f"left out: {count} x {reason}")


def lerobot2bag(
    dataset: Annotated[Path, typer.Argument(help="Folder of a LeRobotDataset, v2.x or v3.0.")],
    out: Annotated[Path, typer.Option(help="Folder of the bag, to be created.")],
    episodes: Annotated[
        list[int] | None, typer.Option("--episode", help="May be repeated.", show_default="all")
    ] = None,
    storage: Annotated[Literal["mcap", "sqlite3"], typer.Option(help="Format of the bag.")] = "mcap",
    units: Annotated[str | None, typer.Option(help=UNITS_HELP, show_default="radians")] = None,
    calibration: Annotated[Path | None, typer.Option(help=CALIBRATION_HELP)] = None,
) -> None:
    """Turn episodes of a dataset into a bag, in radians, that can be played, replayed and turned back."""
    from step_ros.lerobot2bag import lerobot2bag

    rows = lerobot2bag(dataset, out, episodes, storage, units, calibration)
    typer.echo(f"{rows} rows in {out}")


def add_to(app: typer.Typer) -> None:
    """Make these commands part of an application."""
    for command in (replay, bag2lerobot, lerobot2bag):
        app.command()(command)

"""The commands `step-ros train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from step_ros.cli_bags import pairs
from step_ros.cli_lerobot import CALIBRATION_HELP, UNITS_HELP
from step_ros.cli_options import spread

app = typer.Typer(help="Train a policy, or the predictor of a trained policy.", no_args_is_help=True)

LearningRate = Annotated[float, typer.Option(min=0.0, help="Highest learning rate (AdamW).")]
DatasetRate = Annotated[
    float | None, typer.Option(min=0.0, help="Frames per second of a zarr or HDF5 dataset that does not say.")
]
Features = Annotated[
    list[str] | None,
    typer.Option("--feature", help="FEATURE=ARRAY[a:b][,...] of a zarr or HDF5 dataset; may be repeated."),
]


@dataclass(frozen=True)
class Training:
    """How long, on what and how training runs."""

    batch_size: Annotated[int, typer.Option(min=1, help="Windows per training step.")] = 64
    seed: Annotated[int, typer.Option(help="Of weights, batches, noise and the held-out split.")] = 0
    resume: Annotated[bool, typer.Option(help="Go on where an interrupted run stopped.")] = True
    max_minutes: Annotated[
        float | None, typer.Option(min=0.0, help="Save and stop after so many minutes.")
    ] = None
    units: Annotated[str | None, typer.Option(help=UNITS_HELP)] = None
    calibration: Annotated[Path | None, typer.Option(help=CALIBRATION_HELP)] = None
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of torch.", show_default="all cores")
    ] = None
    fps: DatasetRate = None
    features: Features = None

    def arguments(self) -> dict[str, object]:
        """As the functions that train take them."""
        return vars(self) | {"features": pairs("--feature", self.features)}


@app.command("policy")
@spread
def train_policy(
    dataset: Annotated[Path, typer.Argument(help="LeRobotDataset, diffusion_policy zarr or robomimic HDF5.")],
    out: Annotated[Path, typer.Option(help="Folder of the checkpoint.")],
    encoder_iterations: Annotated[
        int | None,
        typer.Option(min=1, help="Steps of the encoders.", show_default="2000, without cameras 20000"),
    ] = None,
    encoder_lr: LearningRate = 1e-3,
    iterations: Annotated[int, typer.Option(min=1, help="Steps of the denoiser.")] = 12000,
    lr: LearningRate = 5e-4,
    down_dims: Annotated[tuple[int, int, int], typer.Option(help="Channels of the U-Net's levels.")] = (
        64,
        128,
        256,
    ),
    prediction_type: Annotated[
        Literal["epsilon", "sample"],
        typer.Option(help="What the denoiser predicts: noise or the clean chunk."),
    ] = "epsilon",
    image_size: Annotated[
        tuple[int, int] | None,
        typer.Option(help="Height and width to which images are reduced.", show_default="the dataset's"),
    ] = None,
    *,
    training: Training,
) -> None:
    """Train the encoders, then the denoiser, on a dataset."""
    from step_ros.lerobot_policies import train_policy_in_radians

    train_policy_in_radians(
        dataset,
        out,
        encoder_iterations=encoder_iterations,
        encoder_lr=encoder_lr,
        iterations=iterations,
        lr=lr,
        down_dims=down_dims,
        prediction_type=prediction_type,
        image_size=image_size,
        **training.arguments(),
    )


@app.command("predictor")
@spread
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
    renamed: Annotated[
        list[str] | None,
        typer.Option("--rename", help="POLICY_INPUT=DATASET_FEATURE where names differ; may be repeated."),
    ] = None,
    held_out: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of the episodes that the error is measured on.")
    ] = 0.05,
    iterations: Annotated[int, typer.Option(min=1, help="Training steps.")] = 5000,
    lr: Annotated[
        float | None, typer.Option(min=0.0, help="Highest learning rate (AdamW).", show_default="the kind's")
    ] = None,
    kind: Annotated[
        Literal["past", "leaked", "prior"],
        typer.Option(
            help="What it is told: past commands; its own target, as STEP's released code does (only to "
            "compare with); or a VAE's latent sample."
        ),
    ] = "past",
    variant: Annotated[
        Literal["paper", "official"] | None,
        typer.Option(help="Network of the paper or of its released code.", show_default="the kind's"),
    ] = None,
    width: Annotated[int | None, typer.Option(help="Embedding width.", show_default="the kind's")] = None,
    blocks: Annotated[
        int | None, typer.Option(help="Cross-attention blocks.", show_default="the kind's")
    ] = None,
    heads: Annotated[int | None, typer.Option(help="Attention heads.", show_default="the kind's")] = None,
    feedforward: Annotated[
        int | None, typer.Option(help="Width of hidden layers.", show_default="the kind's")
    ] = None,
    latent: Annotated[
        int | None, typer.Option(help="Numbers in a prior's latent.", show_default="the kind's")
    ] = None,
    history: Annotated[bool, typer.Option(help="Whether it sees the past commands.")] = True,
    observation: Annotated[bool, typer.Option(help="Whether it sees the observation.")] = True,
    kl_weight: Annotated[float, typer.Option(min=0.0, help="Weight of a prior's divergence.")] = 0.001,
    time_shift: Annotated[int, typer.Option(min=0, help="Moves the history by up to so many ticks.")] = 4,
    noise: Annotated[float, typer.Option(min=0.0, help="White noise on the history, normalised.")] = 0.25,
    offset: Annotated[
        float, typer.Option(min=0.0, help="Offset per joint of the history, normalised.")
    ] = 0.15,
    dropout: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of windows without history.")
    ] = 0.05,
    *,
    training: Training,
) -> None:
    """Train the predictor of a policy on falsified histories, so that it does not copy them.

    Kinds and sizes other than the usual make the predictors of docs/methods.md, each in a folder of its own
    (--out).
    """
    from step_ros.lerobot_policies import train_lerobot_predictor
    from step_ros.training.augmentation import HistoryAugmentation
    from step_ros.training.recipes import predictor_config

    train_lerobot_predictor(
        _given("policy", policy, policy_option),
        _given("dataset", dataset, dataset_option),
        out=out,
        renamed=pairs("--rename", renamed),
        held_out=held_out,
        iterations=iterations,
        lr=lr,
        **training.arguments(),
        predictor=predictor_config(
            kind=kind,
            variant=variant,
            width=width,
            blocks=blocks,
            heads=heads,
            feedforward=feedforward,
            latent=latent,
            history=history,
            observation=observation,
        ),
        kl_weight=kl_weight,
        augmentation=HistoryAugmentation(time_shift=time_shift, noise=noise, offset=offset, dropout=dropout),
    )


def _given(name: str, argument: Path | None, option: Path | None) -> Path:
    """What was given as an argument or as an option, once."""
    if (argument is None) == (option is None):
        found = "nothing" if option is None else f"{argument} and {option}"
        raise typer.BadParameter(f"found {found}, accepted: one folder", param_hint=f"{name} or --{name}")
    return argument or option

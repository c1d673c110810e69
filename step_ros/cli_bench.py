"""The commands of `step-ros bench` that look into the method (stall, contraction) and its data (decode)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from step_ros.cli_bags import pairs
from step_ros.cli_results import Checkpoint, Engine, FirstSeed, Task, Workers

Amplitudes = Annotated[
    list[float] | None, typer.Option(min=0.0, max=2.0, help="May be repeated.", show_default="0 to 2 by 0.2")
]
Scales = Annotated[
    list[float] | None, typer.Option(min=0.0, max=2.0, help="May be repeated.", show_default="0 to 1 by 0.2")
]


def stall(
    out: Annotated[Path, typer.Option(help="JSON file; episodes lie in a folder beside it.")] = Path(
        "results/stall.json"
    ),
    tasks: Annotated[
        list[str] | None,
        typer.Option("--task", help="May be repeated.", show_default="pick_place and stack_cube"),
    ] = None,
    arms: Annotated[
        list[str] | None,
        typer.Option(
            "--arm", help="NAME=SERVO; may be repeated.", show_default="sticky, dead_band and stiff"
        ),
    ] = None,
    checkpoints: Annotated[
        list[str] | None,
        typer.Option("--checkpoint", help="TASK=FOLDER; may be repeated.", show_default="the tasks'"),
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Per cell of the grids.")] = 50,
    finals: Annotated[int, typer.Option(min=1, help="Of the best cells, and on the ideal arm.")] = 200,
    finalists: Annotated[int, typer.Option(min=1, help="How many of the tuned cells go on.")] = 3,
    seed: FirstSeed = 0,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=2.0, help="stall_threshold of the rule as written.")
    ] = 0.06,
    sigma_stalls: Amplitudes = None,
    sigma_scales: Scales = None,
    steps: Annotated[
        list[int] | None, typer.Option(min=1, help="May be repeated.", show_default="2, 4 and 8")
    ] = None,
    workers: Workers = 2,
    engine: Engine = "auto",
    images: Annotated[Path, typer.Option(help="Folder of the plots.")] = Path("docs/images"),
    page: Annotated[
        Path | None, typer.Option(help="Page whose generated part `stall` is filled, such as docs/stall.md.")
    ] = None,
) -> None:
    """Stall an arm that sticks: the paper's rule over its factors, and the one that needs no tuning."""
    from step_ros.evaluation.stall.cells import SIGMA_SCALES, SIGMA_STALLS, STEPS
    from step_ros.evaluation.stall.command import ARMS, bench_stall

    bench_stall(
        out,
        tasks=tasks or ("pick_place", "stack_cube"),
        arms=pairs("--arm", arms) or ARMS,
        checkpoints={
            task: Path(folder) for task, folder in (pairs("--checkpoint", checkpoints) or {}).items()
        },
        episodes=episodes,
        finals=finals,
        finalists=finalists,
        seed=seed,
        threshold=threshold,
        sigma_stalls=sigma_stalls or SIGMA_STALLS,
        sigma_scales=sigma_scales or SIGMA_SCALES,
        steps=steps or STEPS,
        workers=workers,
        engine=engine,
        images=images,
        page=page,
    )


def contraction(
    out: Annotated[Path, typer.Option(help="JSON file of the results.")] = Path("results/contraction.json"),
    task: Task = "pick_place",
    checkpoint: Checkpoint = None,
    episodes: Annotated[int, typer.Option(min=1, help="Whose observations are used.")] = 5,
    observations: Annotated[int, typer.Option(min=1, help="Of each episode, evenly spread.")] = 8,
    seed: FirstSeed = 0,
    image: Annotated[Path, typer.Option(help="The plot.")] = Path("docs/images/contraction.png"),
) -> None:
    """Measure where the reverse process brings chunks together: the factor of every level, and Eq. 18."""
    from step_ros.evaluation.contraction.command import bench_contraction
    from step_ros.paths import share_path

    bench_contraction(
        out,
        task=task,
        checkpoint=checkpoint or share_path("models", "policies", task),
        episodes=episodes,
        observations=observations,
        seed=seed,
        image=image,
    )


def decode(
    dataset: Annotated[Path, typer.Argument(help="LeRobotDataset, diffusion_policy zarr or robomimic HDF5.")],
    out: Annotated[Path, typer.Option(help="JSON file of the results.")] = Path("results/decode.json"),
    checkpoint: Checkpoint = None,
    rows: Annotated[int, typer.Option(min=64, help="Frames of every camera.")] = 2000,
    rounds: Annotated[int, typer.Option(min=1, help="Of which the median counts.")] = 5,
) -> None:
    """Measure whether decoding a dataset's videos keeps up with a policy's image encoder."""
    from step_ros.decode_benchmark import bench_decode
    from step_ros.paths import share_path

    bench_decode(
        dataset,
        out,
        checkpoint=checkpoint or share_path("models", "policies", "pick_place"),
        rows=rows,
        rounds=rounds,
    )


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("stall")(stall)
    app.command("contraction")(contraction)
    app.command("decode")(decode)

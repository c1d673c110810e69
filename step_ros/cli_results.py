"""The commands of `step-ros` that measure methods and show what they come to: eval, report, results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from step_ros.cli_options import Methods, spread
from step_ros.paths import share_path
from step_ros.sim.catalogue import TASK_NAMES

COMPARED = [
    "step",
    "ddpm",
    "ddim:num_inference_steps=10",
    "ddim:timesteps=50/0",
    "ddim:timesteps=75/25",
    "predictor",
]

Engine = Annotated[str, typer.Option(help="auto, torch, openvino, onnx, cuda, or onnx:FOLDER.")]
Task = Annotated[Literal[TASK_NAMES], typer.Option(help="What is to be done.")]
Servo = Annotated[str, typer.Option(help="Servo model: NAME[:setting=value,...]; see docs/simulation.md.")]
Checkpoint = Annotated[Path | None, typer.Option(help="Folder of a policy.", show_default="the task's")]
FirstSeed = Annotated[int, typer.Option(help="Episode k starts from seed + k.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes that simulate side by side.")]
MaxMinutes = Annotated[
    float | None, typer.Option(min=0.0, help="Stop after so many minutes; the next call goes on.")
]
Plan = Annotated[Path | None, typer.Option(help="What is published.", show_default="config/results.yaml")]
Size = Annotated[str, typer.Option(help="One of the plan's sizes, such as full or smoke.")]


@dataclass(frozen=True)
class Rollouts:
    """How episodes are run."""

    workers: Workers = 2
    engine: Engine = "auto"
    threads: Annotated[int, typer.Option(min=1, help="CPU threads per network call.")] = 1
    max_ticks: Annotated[
        int | None, typer.Option(min=1, help="Ends episodes earlier.", show_default="the task's")
    ] = None


@spread
def evaluate(
    out: Annotated[Path, typer.Option(help="JSON file of the results; one that exists is continued.")],
    task: Task = "pick_place",
    checkpoint: Checkpoint = None,
    methods: Methods = COMPARED,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes per method, on the same seeds.")] = 100,
    seed: FirstSeed = 0,
    precision: Annotated[str, typer.Option(help="Number format: fp32, bf16 or int8.")] = "fp32",
    servo: Servo = "sts3215",
    baseline: Annotated[
        str | None, typer.Option(help="The method that differences are taken to.", show_default="ddpm")
    ] = None,
    agreement: Annotated[
        int, typer.Option(min=0, help="Episodes on whose observations chunks are compared with DDPM's.")
    ] = 0,
    max_minutes: MaxMinutes = None,
    *,
    rollouts: Rollouts,
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
        precision=precision,
        servo=servo,
        baseline=baseline,
        agreement=agreement,
        max_minutes=max_minutes,
        **vars(rollouts),
    )


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


@spread
def search(
    out: Annotated[Path, typer.Option(help="JSON file of the search; one that exists is continued.")],
    task: Task = "pick_place",
    checkpoint: Checkpoint = None,
    steps: Annotated[int, typer.Option(min=1, help="Denoising steps.")] = 2,
    method: Annotated[
        str, typer.Option(help="METHOD[:setting=value,...] whose levels are searched.")
    ] = "ddim",
    highest: Annotated[
        list[int] | None,
        typer.Option(
            min=0, help="Level that a list may begin with; may be repeated.", show_default="99 to 50"
        ),
    ] = None,
    lowest: Annotated[
        list[int] | None,
        typer.Option(min=0, help="Level that a list may end with; may be repeated.", show_default="60 to 0"),
    ] = None,
    among: Annotated[
        list[str] | None,
        typer.Option(help="Search among these METHOD[:setting=value,...] instead; may be repeated."),
    ] = None,
    rounds: Annotated[
        list[int] | None,
        typer.Option("--round", min=1, help="Episodes of those still in; repeat.", show_default="8, 24, 72"),
    ] = None,
    seed: FirstSeed = 20_000,
    *,
    rollouts: Rollouts,
) -> None:
    """Search noise levels for a few-step sampler, or the best of some variants, on tuning seeds."""
    from step_ros.evaluation.search import search

    search(
        task=task,
        checkpoint=checkpoint or share_path("models", "policies", task),
        out=out,
        steps=steps,
        method=method,
        highest=highest,
        lowest=lowest,
        among=among,
        rounds=rounds,
        seed=seed,
        **vars(rollouts),
    )


def report(
    results: Annotated[list[Path], typer.Argument(help="JSON files of `step-ros eval`.")],
    out: Annotated[Path, typer.Option(help="Folder of tables.md and pareto.png.")],
    page: Annotated[
        Path | None, typer.Option(help="Page whose generated parts are filled, such as docs/comparison.md.")
    ] = None,
    plan: Plan = None,
) -> None:
    """Turn results into tables, a plot of success against time, and the paper's tables beside ours."""
    from step_ros.evaluation.comparison.plan import read_plan
    from step_ros.evaluation.comparison.report import report
    from step_ros.results import OUT, WORK

    described = read_plan(plan or share_path("config", "results.yaml"), "full", OUT, WORK)
    for file in report(results, out, page, described):
        typer.echo(file)


def make_results(
    plan: Plan = None,
    size: Size = "full",
    out: Annotated[Path, typer.Option(help="Folder of the JSON files and of the report.")] = Path(
        "results/comparison"
    ),
    work: Annotated[Path, typer.Option(help="Folder of data and checkpoints.")] = Path("runs"),
    page: Annotated[Path | None, typer.Option(help="Page whose generated parts are filled.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Name of a run or step; may be repeated.", show_default="all")
    ] = None,
    workers: Workers = 2,
    max_minutes: MaxMinutes = None,
    dry: Annotated[bool, typer.Option("--dry", help="Only say what is finished and what is not.")] = False,
) -> None:
    """Make the published set of results, resumable; exit status 3 while something is not finished."""
    from step_ros.results import make_results

    finished = make_results(
        plan=plan,
        size=size,
        out=out,
        work=work,
        page=page,
        only=only,
        workers=workers,
        max_minutes=max_minutes,
        dry=dry,
    )
    if not finished:
        raise typer.Exit(UNFINISHED)


UNFINISHED = 3
"""Exit status of `step-ros results` while there is something left to do."""


def add_to(app: typer.Typer) -> None:
    """Make these commands part of an application."""
    app.command("eval")(evaluate)
    app.command("eval-expert")(evaluate_expert)
    app.command("search")(search)
    app.command("report")(report)
    app.command("results")(make_results)

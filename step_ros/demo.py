"""The demo: a policy moves the simulated arm through real ROS topics, and a report shows how it went.

`run_demo` starts `/mujoco_bridge`, `/step` and the recorder as processes, runs the episodes, and leaves
`report.html`, `summary.json`, `bag/` and `logs/` behind.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, track
from rich.table import Table

from step_ros.evaluation.provenance import provenance
from step_ros.evaluation.recording import Recording, RecordingError, read_recording
from step_ros.evaluation.report import write_report
from step_ros.evaluation.statistics import wilson
from step_ros.evaluation.video import film_episodes
from step_ros.nodes.episodes import STEP, Episode, EpisodeError, Report, percentiles, run_episodes
from step_ros.nodes.processes import NodeDiedError, NodeProcesses
from step_ros.paths import share_path
from step_ros.sim.world import CONTROL_RATE, World

FILM_SIZE = (360, 480)
TIME_LIMIT = World.max_ticks / CONTROL_RATE
"""Simulated seconds that an episode may take, as in lock-step evaluation."""


class DemoError(Exception):
    """The demo could not be run; the message says what is missing or which node failed."""


def run_demo(
    task: str = "pick_place",
    episodes: int = 10,
    out: Path = Path("demo_out"),
    seed: int = 0,
    checkpoint: Path | None = None,
    method: str | None = None,
) -> dict[str, object]:
    """Run episodes of a task over ROS and write the report.

    Args:
        task: name of a task.
        episodes: how many; the k-th starts from `seed + k`.
        out: folder to write; what an earlier demo left there is replaced.
        seed: seed of the first episode.
        checkpoint: folder of a policy; the shipped one of the task by default.
        method: how chunks are sampled; as in config/step.yaml by default.

    Returns:
        The summary, as in summary.json: `episodes`, `successes`, `cycle_ms_p50`, `cycle_ms_p95`,
        `policy_ms_p50`, `versions`, `rows` (one per episode) and what else it takes to repeat the run.

    Raises:
        DemoError: nothing to run, or a node failed.
    """
    checkpoint = Path(checkpoint or share_path("models", "policies", task)).resolve()
    if not (checkpoint / "config.json").is_file():
        raise DemoError(f"checkpoint: {checkpoint} holds no config.json, accepted: the folder of a policy")
    if episodes < 1:
        raise DemoError(f"episodes: found {episodes}, accepted: at least 1")
    out = Path(out).resolve()
    _clear(out)
    _isolate()
    console = Console()
    console.print(
        f"Logs: {out / 'logs'}. To look on, in another terminal: "
        f"[bold]export ROS_DOMAIN_ID={os.environ['ROS_DOMAIN_ID']}[/], then e.g. ros2 topic list",
        soft_wrap=True,
    )
    try:
        finished, reports = _run(console, task, range(seed, seed + episodes), out, checkpoint, method)
        summary = _summary(task, checkpoint, finished, reports)
        with console.status("Reading the bag"):
            recording = read_recording(out / "bag")
        _write_report(console, out, summary, finished, recording)
    except (EpisodeError, NodeDiedError, RecordingError) as error:
        raise DemoError(str(error)) from error
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    console.print(
        f"[bold]{summary['successes']} of {episodes}[/] episodes succeeded; cycle p50 "
        f"{summary['cycle_ms_p50']} ms, p95 {summary['cycle_ms_p95']} ms. See {out / 'report.html'}",
        soft_wrap=True,
    )
    return summary


def _clear(out: Path) -> None:
    """Remove what an earlier demo wrote, and only that."""
    for name in ("bag", "logs"):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in ("report.html", "summary.json"):
        (out / name).unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)


def _isolate() -> None:
    """Keep the nodes among themselves: what they send must not reach a robot, nor another demo.

    What the user has set stays. One thread per process, because three processes share what cores there are.
    """
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def _run(
    console: Console, task: str, seeds: range, out: Path, checkpoint: Path, method: str | None
) -> tuple[list[Episode], dict[str, Report]]:
    board = Scoreboard(task, len(seeds))

    def finished(episode: Episode) -> None:
        board.finished.append(episode)
        if not console.is_terminal:
            result = "success" if episode.success else "failed"
            console.print(
                f"episode {len(board.finished)} of {len(seeds)}: {result} in {episode.seconds:.1f} s"
            )

    with NodeProcesses(out / "logs") as nodes, Live(board, console=console, refresh_per_second=4):
        nodes.start("recorder", "-p", f"bag:={out / 'bag'}")
        nodes.start(
            "mujoco_bridge",
            *("--params-file", str(share_path("config", "mujoco_bridge.yaml"))),
            *("-p", f"task:={task}"),
        )
        nodes.start(
            "step_node",
            *("--params-file", str(share_path("config", "step.yaml"))),
            *("-p", f"checkpoint:={checkpoint}"),
            *(("-p", f"method:={method}") if method else ()),
        )
        reports = run_episodes(seeds, TIME_LIMIT, nodes.check, board.show, finished)
    return board.finished, reports


class Scoreboard:
    """What is shown while the demo runs."""

    def __init__(self, task: str, total: int):
        self.finished: list[Episode] = []
        self._running: Episode | None = None
        self._report: Report | None = None
        self._started = time.monotonic()
        self._progress = Progress(
            TextColumn(f"[bold]{task}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        )
        self._bar = self._progress.add_task("episodes", total=total)

    def show(self, running: Episode, report: Report) -> None:
        """Take the newest state of the running episode and of `/step`."""
        self._running, self._report = running, report

    def __rich__(self) -> Group:
        self._progress.update(self._bar, completed=len(self.finished))
        if self._running is None:
            return Group(self._progress, "starting the nodes")
        episodes = [*self.finished, self._running] if self._running not in self.finished else self.finished
        p50, p95 = percentiles([value for episode in episodes for value in episode.cycle_ms])
        table = Table.grid(padding=(0, 2))
        table.add_row("successes", f"{sum(e.success for e in self.finished)} of {len(self.finished)}")
        table.add_row("episode", f"seed {self._running.seed}, {self._running.seconds:.1f} s")
        table.add_row("cycle", f"p50 {p50} ms, p95 {p95} ms")
        for name, key in (("NFE", "nfe"), ("stalls", "stalls"), ("skipped cycles", "skipped_cycles")):
            table.add_row(name, self._report.values.get(key, ""))
        table.add_row("/step", self._report.message)
        return Group(self._progress, table)


def _summary(
    task: str, checkpoint: Path, finished: list[Episode], reports: dict[str, Report]
) -> dict[str, object]:
    successes = sum(episode.success for episode in finished)
    cycle_ms = [value for episode in finished for value in episode.cycle_ms]
    p50, p95 = percentiles(cycle_ms)
    step = reports[STEP]
    return {
        "task": task,
        "method": step.values["method"],
        "engine": step.values["engine"],
        "checkpoint": checkpoint.name,
        "episodes": len(finished),
        "successes": successes,
        "success_interval": list(wilson(successes, len(finished))),
        "cycles": len(cycle_ms),
        "cycle_ms_p50": p50,
        "cycle_ms_p95": p95,
        "policy_ms_p50": step.number("policy_ms_p50"),
        "policy_ms_p95": step.number("policy_ms_p95"),
        "nfe": finished[-1].nfe,
        "stalls": sum(episode.stalls for episode in finished),
        "skipped_cycles": sum(episode.skipped_cycles for episode in finished),
        "slipped_seconds": round(sum(episode.slipped_seconds for episode in finished), 3),
        **provenance(),
        "rows": [{"episode": number, **episode.row()} for number, episode in enumerate(finished, start=1)],
    }


def _write_report(
    console: Console, out: Path, summary: dict[str, object], finished: list[Episode], recording: Recording
) -> None:
    cut = [recording.between(episode.start, episode.end) for episode in finished]
    shown = next((number for number, episode in enumerate(finished) if episode.success), 0)
    with World(summary["task"], image_size=FILM_SIZE) as world:
        film = film_episodes(world, track(cut, "filming", console=console))
    cycle_ms = [value for episode in finished for value in episode.cycle_ms]
    write_report(out / "report.html", summary, cycle_ms, shown, cut[shown], film)

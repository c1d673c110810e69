"""The one training loop: AdamW, warm-up and cosine, clipping, EMA, curves, checkpoint, resume, clean stop.

It runs on `accelerate`: the same command uses one CPU, one GPU, or many processes (`accelerate launch`), each
with batches of its own and averaged gradients. Only the main process writes files.
"""

from __future__ import annotations

import csv
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from step_ros.training.ema import Ema
from step_ros.training.errors import TrainingError


class Objective(Protocol):
    """What is trained, on what, towards what."""

    name: str
    model: nn.Module
    averaged: bool
    """whether an exponential moving average of the weights is the result"""
    source: str
    """digest of the data that the objective trains on; a run is only continued on the same"""

    def loss(self, model: nn.Module, batch_size: int, generator: torch.Generator) -> Tensor:
        """Training loss of a batch drawn with `generator`; `model` is `self.model`, maybe wrapped."""

    def held_out_loss(self, model: nn.Module) -> float:
        """Loss on windows kept back, the same at every call; NaN if none were."""


@dataclass(frozen=True)
class LoopSettings:
    """How long and how fast. The learning rate warms up linearly, then falls to 0 as a half cosine."""

    iterations: int
    batch_size: int = 64
    lr: float = 5e-4
    warmup: int = 500
    weight_decay: float = 1e-6
    betas: tuple[float, float] = (0.95, 0.999)
    clip: float = 1.0
    ema_power: float = 0.75
    seed: int = 0
    max_minutes: float | None = None
    """time budget over all sessions of the run; the cosine ends with it if it ends before the iterations"""
    log_every: int = 50
    save_every: int = 500

    def __post_init__(self) -> None:
        for name in ("iterations", "batch_size", "lr", "clip", "log_every", "save_every", "max_minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise TrainingError(name, value, "a number above 0")

    def fingerprint(self) -> dict[str, Any]:
        """What must not change when a run is continued."""
        free = ("iterations", "max_minutes", "log_every", "save_every")
        return {name: value for name, value in asdict(self).items() if name not in free}


@dataclass(frozen=True)
class LoopResult:
    """Where a run stands; losses are the newest of the curve."""

    iterations: int
    minutes: float
    loss: float
    held_out_loss: float
    finished: bool


def learning_rate_factor(iteration: int, progress: float, warmup: int) -> float:
    """Factor on the peak learning rate, 0 to 1; `progress` is the share of the run that lies behind."""
    return min((iteration + 1) / max(warmup, 1), 1.0) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def fit(
    objective: Objective,
    settings: LoopSettings,
    folder: Path,
    accelerator: Accelerator,
    resume: bool = True,
    on_save: Callable[[LoopResult], None] | None = None,
) -> LoopResult:
    """Trains `objective.model` in place and leaves the result in it, on `accelerator.device`.

    Writes `<name>.csv` (the curve) and `<name>.pt` (all that resuming needs) into `folder`; with `resume`
    continues from the latter, and leaves everything alone if that run was finished. `on_save` is called at
    each of these saves while the model holds the weights that would be the result then. An interrupt (Ctrl-C
    or SIGTERM) saves, then raises KeyboardInterrupt.

    Raises:
        TrainingError: for a saved state of another model, other settings or other data; when the loss is NaN.
    """
    run = _Run(objective, settings, folder, accelerator)
    if resume and run.state_path.exists():
        run.load()
    with _stop_request() as stop, run.bar:
        while run.goes_on(stop):
            if run.iteration % settings.save_every == 0 and run.iteration:
                run.save(on_save)
            run.iterate()
        run.save(on_save)
    accelerator.wait_for_everyone()
    if not run.finished:
        raise KeyboardInterrupt(f"{objective.name}: stopped and saved after {run.iteration} iterations")
    if run.ema:
        run.ema.copy_to_parameters()
    return run.result()


class _Run:
    """The moving parts of one call of `fit`."""

    def __init__(
        self, objective: Objective, settings: LoopSettings, folder: Path, accelerator: Accelerator
    ) -> None:
        self.objective, self.settings, self.accelerator = objective, settings, accelerator
        folder.mkdir(parents=True, exist_ok=True)
        self.state_path = folder / f"{objective.name}.pt"
        self.curve_path = folder / f"{objective.name}.csv"
        parameters = [p for p in objective.model.to(accelerator.device).parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            parameters, settings.lr, settings.betas, weight_decay=settings.weight_decay, fused=True
        )
        self.ema = Ema(parameters, settings.ema_power) if objective.averaged else None
        self.model, self.optimizer = accelerator.prepare(objective.model, optimizer)
        self.iteration = 0
        self.progress = 0.0
        self.curve: list[dict[str, float]] = []
        self._saved_at = -1
        self._minutes_before = 0.0
        self._started = time.monotonic()
        self._losses: list[Tensor] = []
        self.bar = Progress(
            TextColumn(objective.name),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}  {task.fields[note]}"),
            TimeRemainingColumn(),
            disable=not accelerator.is_main_process,
        )
        self._task = self.bar.add_task(objective.name, total=settings.iterations, note="")

    @property
    def minutes(self) -> float:
        return self._minutes_before + (time.monotonic() - self._started) / 60

    @property
    def finished(self) -> bool:
        return self.progress >= 1.0

    def goes_on(self, stop: threading.Event) -> bool:
        """Takes stock of progress and of a wish to stop; the main process decides for all."""
        by_time = self.minutes / self.settings.max_minutes if self.settings.max_minutes else 0.0
        self.progress, stopped = max(self.iteration / self.settings.iterations, by_time), stop.is_set()
        if self.accelerator.num_processes > 1:
            mine = torch.tensor([self.progress, stopped], device=self.accelerator.device, dtype=torch.float64)
            self.progress, stopped = broadcast(mine).tolist()
        return not self.finished and not stopped

    def generator(self) -> torch.Generator:
        """One stream for each iteration and process: a resumed run draws what it would have drawn."""
        key = (self.settings.seed, self.iteration, self.accelerator.process_index)
        return torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))

    def iterate(self) -> None:
        settings = self.settings
        warmup = min(settings.warmup, settings.iterations // 10)
        rate = settings.lr * learning_rate_factor(self.iteration, self.progress, warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.objective.loss(self.model, settings.batch_size, self.generator())
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), settings.clip)
        self.optimizer.step()
        if self.ema:
            self.ema.update()
        self.iteration += 1
        self._losses.append(loss.detach())
        if self.iteration % settings.log_every == 0 or self.iteration == settings.iterations:
            self._log(rate, float(norm))

    def _log(self, rate: float, norm: float) -> None:
        loss = torch.stack(self._losses).mean().item()
        self._losses.clear()
        if not math.isfinite(loss):
            raise TrainingError(f"{self.objective.name} loss at iteration {self.iteration}", loss, "a number")
        row = {"iteration": self.iteration, "minutes": round(self.minutes, 4), "loss": loss}
        self.curve.append(row | {"lr": rate, "gradient_norm": norm, "held_out_loss": math.nan})
        self.bar.update(self._task, completed=self.iteration, note=f"loss {loss:.4f}")

    def save(self, on_save: Callable[[LoopResult], None] | None) -> None:
        """Measures the held-out loss, then writes curve and state."""
        if not self.accelerator.is_main_process or self.iteration == self._saved_at:
            return
        self._saved_at = self.iteration
        with self.ema.applied() if self.ema else nullcontext():
            if self.curve:
                self.curve[-1]["held_out_loss"] = self._held_out_loss()
            if on_save:
                on_save(self.result())
        state = {
            "iteration": self.iteration,
            "minutes": self.minutes,
            "fingerprint": self._fingerprint(),
            "curve": self.curve,
            "model": self.objective.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.state_dict() if self.ema else None,
            # Dropout and the prior's latents are drawn from torch's own stream (on a GPU from the GPU's).
            "random": torch.get_rng_state(),
        }
        beside = self.state_path.with_name(self.state_path.name + ".part")
        torch.save(state, beside)
        beside.replace(self.state_path)
        self._write_curve()
        result = self.result()
        self.bar.console.print(
            f"{self.objective.name}: {result.iterations} iterations, {result.minutes:.1f} min, "
            f"loss {result.loss:.5f}, held out {result.held_out_loss:.5f}"
        )

    def _held_out_loss(self) -> float:
        """Without dropout."""
        model = self.objective.model
        training = model.training
        try:
            return self.objective.held_out_loss(model.eval())
        finally:
            model.train(training)

    def load(self) -> None:
        state = torch.load(self.state_path, map_location=self.accelerator.device, weights_only=True)
        if state["fingerprint"] != self._fingerprint():
            theirs, ours = state["fingerprint"], self._fingerprint()
            names = [name for name in ours if theirs.get(name) != ours[name]]
            raise TrainingError(
                f"{self.state_path} (the run to be continued)",
                {name: theirs.get(name) for name in names},
                f"{ {name: ours[name] for name in names} }, or a fresh start without resuming",
            )
        self.objective.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.ema:
            self.ema.load_state_dict(state["ema"])
        if "random" in state:  # not in runs that were begun before it was saved
            torch.set_rng_state(state["random"].cpu())
        self.iteration, self.curve = state["iteration"], state["curve"]
        self._saved_at, self._minutes_before, self._started = (
            self.iteration,
            state["minutes"],
            time.monotonic(),
        )
        self.bar.update(self._task, completed=self.iteration)

    def _fingerprint(self) -> dict[str, Any]:
        shapes = {name: list(p.shape) for name, p in self.objective.model.named_parameters()}
        return self.settings.fingerprint() | {"source": self.objective.source, "parameters": shapes}

    def _write_curve(self) -> None:
        beside = self.curve_path.with_name(self.curve_path.name + ".part")
        with beside.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.curve[0] if self.curve else ["iteration"])
            writer.writeheader()
            writer.writerows(self.curve)
        beside.replace(self.curve_path)

    def result(self) -> LoopResult:
        last = self.curve[-1] if self.curve else {"loss": math.nan, "held_out_loss": math.nan}
        return LoopResult(self.iteration, self.minutes, last["loss"], last["held_out_loss"], self.finished)


@contextmanager
def _stop_request() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets instead of ending the process; a second one ends it."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def request(number: int, frame: Any) -> None:
        stop.set()
        signal.signal(number, before[number])

    for number in before:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

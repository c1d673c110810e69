"""The loop learns, stops, saves and goes on as if it had never stopped."""

import csv
import math
import os
import signal
import types

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from step_ros.training.ema import Ema
from step_ros.training.errors import TrainingError
from step_ros.training.loop import LoopSettings, fit, learning_rate_factor


class Line:
    """Learns y = 2 x + 1 from random x; counts its calls and can do something at one of them."""

    name = "line"

    def __init__(self, averaged=False, source="line", at=None, do=None):
        torch.manual_seed(0)
        self.model = nn.Linear(1, 1)
        self.averaged, self.source = averaged, source
        self.calls, self.at, self.do = 0, at, do

    def loss(self, model, batch_size, generator):
        self.calls += 1
        if self.calls == self.at:
            self.do()
        x = torch.randn(batch_size, 1, generator=generator)
        return (model(x) - 2 * x - 1).square().mean()

    def held_out_loss(self, model):
        with torch.no_grad():
            return (model(torch.ones(1, 1)) - 3).square().item()

    @property
    def weights(self):
        return torch.cat([p.detach().flatten() for p in self.model.parameters()]).tolist()


def run(folder, objective=None, **settings):
    objective = objective or Line()
    fields = {"iterations": 60, "batch_size": 16, "lr": 0.1, "log_every": 10, "save_every": 20} | settings
    resume, on_save = fields.pop("resume", True), fields.pop("on_save", None)
    result = fit(objective, LoopSettings(**fields), folder, Accelerator(cpu=True), resume, on_save)
    return objective, result


def curve(folder):
    with (folder / "line.csv").open() as file:
        return list(csv.DictReader(file))


def interrupted_at(call, number=signal.SIGINT):
    return Line(at=call, do=lambda: os.kill(os.getpid(), number))


def test_it_learns(tmp_path):
    objective, result = run(tmp_path, iterations=200)
    assert objective.weights == pytest.approx([2.0, 1.0], abs=0.05)
    assert result.finished
    assert result.held_out_loss < 0.01


def test_the_curve_has_a_row_per_interval_and_held_out_losses_where_it_saved(tmp_path):
    run(tmp_path)
    rows = curve(tmp_path)
    assert [int(row["iteration"]) for row in rows] == [10, 20, 30, 40, 50, 60]
    assert [not math.isnan(float(row["held_out_loss"])) for row in rows] == [False, True] * 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_and_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path, number):
    whole, _ = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt, match="after 33 iterations"):
        run(tmp_path / "parts", interrupted_at(33, number))
    assert (tmp_path / "parts/line.pt").exists()
    resumed, result = run(tmp_path / "parts")
    assert result.iterations == 60
    assert resumed.calls == 60 - 33
    assert resumed.weights == pytest.approx(whole.weights, abs=1e-7)


def test_a_resumed_run_draws_the_dropout_that_it_would_have_drawn(tmp_path):
    def dropped(at=None):
        objective = interrupted_at(at)
        objective.model = nn.Sequential(objective.model, nn.Dropout(0.5))
        return objective

    whole, _ = run(tmp_path / "whole", dropped())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", dropped(33))
    torch.manual_seed(1)
    resumed, _ = run(tmp_path / "parts", dropped())
    assert resumed.weights == pytest.approx(whole.weights, abs=1e-7)


def test_interrupts_are_handled_as_before_once_the_run_is_over(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, interrupted_at(5))
    assert signal.getsignal(signal.SIGINT) is before


def test_the_last_save_of_a_run_says_that_it_is_finished(tmp_path):
    saved = []
    run(tmp_path, on_save=saved.append)
    assert [(result.iterations, result.finished) for result in saved] == [
        (20, False),
        (40, False),
        (60, True),
    ]


def test_a_finished_run_is_left_alone(tmp_path):
    first, _ = run(tmp_path)
    saved = []
    again, result = run(tmp_path, on_save=saved.append)
    assert (again.calls, saved) == (0, [])
    assert result.finished
    assert again.weights == first.weights


def test_without_resume_a_run_starts_anew(tmp_path):
    run(tmp_path)
    objective, _ = run(tmp_path, resume=False)
    assert objective.calls == 60


@pytest.mark.parametrize(
    ("objective", "change", "found"),
    [(Line(), {"lr": 0.2}, "lr"), (Line(source="other"), {}, "source"), (Line(), {"seed": 1}, "seed")],
)
def test_a_run_of_another_kind_is_not_continued(tmp_path, objective, change, found):
    run(tmp_path)
    with pytest.raises(TrainingError, match=found):
        run(tmp_path, objective, **change)


def test_the_result_of_an_averaged_objective_is_its_average(tmp_path):
    seen = []
    objective = Line(averaged=True)
    run(tmp_path, objective, on_save=lambda _: seen.append(objective.weights))
    raw, _ = run(tmp_path / "raw")
    assert objective.weights == seen[-1]
    assert objective.weights != pytest.approx(raw.weights, abs=1e-6)


def test_a_time_budget_ends_the_run_with_the_learning_rate_at_zero(tmp_path, monkeypatch):
    clock = iter(range(10_000))
    monkeypatch.setattr(
        "step_ros.training.loop.time", types.SimpleNamespace(monotonic=lambda: 0.6 * next(clock))
    )
    objective, result = run(tmp_path, iterations=100_000, max_minutes=1.0, log_every=1)
    assert result.finished
    assert objective.calls < 200
    assert float(curve(tmp_path)[-1]["lr"]) < 0.002


def test_a_loss_that_is_not_a_number_ends_the_run(tmp_path):
    objective = Line()
    objective.model.weight.data.fill_(math.nan)
    with pytest.raises(TrainingError, match="line loss at iteration 10"):
        run(tmp_path, objective)


@pytest.mark.parametrize("name", ["iterations", "batch_size", "lr", "max_minutes"])
def test_settings_out_of_range_are_named(name):
    with pytest.raises(TrainingError, match=name):
        LoopSettings(**{"iterations": 10, name: 0})


def test_the_learning_rate_warms_up_and_falls_to_zero():
    factors = [learning_rate_factor(k, k / 1000, 100) for k in range(1001)]
    assert factors[0] == pytest.approx(0.01)
    assert max(factors) == pytest.approx(factors[99], rel=0.01)
    assert factors[500] == pytest.approx(0.5, abs=0.01)
    assert factors[1000] == pytest.approx(0.0, abs=1e-6)


def test_the_average_follows_the_power_law_and_gives_the_weights_back():
    parameter = nn.Parameter(torch.zeros(1))
    ema = Ema([parameter], power=0.75)
    parameter.data.fill_(1.0)
    ema.update()
    expected = 2**-0.75
    assert ema.average[0].item() == pytest.approx(expected)
    with ema.applied():
        assert parameter.item() == pytest.approx(expected)
    assert parameter.item() == 1.0

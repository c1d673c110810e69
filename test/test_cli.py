"""The command line offers what the package's functions take, and starts without loading them."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from step_ros import __version__, cli, cli_lerobot, cli_results, cli_train
from step_ros.evaluation.variants import parse_variant
from step_ros.sim.world import TASKS

CALLS = {
    cli.demo: ["step_ros.demo:run_demo"],
    cli.collect: ["step_ros.collect:collect"],
    cli_train.train_policy: [
        "step_ros.training.commands:train_policy",
        "step_ros.lerobot_policies:train_policy_in_radians",
    ],
    cli_train.train_predictor: [
        "step_ros.training.commands:train_predictor",
        "step_ros.lerobot_policies:train_lerobot_predictor",
        "step_ros.training.augmentation:HistoryAugmentation",
        "step_ros.training.recipes:predictor_config",
    ],
    cli_lerobot.import_policy: ["step_ros.lerobot_policies:import_policy"],
    cli_results.evaluate: ["step_ros.evaluation.commands:evaluate"],
    cli_results.evaluate_expert: ["step_ros.evaluation.expert:evaluate_expert"],
    cli_results.search: ["step_ros.evaluation.search:search"],
    cli_results.make_results: ["step_ros.results:make_results"],
    cli.bench_latency: ["step_ros.evaluation.latency.command:bench_latency"],
}
"""Each command and what its options are handed to."""


def test_starting_loads_neither_networks_nor_simulation_nor_ros() -> None:
    code = "import sys, step_ros.cli; print({'torch', 'mujoco', 'rclpy', 'openvino'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"


@pytest.mark.parametrize("command", CALLS, ids=lambda command: command.__name__)
def test_a_command_offers_what_its_function_takes_with_the_same_defaults(command: Callable) -> None:
    accepted: dict[str, inspect.Parameter] = {}
    for target in CALLS[command]:
        module, function = target.split(":")
        accepted |= inspect.signature(getattr(importlib.import_module(module), function)).parameters
    for option_name, option in inspect.signature(command).parameters.items():
        name = option_name.removesuffix("_option")
        assert name in accepted
        if inspect.Parameter.empty not in (accepted[name].default, option.default):
            assert option.default == accepted[name].default, name


def test_the_tasks_offered_are_the_simulations() -> None:
    assert set(cli.ARM_TASKS) == set(TASKS)


def test_the_methods_compared_by_default_can_be_evaluated() -> None:
    assert [parse_variant(text).label for text in cli_results.COMPARED] == cli_results.COMPARED


@pytest.mark.parametrize("given", [["--method", "ddpm", "--method", "step"], ["--methods", "ddpm step"]])
def test_methods_are_given_one_by_one_or_together(given: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    called: dict[str, object] = {}
    monkeypatch.setattr("step_ros.evaluation.commands.evaluate", lambda **options: called.update(options))
    result = CliRunner().invoke(cli.app, ["eval", "--out", "results.json", *given])
    assert result.exit_code == 0, result.output
    assert called["methods"] == ["ddpm", "step"]


@pytest.mark.parametrize("given", [[], ["policy", "dataset", "--dataset", "other"]])
def test_the_predictors_policy_and_dataset_are_given_once(given: list[str]) -> None:
    result = CliRunner().invoke(cli.app, ["train", "predictor", *given])
    assert result.exit_code == 2
    assert "accepted:" in result.output


def test_version_is_the_packages() -> None:
    assert CliRunner().invoke(cli.app, ["--version"]).output.strip() == __version__


def test_info_lists_the_versions_in_use() -> None:
    output = CliRunner().invoke(cli.app, ["info"]).output
    assert all(name in output for name in cli.SHOWN_VERSIONS)


def test_a_refused_dataset_ends_with_one_line_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "no_such_dataset"
    arguments = ["step-ros", "train", "policy", str(missing), "--out", str(tmp_path / "policy")]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert str(missing) in str(end.value)
    assert "\n" not in str(end.value)


def test_a_missing_checkpoint_ends_with_one_line_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "no_such_policy"
    arguments = ["step-ros", "eval", "--checkpoint", str(missing), "--out", str(tmp_path / "results.json")]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert str(missing) in str(end.value)


def test_a_fault_of_the_program_keeps_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "share_path", lambda *parts: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["step-ros", "info"])
    with pytest.raises(ZeroDivisionError):
        cli.main()

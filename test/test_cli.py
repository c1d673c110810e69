"""The command line offers what the package's functions take, and starts without loading them."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from step_ros import __version__, cli

CALLS = {
    cli.demo: "step_ros.demo:run_demo",
    cli.collect: "step_ros.collect:collect",
    cli.train_policy: "step_ros.training.commands:train_policy",
    cli.train_predictor: "step_ros.training.commands:train_predictor",
}


def test_help_loads_neither_networks_nor_simulation_nor_ros() -> None:
    heavy = "{'torch', 'mujoco', 'rclpy', 'openvino'}"
    code = f"import sys, step_ros.cli; sys.exit(repr({heavy} & set(sys.modules) or ''))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert loaded.stderr.strip() in ("", "''")


@pytest.mark.parametrize(("command", "target"), CALLS.items(), ids=CALLS.values())
def test_a_command_offers_what_its_function_takes_with_the_same_defaults(command, target: str) -> None:
    module, function = target.split(":")
    accepted = inspect.signature(getattr(importlib.import_module(module), function)).parameters
    for name, option in inspect.signature(command).parameters.items():
        assert name in accepted
        if accepted[name].default is not inspect.Parameter.empty and option.default is not ...:
            assert option.default == accepted[name].default, name


def test_version_is_the_packages() -> None:
    assert CliRunner().invoke(cli.app, ["--version"]).output.strip() == __version__


def test_info_lists_the_versions_in_use() -> None:
    output = CliRunner().invoke(cli.app, ["info"]).output
    assert all(name in output for name in cli.SHOWN_VERSIONS)


def test_a_refused_dataset_ends_with_one_line_that_names_it(tmp_path, capsys, monkeypatch) -> None:
    missing = tmp_path / "no_such_dataset"
    monkeypatch.setattr(sys, "argv", ["step-ros", "train", "policy", str(missing), "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert str(missing) in str(end.value)
    assert "\n" not in str(end.value)

"""Precision int8: what it needs, who can run it, and how near its answers are."""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from policy_helpers import observation, tiny_config, tiny_networks

from step_ros.policy import openvino_engine
from step_ros.policy.calibration import CALIBRATION_FILE, Calibration, load_calibration
from step_ros.policy.checkpoint import load_checkpoint, save_checkpoint
from step_ros.policy.compile_cache import FOLDER_VARIABLE
from step_ros.policy.errors import ConfigError
from step_ros.policy.policy import Policy, load_policy
from step_ros.policy.quantization import Quantizer

needs_openvino = pytest.mark.skipif(not openvino_engine.AVAILABLE, reason="openvino is not installed")
needs_nncf = pytest.mark.skipif(find_spec("nncf") is None, reason="nncf is not installed")
TOLERANCE = 0.15
"""of the action range; docs/engines.md states it"""


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "tiny", tiny_config(), tiny_networks())
    return tmp_path / "tiny"


def calibrate(checkpoint: Path, seed: int = 0, count: int = 12) -> Calibration:
    config, networks = load_checkpoint(checkpoint)
    rng = np.random.default_rng(seed)
    calibration = Calibration(
        rng.standard_normal((count, config.n_obs_steps, config.feature_dim), dtype=np.float32),
        rng.uniform(0.0, 1.0, (count, config.n_action_steps, config.action_dim)).astype(np.float32),
    )
    calibration.commanded[0, :3] = np.nan
    calibration.save(checkpoint, networks)
    return calibration


def chunk(policy: Policy, commanded: np.ndarray | None) -> np.ndarray:
    policy.reset(seed=5)
    return policy.act(observation(1), commanded).chunk


def test_what_was_calibrated_is_read_back(checkpoint: Path) -> None:
    saved = calibrate(checkpoint)
    loaded = load_calibration(checkpoint, load_checkpoint(checkpoint)[1])
    np.testing.assert_array_equal(loaded.features, saved.features)
    np.testing.assert_array_equal(loaded.commanded, saved.commanded)
    assert loaded.digest == saved.digest


@needs_openvino
def test_int8_without_calibration_is_refused_with_the_command_that_makes_it(checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match=r"precision is 'int8'.*step-ros calibrate.*there is none"):
        load_policy(checkpoint, engine="openvino", precision="int8")


@pytest.mark.parametrize("engine", ["torch", "onnx", "cuda"])
def test_int8_is_refused_by_every_other_engine(checkpoint: Path, engine: str) -> None:
    calibrate(checkpoint)
    with pytest.raises(ConfigError, match=f"'int8'; accepted: fp32 on engine {engine}"):
        load_policy(checkpoint, engine=engine, precision="int8")


def test_a_calibration_for_other_weights_is_refused(checkpoint: Path) -> None:
    calibrate(checkpoint)
    with pytest.raises(ConfigError, match="made for other weights"):
        load_calibration(checkpoint, tiny_networks(seed=1))


def test_a_calibration_of_other_shapes_is_refused(checkpoint: Path) -> None:
    networks = load_checkpoint(checkpoint)[1]
    Calibration(np.zeros((2, 1, 1), np.float32), np.zeros((2, 1, 1), np.float32)).save(checkpoint, networks)
    with pytest.raises(ConfigError, match=r"does not hold .*features"):
        load_calibration(checkpoint, networks)


def test_a_damaged_calibration_is_refused(checkpoint: Path) -> None:
    calibrate(checkpoint)
    file = checkpoint / CALIBRATION_FILE
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ConfigError, match="cannot be read"):
        load_calibration(checkpoint, load_checkpoint(checkpoint)[1])


def test_without_nncf_int8_is_refused_with_what_to_install(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    with pytest.raises(ConfigError, match="pip install nncf"):
        Quantizer(tiny_networks(), calibrate(checkpoint))


@needs_openvino
@needs_nncf
def test_int8_answers_within_its_tolerance_and_keeps_one_entry_per_calibration(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    calibrate(checkpoint)
    reference = load_policy(checkpoint, engine="torch")
    quantised = load_policy(checkpoint, engine="openvino", precision="int8")
    low, high = reference.action_range
    commanded = np.tile((low + high) / 2, (reference.config.n_action_steps, 1))
    for before in (None, commanded):
        difference = (chunk(quantised, before) - chunk(reference, before)) / (high - low)
        assert 0 < np.abs(difference).max() < TOLERANCE
    assert quantised.precision == "int8"

    def entries() -> set[str]:
        return {file.name for file in (tmp_path / "cache").iterdir()}

    first = entries()
    chunk(load_policy(checkpoint, engine="openvino", precision="int8"), commanded)
    assert entries() == first
    calibrate(checkpoint, seed=1)
    chunk(load_policy(checkpoint, engine="openvino", precision="int8"), commanded)
    assert len(entries() - first) == 1

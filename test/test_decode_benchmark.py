"""`step-ros bench decode` times decoding, encoding and both at once, and says what it cannot use."""

from __future__ import annotations

import json
import shutil

import lerobot_checkpoints as lerobot
import pytest
from policy_helpers import tiny_config, tiny_networks

from step_ros.decode_benchmark import bench_decode
from step_ros.policy.checkpoint import save_checkpoint
from step_ros.policy.networks import build_networks
from step_ros.training.errors import TrainingError

INPUTS = {"observation.state": (6,), "observation.images.top": (48, 48, 3)}


def test_rates_and_their_share_are_written(tmp_path) -> None:
    data = shutil.copytree(lerobot.FIXTURES / "datasets/v3.0", tmp_path / "data")
    config = tiny_config(input_features=INPUTS, action_names=lerobot.recorded.JOINTS)
    save_checkpoint(tmp_path / "policy", config, build_networks(config))
    out = tmp_path / "results/decode.json"
    results = bench_decode(data, out, checkpoint=tmp_path / "policy", rows=100, rounds=1)
    assert json.loads(out.read_text())["share"] == results["share"]
    assert results["share"] == pytest.approx(results["feeding"] / results["encoding"])
    assert min(results["decoding"], results["encoding"], results["feeding"], results["training"]) > 0
    assert 0 < results["training_share"] < 1
    assert {"commit", "command", "versions", "processor", "cpus", "device"} <= set(results)


def test_a_dataset_without_the_policys_cameras_is_refused(tmp_path) -> None:
    save_checkpoint(tmp_path / "policy", tiny_config(), tiny_networks())
    with pytest.raises(TrainingError, match="does not fit"):
        bench_decode(lerobot.FIXTURES / "datasets/v3.0", tmp_path / "x.json", checkpoint=tmp_path / "policy")
    assert not (tmp_path / "x.json").exists()

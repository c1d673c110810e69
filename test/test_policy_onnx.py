"""Exported ONNX files: complete, run by ONNX Runtime, refused when they are not this checkpoint's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from policy_helpers import observation, tiny_config, tiny_networks

from step_ros.policy import onnx_engine
from step_ros.policy.checkpoint import save_checkpoint
from step_ros.policy.errors import ConfigError
from step_ros.policy.export import export_checkpoint
from step_ros.policy.policy import load_policy

pytestmark = pytest.mark.skipif(not onnx_engine.AVAILABLE, reason="onnxruntime and onnx are not installed")
FILES = {"encode_top.onnx", "condition.onnx", "denoise.onnx", "predict.onnx", "step.onnx", "manifest.json"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy")
    save_checkpoint(path, tiny_config(), tiny_networks())
    return path


@pytest.fixture(scope="module")
def written(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is exported, to be left as it is."""
    folder = tmp_path_factory.mktemp("onnx")
    export_checkpoint(checkpoint, folder)
    return folder


@pytest.fixture
def exported(written: Path, tmp_path: Path) -> Path:
    """A copy for one test."""
    return shutil.copytree(written, tmp_path / "onnx")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint like the first, of other weights."""
    path = tmp_path_factory.mktemp("other")
    save_checkpoint(path, tiny_config(), tiny_networks(seed=1))
    return path


def edit_manifest(folder: Path, **changes: object) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_every_network_and_a_whole_cycle_are_written(written: Path) -> None:
    assert {file.name for file in written.iterdir()} == FILES
    manifest = json.loads((written / "manifest.json").read_text())
    assert manifest["graphs"]["warm_2"]["file"] == "step.onnx"
    assert manifest["graphs"]["warm_2"]["inputs"]["history"] == [1, 8, 3, "float32"]
    assert manifest["config"]["horizon"] == 16


def test_the_number_of_steps_in_the_cycle_can_be_chosen(checkpoint: Path, tmp_path: Path) -> None:
    export_checkpoint(checkpoint, tmp_path, steps=4)
    assert "warm_4" in json.loads((tmp_path / "manifest.json").read_text())["graphs"]


def test_a_checkpoint_without_a_predictor_is_exported_without_its_files(tmp_path: Path) -> None:
    config = tiny_config(predictor=None)
    save_checkpoint(tmp_path / "policy", config, tiny_networks(config))
    names = {file.name for file in export_checkpoint(tmp_path / "policy", tmp_path / "onnx")}
    assert names == FILES - {"predict.onnx", "step.onnx"}


def test_files_that_were_exported_give_the_chunks_of_eager_torch(
    checkpoint: Path, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, found = (
        load_policy(checkpoint, engine="torch"),
        load_policy(checkpoint, engine=f"onnx:{written}"),
    )
    monkeypatch.setattr(
        onnx_engine, "to_onnx", lambda graph, metadata: pytest.fail(f"converted {graph.name}")
    )
    for seed in range(3):
        np.testing.assert_allclose(
            found.act(observation(seed)).chunk, expected.act(observation(seed)).chunk, atol=1e-4
        )


def test_a_cycle_that_was_not_exported_is_converted(checkpoint: Path, written: Path) -> None:
    policy = load_policy(checkpoint, engine=f"onnx:{written}", num_inference_steps=3, cold_start_steps=2)
    policy.warm_up()
    assert policy.ready and policy.act(observation()).nfe == 2


def test_files_of_another_version_are_refused_with_both_versions(checkpoint: Path, exported: Path) -> None:
    edit_manifest(exported, step_ros_format=7)
    with pytest.raises(ConfigError, match=r"manifest\.json: step_ros_format is '7'; accepted: 1; export"):
        load_policy(checkpoint, engine=f"onnx:{exported}")


def test_files_of_other_weights_are_refused_with_both_fingerprints(written: Path, other: Path) -> None:
    with pytest.raises(ConfigError, match=r"step_ros_checkpoint is '\w{64}'; accepted: \w{64}; export"):
        load_policy(other, engine=f"onnx:{written}")


def test_a_file_from_another_export_is_refused_by_its_own_metadata(
    checkpoint: Path, other: Path, exported: Path, tmp_path: Path
) -> None:
    export_checkpoint(other, tmp_path / "theirs")
    (tmp_path / "theirs" / "denoise.onnx").replace(exported / "denoise.onnx")
    policy = load_policy(checkpoint, engine=f"onnx:{exported}")
    with pytest.raises(ConfigError, match=r"denoise\.onnx: step_ros_checkpoint is"):
        policy.warm_up()


def test_a_file_of_another_graph_is_refused(checkpoint: Path, exported: Path) -> None:
    (exported / "denoise.onnx").write_bytes((exported / "predict.onnx").read_bytes())
    with pytest.raises(ConfigError, match=r"step_ros_graph is 'predict'; accepted: denoise"):
        load_policy(checkpoint, engine=f"onnx:{exported}").warm_up()


def test_a_damaged_file_is_refused(checkpoint: Path, exported: Path) -> None:
    (exported / "denoise.onnx").write_bytes(b"not a model")
    with pytest.raises(ConfigError, match=r"denoise\.onnx: .*accepted: readable files"):
        load_policy(checkpoint, engine=f"onnx:{exported}").warm_up()


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_a_folder_without_a_usable_manifest_is_refused(
    checkpoint: Path, tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(
        ConfigError, match=r"accepted: a folder that `step-ros export` wrote \(manifest\.json"
    ):
        load_policy(checkpoint, engine=f"onnx:{tmp_path}")

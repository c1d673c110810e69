"""Checkpoints: round trip, and a reason for every folder that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from policy_helpers import tiny_config, tiny_networks
from safetensors.torch import load_file, save_file

from step_ros.policy.checkpoint import load_checkpoint, save_checkpoint
from step_ros.policy.errors import CheckpointError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "policy", tiny_config(), tiny_networks(), {"task": "test"})
    return tmp_path / "policy"


def edit_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def edit_tensors(folder: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_what_was_saved_comes_back_in_evaluation_mode(folder: Path) -> None:
    config, networks = load_checkpoint(folder)
    expected = tiny_networks().state_dict()
    assert config == tiny_config() and not networks.training
    assert networks.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in networks.state_dict().items())


def test_the_folder_holds_config_model_and_card_and_nothing_half_written(folder: Path) -> None:
    assert {file.name for file in folder.iterdir()} == {"config.json", "model.safetensors", "card.json"}


def test_saving_again_without_a_card_keeps_the_card(folder: Path) -> None:
    save_checkpoint(folder, tiny_config(), tiny_networks(seed=1))
    assert json.loads((folder / "card.json").read_text()) == {"task": "test"}


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name}: .*not found"):
        load_checkpoint(folder)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere/config\.json"):
        load_checkpoint(tmp_path / "nowhere")


def test_an_unknown_version_is_refused_with_the_accepted_one(folder: Path) -> None:
    edit_config(folder, format_version=7)
    with pytest.raises(CheckpointError, match="format_version is 7; accepted: a whole number from 1 to 1"):
        load_checkpoint(folder)


def test_a_tensor_of_another_shape_is_named_with_both_shapes(folder: Path) -> None:
    edit_config(folder, down_dims=[8, 24])
    with pytest.raises(
        CheckpointError, match=r"tensor denoiser\.\S+ has shape \(.*\); config.json makes it \("
    ):
        load_checkpoint(folder)


def test_missing_and_unexpected_tensors_are_named(folder: Path) -> None:
    edit_tensors(folder, lambda tensors: tensors.update(extra=tensors.pop("predictor.missing")))
    with pytest.raises(CheckpointError, match=r"missing tensors \['predictor.missing'\].*\['extra'\]"):
        load_checkpoint(folder)


def test_a_damaged_model_file_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_checkpoint(folder)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe"])
def test_a_damaged_configuration_is_refused(folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_checkpoint(folder)


def test_unet_weights_under_lerobots_names_load_strictly(folder: Path) -> None:
    _, networks = load_checkpoint(folder)
    prefix = "denoiser."
    unet = {
        f"diffusion.unet.{name.removeprefix(prefix)}": tensor
        for name, tensor in load_file(folder / "model.safetensors").items()
        if name.startswith(prefix)
    }
    networks.denoiser.load_state_dict(
        {name.removeprefix("diffusion.unet."): tensor for name, tensor in unet.items()}, strict=True
    )

"""A LeRobot policy becomes one for the arm: imported, in radians, with a predictor; or it is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import lerobot_checkpoints as lerobot
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from step_ros.control.units import UnitsError, lerobot_units
from step_ros.data.errors import DatasetError
from step_ros.data.reader import Dataset
from step_ros.lerobot_policies import import_policy, train_lerobot_predictor, train_policy_in_radians
from step_ros.policy.checkpoint import load_checkpoint
from step_ros.policy.errors import CheckpointError, ConfigError
from step_ros.policy.policy import load_policy
from step_ros.training.baselines import comparison_text
from step_ros.training.errors import TrainingError

CASE = "defaults of 0.3"
VECTORS = "ddim"
TOP = "observation.images.top"
BIAS = "diffusion.unet.final_conv.1.bias"
JOINTS = lerobot.recorded.JOINTS


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy with one camera, as LeRobot 0.6 writes it; nobody changes it."""
    return lerobot.restore("0.6", CASE, tmp_path_factory.mktemp("theirs"))


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    """A small policy without cameras, to be damaged."""
    return lerobot.restore("0.6", VECTORS, tmp_path / "vectors")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording in degrees; training adds its cache of features, nothing else."""
    folder = tmp_path_factory.mktemp("dataset") / "recorded"
    return shutil.copytree(lerobot.FIXTURES / "datasets/v3.0", folder)


@pytest.fixture
def renamed(tmp_path: Path) -> Path:
    """The recording with its camera `top` called `front`."""
    front = "observation.images.front"
    root = shutil.copytree(lerobot.FIXTURES / "datasets/v3.0", tmp_path / "renamed")
    info = root / "meta/info.json"
    info.write_text(info.read_text().replace(TOP, front))
    (root / "videos" / TOP).rename(root / "videos" / front)
    path = root / "meta/episodes/chunk-000/file-000.parquet"
    table = pq.ParquetFile(path).read()
    pq.write_table(table.rename_columns([name.replace(TOP, front) for name in table.column_names]), path)
    return root


def edit(path: Path, **changes: object) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in (content | changes).items() if v is not ...}))


def test_an_imported_policy_is_lerobots_in_radians(theirs, tmp_path):
    import_policy(theirs, tmp_path / "ours", "degrees", fps=25)
    units = lerobot_units("degrees", JOINTS)
    observation = lerobot.observation(CASE)
    observation["observation.state"] = units.to_radians(observation["observation.state"])
    policy = load_policy(tmp_path / "ours", method="native", engine="torch", seed=lerobot.SEED)
    expected = units.to_radians(lerobot.answer("0.6", CASE, "chunk"))
    np.testing.assert_allclose(policy.act(observation).chunk, expected, rtol=0.0, atol=1e-6)
    assert (policy.config.units, policy.config.fps, policy.config.action_names) == ("rad", 25.0, JOINTS)


def test_a_policy_read_directly_stays_in_its_own_units(theirs):
    config, _ = load_checkpoint(theirs)
    assert config.units == "native"


@pytest.mark.parametrize("units", ["radians", "range_m100_100"])
def test_units_that_cannot_be_are_refused_at_import(theirs, tmp_path, units):
    with pytest.raises(UnitsError):
        import_policy(theirs, tmp_path / "ours", units)
    assert not (tmp_path / "ours").exists()


def test_a_policy_without_predictor_runs_its_own_sampler_unless_told_otherwise(vectors):
    policy = load_policy(vectors, engine="torch", seed=lerobot.SEED)
    assert policy.method == "native"
    assert policy.act(lerobot.observation(VECTORS)).timesteps == tuple(range(90, -1, -10))


def test_units_that_do_not_exist_are_refused_with_those_that_do(theirs, tmp_path):
    with pytest.raises(ConfigError, match="units is 'turns'; accepted: one of radians, degrees"):
        import_policy(theirs, tmp_path / "ours", "turns")


def test_only_lerobots_policies_are_imported(tmp_path):
    with pytest.raises(ConfigError, match="accepted: the folder of a policy that LeRobot trained"):
        import_policy(tmp_path, tmp_path / "ours", "degrees")


def train(policy: Path, dataset: Path, **options: object):
    usual = {"iterations": 12, "batch_size": 8, "held_out": 0.3, "threads": 1}
    return train_lerobot_predictor(policy, dataset, **(usual | options))


def test_the_predictor_makes_a_lerobot_policy_one_for_step(theirs, dataset, tmp_path):
    before = {path.name: path.read_bytes() for path in theirs.iterdir()}
    out = tmp_path / "step"
    train(theirs, dataset, units="degrees", out=out)
    assert {path.name: path.read_bytes() for path in theirs.iterdir()} == before

    policy = load_policy(out, engine="torch", seed=0)
    assert policy.method == "step"
    assert (policy.config.units, policy.config.fps, policy.config.action_names) == ("rad", 30.0, JOINTS)
    observation = lerobot.observation(CASE)
    plans = [policy.act(observation) for _ in range(2)]
    assert [plan.cold for plan in plans] == [True, False]
    assert plans[1].chunk.shape == (16, 6)

    validation = json.loads((out / "card.json").read_text())["stages"]["predictor"]["validation"]
    assert validation["windows"] > 0
    for name in ("predictor", "hold", "shifted_chunk"):
        assert 0 < validation[name]["executed_rmse"] < 100

    kept = load_file(out / "model.safetensors")
    imported = import_policy(theirs, tmp_path / "imported", "degrees")
    plain = load_file(tmp_path / "imported" / "model.safetensors")
    assert imported.predictor is None
    for name, tensor in plain.items():
        assert torch.equal(kept[name], tensor), name


def test_the_hold_baseline_is_the_error_of_the_last_command(theirs, dataset, tmp_path):
    train(theirs, dataset, units="degrees", out=tmp_path / "a")
    train(theirs, dataset, units="degrees", out=tmp_path / "b", iterations=3)
    cards = [json.loads((tmp_path / name / "card.json").read_text()) for name in "ab"]
    first, second = (card["stages"]["predictor"]["validation"] for card in cards)
    assert first["hold"] == second["hold"]
    assert first["shifted_chunk"] == second["shifted_chunk"]
    assert first["predictor"] != second["predictor"]


def test_episodes_too_short_to_compare_on_are_said_to_be() -> None:
    assert "no held-out episode is long enough" in comparison_text({"windows": 0})


def test_an_imported_policy_takes_a_dataset_in_degrees(theirs, dataset, tmp_path):
    import_policy(theirs, tmp_path / "ours", "degrees")
    train(tmp_path / "ours", dataset, units="degrees")
    assert load_checkpoint(tmp_path / "ours")[0].predictor is not None


def test_degrees_in_a_dataset_of_radians_are_caught_by_their_range(theirs, dataset, tmp_path):
    import_policy(theirs, tmp_path / "ours", "degrees")
    with pytest.raises(UnitsError, match="lie outside their range, so they are probably in another unit"):
        train(tmp_path / "ours", dataset)


def test_a_policy_is_trained_in_radians_on_a_dataset_in_degrees_at_a_smaller_image_size(dataset, tmp_path):
    data = Dataset(dataset)
    wide = tmp_path / "wide"
    shutil.copytree(dataset, wide, ignore=shutil.ignore_patterns(".cache"))
    info = json.loads((wide / "meta/info.json").read_text())
    info["features"] = {k: v for k, v in info["features"].items() if not k.endswith("wrist")}
    (wide / "meta/info.json").write_text(json.dumps(info))
    small = {"encoder_iterations": 1, "iterations": 1, "batch_size": 4, "down_dims": (8, 16), "threads": 1}
    train_policy_in_radians(wide, tmp_path / "out", "degrees", image_size=(48, 48), **small)
    config, networks = load_checkpoint(tmp_path / "out")
    assert config.units == "rad"
    assert config.input_features[TOP] == (48, 48, 3)
    command = json.loads((tmp_path / "out/card.json").read_text())["command"]
    assert "--image-size 48 48 --units degrees" in command
    units = lerobot_units("degrees", JOINTS)
    expected = units.to_radians(data.columns["action"]).astype(np.float32)
    np.testing.assert_allclose(networks.normalizer["action"].low, expected.min(axis=0), atol=1e-6)
    np.testing.assert_allclose(networks.normalizer["action"].high, expected.max(axis=0), atol=1e-6)


def test_a_policy_is_not_trained_on_degrees_taken_for_radians(dataset, tmp_path):
    with pytest.raises(UnitsError, match="outside their range"):
        train_policy_in_radians(dataset, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_images_are_not_stretched_to_another_aspect_ratio(dataset, tmp_path):
    with pytest.raises(DatasetError, match="aspect ratio"):
        train_policy_in_radians(dataset, tmp_path / "out", "degrees", image_size=(48, 64), threads=1)


def test_a_lerobot_policy_needs_its_units_and_a_folder(theirs, dataset, tmp_path):
    with pytest.raises(ConfigError, match="units is None; accepted: the dataset's"):
        train(theirs, dataset, out=tmp_path / "step")
    with pytest.raises(TrainingError, match="out: found nothing"):
        train(theirs, dataset, units="degrees")


def test_features_that_do_not_match_are_refused_with_both_lists(theirs, renamed, tmp_path):
    with pytest.raises(TrainingError) as refused:
        train(theirs, renamed, units="degrees", out=tmp_path / "step")
    assert f"{TOP} (96, 96, 3)" in str(refused.value)
    assert "observation.images.front (96, 96, 3)" in str(refused.value)


def test_a_camera_by_another_name_is_found_when_it_is_given(theirs, renamed, tmp_path):
    names = {TOP: "observation.images.front"}
    train(theirs, renamed, units="degrees", out=tmp_path / "step", renamed=names, iterations=2)
    with pytest.raises(TrainingError, match=r"rename: found \['observation\.images\.side'\]"):
        train(theirs, renamed, units="degrees", out=tmp_path / "x", renamed={"observation.images.side": TOP})


def test_a_camera_that_the_episodes_know_nothing_of_is_named(dataset, tmp_path):
    root = shutil.copytree(dataset, tmp_path / "other")
    info = root / "meta/info.json"
    info.write_text(info.read_text().replace(TOP, "observation.images.front"))
    with pytest.raises(DatasetError, match=r"found no videos/observation\.images\.front/chunk_index"):
        Dataset(root)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "act"}, r"type is 'act'; accepted: diffusion"),
        ({"noise_scheduler_type": "EDM"}, r"noise_scheduler_type is 'EDM'; accepted: DDPM or DDIM"),
        ({"beta_schedule": "sigmoid"}, r"beta_schedule is 'sigmoid'; accepted: one of squaredcos"),
        ({"prediction_type": "v_prediction"}, r"prediction_type is 'v_prediction'"),
        ({"use_peft": True}, r"use_peft is True; accepted: false"),
        ({"flow_matching": True}, r"flow_matching is True; accepted: the fields of LeRobot 0\.3 to 0\.6"),
        ({"horizon": ...}, r"horizon is missing"),
        ({"n_action_steps": 40}, r"n_action_steps is 40; accepted: at most 15"),
        (
            {"output_features": {"reward": {"type": "REWARD", "shape": [1]}}},
            r"output_features is \['reward",
        ),
        ({"input_features": {}}, r"input_features is \[\]; accepted: observation\.state among them"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(vectors, changes, message):
    edit(vectors / "config.json", **changes)
    with pytest.raises(CheckpointError, match=message) as refused:
        load_checkpoint(vectors)
    assert "config.json" in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vision_backbone": "resnet50"}, r"vision_backbone is 'resnet50'; accepted: resnet18 or resnet34"),
        ({"crop_shape": [200, 200]}, r"resnet\.crop is \(200, 200\); accepted: at most \(96, 96\)"),
    ],
)
def test_encoders_that_are_not_supported_are_refused_by_name(theirs, tmp_path, changes, message):
    copy = shutil.copytree(theirs, tmp_path / "copy")
    edit(copy / "config.json", **changes)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(copy)


def test_missing_processors_are_missing_statistics(vectors):
    for path in vectors.glob("policy_p*"):
        path.unlink()
    with pytest.raises(CheckpointError, match="statistics missing: neither policy_preprocessor"):
        load_checkpoint(vectors)


def test_a_missing_statistics_file_is_named(vectors):
    next(vectors.glob("*_normalizer_processor.safetensors")).unlink()
    with pytest.raises(CheckpointError, match=r"normalizer_processor\.safetensors: file not found"):
        load_checkpoint(vectors)


def test_a_missing_statistic_is_named(vectors):
    path = next(vectors.glob("*_step_3_normalizer_processor.safetensors"))
    save_file({k: v for k, v in load_file(path).items() if k != "observation.state.min"}, path)
    with pytest.raises(CheckpointError, match=r"statistics missing: no min of observation\.state"):
        load_checkpoint(vectors)


def test_statistics_of_infinity_are_refused(tmp_path):
    folder = lerobot.restore("0.3", VECTORS, tmp_path)
    tensors = load_file(folder / "model.safetensors")
    tensors["unnormalize_outputs.buffer_action.max"].fill_(float("inf"))
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"max of action is \[inf.*accepted: 6 finite numbers"):
        load_checkpoint(folder)


def test_a_processor_step_that_is_not_known_is_refused_by_name(vectors):
    path = vectors / "policy_preprocessor.json"
    steps = json.loads(path.read_text())["steps"]
    edit(path, steps=[*steps, {"registry_name": "delta_action_processor", "config": {}}])
    with pytest.raises(CheckpointError, match=r"preprocessor\.json: steps holds 'delta_action_processor'"):
        load_checkpoint(vectors)


def test_an_unknown_normalisation_is_refused_by_name(vectors):
    path = vectors / "policy_preprocessor.json"
    path.write_text(path.read_text().replace("MIN_MAX", "TANH"))
    with pytest.raises(CheckpointError, match="normalisation of STATE is 'TANH'; accepted: IDENTITY"):
        load_checkpoint(vectors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.pop("diffusion.unet.final_conv.1.bias"),
            r"missing tensors \['diffusion\.unet\.final_conv",
        ),
        (
            lambda t: t.update({"diffusion.ema.weight": torch.zeros(1)}),
            r"unexpected tensors \['diffusion\.ema",
        ),
        (
            lambda t: t.update({"diffusion.unet.final_conv.1.bias": torch.zeros(9)}),
            r"shape \(9,\); config\.json",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(vectors, change, message):
    tensors = load_file(vectors / "model.safetensors")
    change(tensors)
    save_file(tensors, vectors / "model.safetensors")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(vectors)


def test_weights_saved_from_a_compiled_model_are_read(vectors):
    plain = load_checkpoint(vectors)[1].state_dict()
    path = vectors / "model.safetensors"
    compiled = {
        k.replace("diffusion.unet.", "diffusion.unet._orig_mod."): v for k, v in load_file(path).items()
    }
    save_file(compiled, path)
    again = load_checkpoint(vectors)[1].state_dict()
    assert all(torch.equal(plain[name], again[name]) for name in plain)


def test_a_constant_joint_does_not_blow_up_what_it_returns(vectors):
    for path in vectors.glob("*.safetensors"):
        if "processor" in path.name:
            tensors = load_file(path)
            tensors["action.max"][2] = tensors["action.min"][2]
            save_file(tensors, path)
    constant = tensors["action.min"][2].item()
    chunk = load_policy(vectors, method="native", engine="torch").act(lerobot.observation(VECTORS)).chunk
    np.testing.assert_allclose(chunk[:, 2], constant, atol=1e-6)

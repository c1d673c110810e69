"""Each stage trains what it should on what it should; the commands leave a checkpoint that loads."""

import csv
import json
import math
import types

import numpy as np
import pytest
import torch
from test_data_windows import fake_dataset
from test_data_writer import smooth_frames

from step_ros.data.errors import DatasetError
from step_ros.data.reader import Dataset
from step_ros.data.windows import Windows
from step_ros.data.writer import DatasetWriter
from step_ros.policy.checkpoint import load_checkpoint
from step_ros.policy.config import EnvironmentEncoderConfig, PolicyConfig, PredictorConfig
from step_ros.policy.networks import build_networks
from step_ros.policy.schedule import NoiseSchedule
from step_ros.training.augmentation import HistoryAugmentation
from step_ros.training.commands import policy_config, train_policy, train_predictor
from step_ros.training.errors import TrainingError
from step_ros.training.examples import Examples
from step_ros.training.features import encode_dataset
from step_ros.training.objectives.denoiser import DenoiserObjective, stratified_timesteps
from step_ros.training.objectives.encoder import EncoderObjective
from step_ros.training.objectives.predictor import PredictorObjective

TOP, STATE, POSES = "observation.images.top", "observation.state", "observation.environment_state"
SMALL = {"down_dims": (8, 16), "threads": 1, "batch_size": 4, "variants": 2}
PREDICTOR = PredictorConfig(width=16, heads=2, blocks=1, feedforward=16)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Three episodes of a joint that follows its commands, seen by a camera, with an object's pose."""
    root = tmp_path_factory.mktemp("data") / "demos"
    vector = {"dtype": "float32", "shape": (2,), "names": ["shoulder.pos", "elbow.pos"]}
    video = {"dtype": "video", "shape": (32, 48, 3), "names": ["height", "width", "channels"]}
    writer = DatasetWriter(
        root, 30, {STATE: vector, POSES: {**vector, "names": None}, "action": vector, TOP: video}
    )
    for seed in range(3):
        t = np.arange(24)[:, None] / 24
        action = np.hstack([np.sin(3 * t + seed), t]).astype(np.float32)
        state = np.vstack([action[:1], action[:-1]])
        poses = np.full((24, 2), seed, np.float32)
        writer.add_episode(
            {STATE: state, POSES: poses, "action": action, TOP: smooth_frames(24, seed)}, "follow"
        )
    return root


def config(**fields):
    return PolicyConfig(
        input_features={STATE: (1,)}, action_names=("x",), down_dims=(8, 16), predictor=PREDICTOR, **fields
    )


def examples(actions=None):
    data = fake_dataset((30, 40), actions)
    features = torch.from_numpy(data.columns[STATE])[None]
    return Examples(Windows(data, 2, 16, 8), torch.from_numpy(data.columns["action"]), features)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_features_of_a_window_are_those_of_its_frames_under_one_shift():
    data = fake_dataset((30,))
    features = torch.stack([torch.arange(30.0), 100 + torch.arange(30.0)])[..., None]
    seen = Examples(Windows(data, 2, 16, 8), torch.zeros(30, 1), features)
    observed = seen.observed(np.array([5, 5, 0]), torch.tensor([0, 1, 1]))[..., 0]
    assert observed.tolist() == [[4, 5], [104, 105], [100, 100]]


def test_a_history_moved_into_the_future_never_shows_where_there_was_none():
    _, mask = examples().history(np.arange(9), np.full(9, 4))
    assert mask.sum(1).tolist() == list(range(9))


def test_stratified_noise_levels_spread_evenly_and_reach_both_ends():
    levels = stratified_timesteps(50, 100, generator())
    assert all(2 * k <= level < 2 * (k + 1) for k, level in enumerate(levels.tolist()))
    many = torch.cat([stratified_timesteps(64, 100, generator(seed)) for seed in range(50)])
    assert set(many.tolist()) == set(range(100))


@pytest.mark.parametrize("prediction_type", ["epsilon", "sample"])
def test_the_denoiser_is_asked_for_what_its_configuration_says(prediction_type):
    """A stand-in that knows the clean chunk answers perfectly, whichever of the two is asked for."""
    settings = config(prediction_type=prediction_type)
    data = examples(actions=np.full((70, 1), 0.5, np.float32))
    networks = types.SimpleNamespace(denoiser=torch.nn.Identity(), config=settings)
    schedule = NoiseSchedule(settings)

    def oracle(noisy, timesteps, condition):
        clean = torch.full_like(noisy, 0.5)
        signal = torch.from_numpy(schedule.signal)[timesteps].float().view(-1, 1, 1)
        spread = torch.from_numpy(schedule.noise)[timesteps].float().view(-1, 1, 1)
        assert condition.shape == (len(noisy), 2)
        return clean if prediction_type == "sample" else (noisy - signal * clean) / spread

    objective = DenoiserObjective(networks, data, data, "x")
    assert objective.loss(oracle, 32, generator()).item() < 1e-8
    assert objective.held_out_loss(oracle) < 1e-8


def test_the_predictor_sees_a_falsified_history_and_aims_at_the_true_chunk():
    actions = np.linspace(-1, 1, 70, dtype=np.float32)[:, None]
    data = examples(actions)
    networks = types.SimpleNamespace(predictor=torch.nn.Identity(), config=config())
    seen = []

    def spy(history, mask, features):
        now = (features[:, -1, 0] - 1000).long()
        frames = now[:, None] + torch.arange(-1, 15)
        seen.append(
            (history - torch.from_numpy(actions)[(now[:, None] - 8 + torch.arange(8)).clamp(min=0)], mask)
        )
        first, last = torch.where(now < 30, 0, 30), torch.where(now < 30, 29, 69)
        return torch.from_numpy(actions)[frames.clamp(first[:, None], last[:, None])]

    objective = PredictorObjective(networks, data, data, HistoryAugmentation(), "x")
    assert objective.loss(spy, 64, generator()).item() < 1e-10
    difference, mask = seen[0]
    assert difference[mask].abs().mean().item() > 0.05
    assert objective.held_out_loss(spy) < 1e-10
    difference, mask = seen[1]
    assert difference[mask].abs().max().item() < 1e-6


def test_held_out_losses_repeat():
    data = examples()
    networks = build_networks(config())
    objective = DenoiserObjective(networks, data, data, "x")
    assert objective.held_out_loss(networks.denoiser) == objective.held_out_loss(networks.denoiser)
    assert math.isnan(DenoiserObjective(networks, data, None, "x").held_out_loss(networks.denoiser))


def encoded(root, networks, shifts=2, variants=2):
    names = {name: name for name in networks.config.input_features}
    device = torch.device("cpu")
    return encode_dataset(
        networks, Dataset(root), names, {TOP: shifts}, variants, 0, device, lambda done, total: None
    )


def test_cached_features_are_those_of_encode_and_are_computed_once(root, monkeypatch):
    dataset = Dataset(root)
    networks = build_networks(policy_config(dataset, None, down_dims=(8, 16)), dataset.stats).eval()
    features, digest = encoded(root, networks)
    assert features.shape == (2, 72, 2 + 64)
    frame = {
        STATE: torch.from_numpy(dataset.columns[STATE][None, 30:31]),
        TOP: torch.from_numpy(dataset.images(TOP)[None, 30:31].copy()),
    }
    with torch.no_grad():
        assert torch.allclose(features[0, 30], networks.encode(frame)[0, 0], atol=1e-5)
    assert not torch.allclose(features[1, :, 2:], features[0, :, 2:], atol=1e-5)

    def no_more_encoding(*_args):
        raise AssertionError("encoded twice")

    monkeypatch.setattr("step_ros.training.features._encode", no_more_encoding)
    again, same = encoded(root, networks)
    assert torch.equal(again, features)
    assert same == digest
    next(networks.encoders.parameters()).data.add_(0.1)
    with pytest.raises(AssertionError, match="encoded twice"):
        encoded(root, networks)


def test_the_configuration_follows_the_dataset(root):
    made = policy_config(Dataset(root), None)
    assert made.input_features == {STATE: (2,), TOP: (32, 48, 3)}
    assert made.action_names == ("shoulder", "elbow")
    assert made.predictor is None
    assert policy_config(Dataset(root), (POSES,)).input_features == {POSES: (2,)}


def test_an_input_that_the_dataset_lacks_is_named(root):
    with pytest.raises(DatasetError, match=r"observation\.images\.wrist"):
        policy_config(Dataset(root), (STATE, "observation.images.wrist"))


def test_shifts_of_an_unknown_camera_are_refused(root, tmp_path):
    with pytest.raises(TrainingError, match="shifts"):
        train_policy(root, tmp_path, shifts={"observation.images.side": 2}, **SMALL)


@pytest.fixture(scope="module")
def trained(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("policy") / "follow"
    train_policy(root, out, encoder_iterations=6, iterations=8, **SMALL)
    before = {name: tensor.clone() for name, tensor in load_checkpoint(out)[1].state_dict().items()}
    arguments = {name: value for name, value in SMALL.items() if name != "down_dims"}
    train_predictor(out, root, iterations=8, predictor=PREDICTOR, **arguments)
    return out, before


def test_both_commands_leave_one_checkpoint_with_curves_and_card(trained, root):
    out, _ = trained
    config, networks = load_checkpoint(out)
    assert config.predictor == PREDICTOR
    assert networks.normalizer["action"].high.tolist() == pytest.approx(Dataset(root).stats["action"]["max"])
    card = json.loads((out / "card.json").read_text())
    assert set(card["stages"]) == {"encoder", "denoiser", "predictor"}
    assert all(stage["finished"] for stage in card["stages"].values())
    assert card["dataset"]["episodes"] == 3
    assert card["command"].startswith("step-ros train policy demos")
    for stage in card["stages"]:
        with (out / f"training/{stage}.csv").open() as file:
            assert float(list(csv.DictReader(file))[-1]["loss"]) == card["stages"][stage]["loss"]


def test_training_the_predictor_changes_nothing_else(trained):
    out, before = trained
    after = load_checkpoint(out)[1].state_dict()
    assert {name for name in after if not name.startswith("predictor.")} == set(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_repeating_a_finished_command_keeps_the_checkpoint(trained, root):
    out, _ = trained
    before = (out / "model.safetensors").read_bytes()
    train_policy(root, out, encoder_iterations=6, iterations=8, **SMALL)
    assert (out / "model.safetensors").read_bytes() == before


def test_a_policy_of_joints_alone_has_no_encoder_stage(root, tmp_path):
    train_policy(root, tmp_path, iterations=3, inputs=(STATE,), **SMALL)
    assert set(json.loads((tmp_path / "card.json").read_text())["stages"]) == {"denoiser"}


def test_a_policy_that_is_told_poses_trains_an_encoder_of_them(root, tmp_path):
    train_policy(root, tmp_path, encoder_iterations=3, iterations=1, inputs=(STATE, POSES), **SMALL)
    config, _ = load_checkpoint(tmp_path)
    assert config.encoded_names == (POSES,)
    assert set(json.loads((tmp_path / "card.json").read_text())["stages"]) == {"encoder", "denoiser"}


def test_encoders_of_poses_learn_two_ways_where_their_mean_is_none():
    """Half of the episodes go one way and half the other from the same start, which no frame tells apart."""
    dataset = fake_dataset([24] * 8)
    way = np.repeat(np.tile([-1.0, 1.0], 4), 24).astype(np.float32)[:, None]
    still = np.zeros((len(way), 1), np.float32)
    dataset.columns, dataset.num_frames = {"action": way, STATE: still, POSES: still}, len(way)
    limits = {"min": [-1.0], "max": [1.0]}
    policy = PolicyConfig(
        input_features={STATE: (1,), POSES: (1,)},
        action_names=("x",),
        down_dims=(8, 16),
        predictor=None,
        environment_encoder=EnvironmentEncoderConfig(hidden=8, feature_dim=4),
    )
    torch.manual_seed(0)
    networks = build_networks(policy, dict.fromkeys((STATE, POSES, "action"), limits))
    windows = Windows(dataset, 2, 16, 8)
    objective = EncoderObjective(networks, dataset, windows, None, {}, 0.0, torch.device("cpu"))
    optimiser = torch.optim.Adam(objective.model.parameters(), 1e-2)
    for step in range(100):
        optimiser.zero_grad()
        loss = objective.loss(objective.model, 32, torch.Generator().manual_seed(step))
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.2, "a single guess cannot do better than 1, the variance"


def test_the_encoder_learns_to_tell_object_poses_from_images(root, tmp_path):
    """The object's pose names the episode, and each episode's blob has its own colour and height."""
    train_policy(
        root,
        tmp_path,
        encoder_iterations=100,
        encoder_lr=3e-3,
        iterations=1,
        held_out=0.0,
        pose_weight=1.0,
        **SMALL | {"batch_size": 8},
    )
    with (tmp_path / "training/encoder.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < 0.5 * losses[0]

"""Predictors of every kind and size: what training tells them, and the checkpoints that come out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from policy_helpers import tiny_config_for, tiny_networks
from test_data_windows import fake_dataset

from step_ros.data.windows import Windows
from step_ros.data.writer import DatasetWriter
from step_ros.policy.checkpoint import load_checkpoint
from step_ros.policy.errors import ConfigError
from step_ros.policy.policy import load_policy
from step_ros.training.augmentation import HistoryAugmentation
from step_ros.training.commands import train_policy, train_predictor
from step_ros.training.examples import Examples
from step_ros.training.objectives.leaked import LeakedPredictorObjective
from step_ros.training.objectives.predictor import PredictorObjective
from step_ros.training.objectives.prior import PriorObjective
from step_ros.training.recipes import RECIPES, predictor_config

STATE = "observation.state"
SMALL = {"batch_size": 4, "threads": 1, "held_out": 0.4}
INDICES = np.array([12, 15])
"""Windows of the first episode with a full cycle before them."""


def examples(actions: np.ndarray) -> Examples:
    data = fake_dataset((30, 40), actions)
    return Examples(Windows(data, 2, 16, 8), torch.from_numpy(actions), torch.zeros(1, 70, 9))


def objective(kind: str, data: Examples) -> PredictorObjective | PriorObjective:
    method = {"past": "step", "leaked": "step_official", "prior": "spatial_prior"}[kind]
    networks = tiny_networks(tiny_config_for(method))
    if kind == "past":
        return PredictorObjective(networks, data, data, HistoryAugmentation(), "x")
    if kind == "leaked":
        return LeakedPredictorObjective(networks, data, data, "x")
    return PriorObjective(networks, data, data, 0.001, "x")


@pytest.mark.parametrize(("kind", "leaks"), [("past", False), ("leaked", True)])
def test_the_target_is_told_by_the_leaked_kind_alone(kind: str, leaks: bool) -> None:
    """Other actions from the newest observation on change what is told only where there is a leak."""
    actions = np.random.default_rng(0).uniform(-1, 1, (70, 3)).astype(np.float32)
    told = []
    for future in (0.0, 1.0):
        changed = actions.copy()
        changed[12:30] += future
        data = examples(changed)
        told.append(objective(kind, data).told(data, np.array([12]))[0])
    assert torch.equal(*told) != leaks


def test_a_leaked_history_is_the_targets_own_beginning_and_nothing_like_it_at_run_time() -> None:
    data = examples(np.random.default_rng(0).uniform(-1, 1, (70, 3)).astype(np.float32))
    found = objective("leaked", data)
    told, mask = found.told(data, INDICES, torch.Generator())
    assert torch.equal(told, data.chunk(INDICES)[:, :8]) and mask.all()
    told, mask = found.told_at_run_time(data, INDICES)
    assert torch.equal(told, data.chunk(INDICES - 8)) and mask.all() and told.shape == (2, 16, 3)


def test_a_priors_divergence_is_that_of_its_latent_from_the_standard_normal() -> None:
    data = examples(np.zeros((70, 3), np.float32))
    model = objective("prior", data).model
    with torch.no_grad():
        for parameter in model.recognition.parameters():
            parameter.zero_()
        bias = model.recognition[-1].bias
        bias[:4], bias[4:] = 0.5, np.log(2.0)
        chunk, divergence = model(data.chunk(INDICES), torch.zeros(2, 2, 9), torch.zeros(2, 4))
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(0.5, 2.0), normal(0.0, 1.0)) * 4
    torch.testing.assert_close(divergence, expected.repeat(2))
    assert chunk.shape == (2, 16, 3)


def test_a_prior_learns_both_of_two_ways() -> None:
    """Half of the demonstrations go up, half down, from the same observation; a regression goes between."""
    ways = np.repeat(np.float32([0.5] * 30 + [-0.5] * 40)[:, None], 3, axis=1)
    data = examples(ways)
    torch.manual_seed(0)
    found = objective("prior", data)
    optimizer = torch.optim.Adam(found.model.parameters(), 1e-2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        optimizer.zero_grad()
        found.loss(found.model, 32, generator).backward()
        optimizer.step()
    latent = torch.randn(64, 1, 4, generator=generator)
    with torch.no_grad():
        chunks = found.model.decoder.eval()(
            latent, torch.ones(64, 1, dtype=torch.bool), torch.zeros(64, 2, 9)
        )
    means = chunks.mean(dim=(1, 2))
    assert (means > 0.25).sum() > 10 and (means < -0.25).sum() > 10


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five episodes of a joint that follows its commands."""
    root = tmp_path_factory.mktemp("data") / "demos"
    vector = {"dtype": "float32", "shape": (2,), "names": ["shoulder.pos", "elbow.pos"]}
    writer = DatasetWriter(root, 30, {STATE: vector, "action": vector})
    for seed in range(5):
        time = np.arange(40)[:, None] / 40
        action = np.hstack([np.sin(3 * time + seed), time]).astype(np.float32)
        writer.add_episode({STATE: np.vstack([action[:1], action[:-1]]), "action": action}, "follow")
    return root


@pytest.fixture(scope="module")
def policy(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("policy") / "follow"
    train_policy(root, out, iterations=4, inputs=(STATE,), down_dims=(8, 16), **SMALL)
    return out


@pytest.mark.parametrize(
    ("options", "method", "note"),
    [
        ({"blocks": 1}, "step", "told the commands"),
        ({"blocks": 4, "width": 32}, "step", "told the commands"),
        ({"history": False}, "step", "told the commands"),
        ({"observation": False}, "step", "told the commands"),
        ({"kind": "leaked", "blocks": 1}, "step_official", "LEAKED"),
        ({"kind": "prior", "latent": 3}, "spatial_prior", "told a latent sample"),
    ],
)
def test_each_predictor_of_a_denoiser_is_made_by_one_call_in_a_folder_of_its_own(
    root: Path, policy: Path, tmp_path: Path, options: dict, method: str, note: str
) -> None:
    before = (policy / "model.safetensors").read_bytes()
    chosen = predictor_config(**{"width": 16, "heads": 2, "feedforward": 16} | options)
    train_predictor(policy, root, out=tmp_path, iterations=3, predictor=chosen, **SMALL)
    assert (policy / "model.safetensors").read_bytes() == before
    config, networks = load_checkpoint(tmp_path)
    assert config.predictor == chosen
    assert not any("recognition" in name for name in networks.state_dict())
    card = json.loads((tmp_path / "card.json").read_text())
    stage = card["stages"]["predictor"]
    assert stage["told"].startswith(note)
    assert stage["validation"]["predictor"]["chunk_rmse"] > 0
    for name, value in options.items():
        said = f"--no-{name}" if value is False else f"--{name} {value}"
        assert said in card["predictor_command"]
    running = load_policy(tmp_path, engine="torch", cold_start_steps=2)
    assert running.method == method
    for _ in range(2):
        plan = running.act({STATE: np.zeros((2, 2))})
    assert (plan.nfe, plan.aux_nfe) == (2, 1) and np.isfinite(plan.chunk).all()


def test_a_predictor_config_takes_the_kinds_own_sizes_where_nothing_is_given() -> None:
    assert predictor_config() == RECIPES["past"].predictor
    official = predictor_config(kind="leaked", blocks=4)
    assert (official.variant, official.feedforward, official.blocks) == ("official", 256, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "leaked", "variant": "paper"}, "variant is 'paper'; accepted: official for kind leaked"),
        ({"kind": "prior", "history": False}, "kind is 'prior'; accepted: past"),
        ({"history": False, "observation": False}, "observation is False; accepted: true"),
        ({"width": 36}, "width is 36; accepted: a multiple of twice heads"),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        predictor_config(**options)

"""What the latency benchmark counts, measures and compares with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from policy_helpers import observation, tiny_config, tiny_networks
from torch import nn

from step_ros.evaluation.latency.command import cache_environment
from step_ros.policy import peaks
from step_ros.policy.checkpoint import load_checkpoint
from step_ros.policy.compile_cache import cache_folder
from step_ros.policy.cost import network_costs
from step_ros.policy.peers import DiffusersLoop
from step_ros.policy.policy import Policy
from step_ros.policy.untrained import save_untrained


def test_operations_are_those_of_the_layers() -> None:
    networks = tiny_networks()
    config = networks.config
    widths = [layer for layer in networks.predictor.modules() if isinstance(layer, nn.Linear)]
    costs = network_costs(networks)
    features = config.n_obs_steps * config.feature_dim
    modulation = sum(block.cond_encoder[1].out_features for block in networks.denoiser.blocks)
    assert costs["condition"].flops == 2 * features * modulation
    assert costs["condition"].parameters == features * modulation
    assert costs["predict"].flops > 2 * config.horizon * sum(layer.weight.numel() for layer in widths[:1])


def test_weights_are_counted_once_in_the_part_that_reads_them() -> None:
    networks = tiny_networks()
    costs = network_costs(networks)
    count = lambda module: sum(weight.numel() for weight in module.parameters())  # noqa: E731
    assert costs["encode"].parameters == count(networks.encoders)
    assert costs["predict"].parameters == count(networks.predictor)
    # The level's share of the modulation is a table, of which a step reads one row.
    assert costs["denoise"].parameters + costs["condition"].parameters < count(networks.denoiser)
    assert costs["denoise"].weight_bytes(2) == 2 * costs["denoise"].parameters


def test_counting_attention_leaves_torchs_own_attention_as_it_was() -> None:
    before = torch.backends.mha.get_fastpath_enabled()
    network_costs(tiny_networks())
    assert torch.backends.mha.get_fastpath_enabled() == before


def test_a_policy_without_predictor_has_no_cost_of_one() -> None:
    assert "predict" not in network_costs(tiny_networks(tiny_config(predictor=None)))


def test_the_peak_is_that_of_the_best_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([1.0, 0.5, 0.25, 2.0])
    monkeypatch.setattr(peaks, "_fastest", lambda *_: next(seconds))
    assert peaks.peak_gbps(4 * 1024 * 1000) == pytest.approx(4 * 1024 * 1000 / 0.25 / 1e9)


def test_the_plain_diffusers_loop_gives_our_chunk_from_the_same_noise() -> None:
    networks = tiny_networks()
    loop = DiffusersLoop(networks.config, networks)
    loop.update("ddim", 5)
    chunk, spent = loop.act(observation())
    policy = Policy(networks.config, networks, "ddim", "torch", seed=0, num_inference_steps=5)
    assert np.allclose(chunk, policy.act(observation()).chunk, atol=1e-4)
    assert spent["total"] == pytest.approx(sum(spent[part] for part in ("encode", "denoise", "post")))


def test_the_plain_loop_samples_with_ddpm_as_well() -> None:
    networks = tiny_networks()
    loop = DiffusersLoop(networks.config, networks)
    loop.update("ddpm", 3)
    chunk, _ = loop.act(observation())
    assert chunk.shape == (16, 3)
    assert np.isfinite(chunk).all()


def test_the_benchmark_keeps_its_compiled_models_out_of_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in cache_environment(str(tmp_path)).items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == tmp_path


def test_an_untrained_checkpoint_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        save_untrained(tmp_path / folder, tiny_config(), seed)
    weights = {
        folder: load_checkpoint(tmp_path / folder)[1].denoiser.final_conv[1].weight for folder in "abc"
    }
    assert torch.equal(weights["a"], weights["b"])
    assert not torch.equal(weights["a"], weights["c"])


def test_lerobots_unet_has_as_many_weights_as_ours() -> None:
    pytest.importorskip("lerobot", reason="LeRobot is not installed in this environment")
    from step_ros.policy.lerobot_peer import LeRobotLoop

    networks = tiny_networks()
    ours = sum(weight.numel() for weight in networks.denoiser.parameters())
    assert LeRobotLoop(networks.config).parameters == ours

"""Chunks of LeRobot's diffusion policies are those of its own code (stored by fixtures/lerobot/make.py)."""

from __future__ import annotations

import lerobot_checkpoints as lerobot
import numpy as np
import pytest
import torch

from step_ros.policy.checkpoint import load_checkpoint, save_checkpoint
from step_ros.policy.compiled import CompiledNetworks
from step_ros.policy.cycle import CycleState
from step_ros.policy.engine import make_engine
from step_ros.policy.methods.native import NativeMethod
from step_ros.policy.policy import load_policy

TOLERANCE = 1e-5
"""of features and, in normalised units, of chunks"""
WHOLE_TOLERANCE = 2e-5
"""from pixels to chunk: the networks of some cases make ten times more of the last bit of a feature, so that
LeRobot's own stored answers are up to 1.1e-5 from what it says with an encoder in double precision"""
ENGINE_TOLERANCE = 2e-4


def _parameters() -> list[object]:
    """Encoders do not depend on the format, so an ordinary run tries those of the newest one alone."""
    parameters = []
    for version, case in lerobot.stored():
        again = (
            version != "0.6" and case != "defaults of 0.3" and lerobot.has_images(lerobot.cases.CASES[case])
        )
        parameters.append(pytest.param(version, case, marks=[pytest.mark.slow] if again else []))
    return parameters


@pytest.mark.parametrize(("version", "case"), _parameters())
def test_features_and_chunk_are_those_of_lerobot(version, case, tmp_path):
    folder = lerobot.restore(version, case, tmp_path)
    observation = lerobot.observation(case)
    _, networks = load_checkpoint(folder)
    with torch.inference_mode():
        features = networks.encode({name: torch.from_numpy(v)[None] for name, v in observation.items()})
    expected = lerobot.answer(version, case, "condition")
    np.testing.assert_allclose(features.numpy().ravel(), expected, atol=TOLERANCE, rtol=TOLERANCE)

    theirs = lerobot.answer(version, case, "chunk")
    from_features = _chunk_from(networks, expected.reshape(features.shape))
    np.testing.assert_allclose(from_features, _normalised(networks, theirs), rtol=0.0, atol=TOLERANCE)

    plan = load_policy(folder, method="native", engine="torch", seed=lerobot.SEED).act(observation)
    ours = _normalised(networks, plan.chunk)
    np.testing.assert_allclose(ours, _normalised(networks, theirs), rtol=0.0, atol=WHOLE_TOLERANCE)


def _chunk_from(networks, features):
    """The normalised chunk (Tp, A) from given features (1, To, F)."""
    config = networks.config
    method = NativeMethod(
        config, CompiledNetworks(networks, make_engine("torch", networks), False), networks.normalizer
    )
    state = CycleState(config.n_action_steps, config.action_dim)
    noise = torch.Generator().manual_seed(lerobot.SEED)
    return method.plan(features, state, config.settings(), noise).chunk


def _normalised(networks, chunk):
    return networks.normalizer["action"](torch.from_numpy(np.asarray(chunk, np.float64))).numpy()


def test_every_case_was_put_to_the_oldest_and_the_newest_format():
    newest = {case for version, case in lerobot.stored() if version == "0.6"}
    oldest = {case for version, case in lerobot.stored() if version == "0.3"}
    assert newest == set(lerobot.NAMES)
    assert oldest == {name for name, case in lerobot.cases.CASES.items() if case.get("since", "0.3") == "0.3"}
    assert {version for version, _ in lerobot.stored()} == {"0.3", "0.4", "0.5", "0.6"}


def test_the_import_in_our_own_format_gives_the_same_chunk(tmp_path):
    folder = lerobot.restore("0.6", "resize and crop ratio", tmp_path / "theirs")
    observation = lerobot.observation("resize and crop ratio")
    before = load_policy(folder, method="native", engine="torch", seed=1).act(observation)
    save_checkpoint(tmp_path / "ours", *load_checkpoint(folder))
    after = load_policy(tmp_path / "ours", method="native", engine="torch", seed=1).act(observation)
    np.testing.assert_array_equal(after.chunk, before.chunk)


@pytest.mark.parametrize("engine", ["openvino", pytest.param("onnx", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "case", ["resize and crop ratio", pytest.param("defaults of 0.6", marks=pytest.mark.slow)]
)
def test_resnet_encoders_run_in_every_engine(case, engine, tmp_path):
    pytest.importorskip({"openvino": "openvino", "onnx": "onnxruntime"}[engine])
    folder = lerobot.restore("0.6", case, tmp_path)
    policy = load_policy(folder, method="native", engine=engine, seed=lerobot.SEED)
    chunk = policy.act(lerobot.observation(case)).chunk
    np.testing.assert_allclose(chunk, lerobot.answer("0.6", case, "chunk"), atol=ENGINE_TOLERANCE)

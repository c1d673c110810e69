"""Consistency predictor: what it looks at, its size, both variants."""

from __future__ import annotations

import pytest
import torch
from policy_helpers import tiny_config

from step_ros.policy.config import PolicyConfig, PredictorConfig
from step_ros.policy.predictor import PREDICTORS


def make(variant: str) -> torch.nn.Module:
    torch.manual_seed(0)
    size = PredictorConfig(variant=variant, width=16, blocks=2, heads=2, feedforward=32)
    return PREDICTORS[variant](tiny_config(predictor=size)).eval()


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


both = pytest.mark.parametrize("variant", ["paper", "official"])


@both
def test_history_before_the_episode_has_no_influence(variant: str) -> None:
    predictor = make(variant)
    history, features = torch.randn(1, 8, 3), torch.randn(1, 2, 9)
    mask = torch.tensor([[False] * 3 + [True] * 5])
    garbage = history.clone()
    garbage[:, :3] = float("nan")
    torch.testing.assert_close(predictor(garbage, mask, features), predictor(history, mask, features))


@both
def test_every_chunk_position_sees_every_past_action_and_every_frame(variant: str) -> None:
    predictor = make(variant)
    history = torch.randn(1, 8, 3, requires_grad=True)
    features = torch.randn(1, 2, 9, requires_grad=True)
    chunk = predictor(history, torch.ones(1, 8, dtype=torch.bool), features)
    assert chunk.shape == (1, 16, 3)
    for position in (0, 7, 15):
        past, seen = torch.autograd.grad(chunk[0, position].sum(), (history, features), retain_graph=True)
        assert (past[0].abs().amax(dim=1) > 0).all()
        assert (seen[0].abs().amax(dim=1) > 0).all()


@both
def test_an_empty_history_still_gives_a_finite_chunk(variant: str) -> None:
    chunk = make(variant)(
        torch.full((2, 8, 3), torch.nan), torch.zeros(2, 8, dtype=torch.bool), torch.randn(2, 2, 9)
    )
    assert chunk.isfinite().all()


@both
def test_gradients_stay_finite_with_nan_rows_masked(variant: str) -> None:
    predictor = make(variant)
    history = torch.full((1, 8, 3), torch.nan)
    predictor(history, torch.zeros(1, 8, dtype=torch.bool), torch.randn(1, 2, 9)).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in predictor.parameters())


def test_paper_variant_places_past_actions_where_they_were_in_their_own_chunk() -> None:
    assert make("paper").source.tolist() == [0, *range(8), *[7] * 7]


def test_default_paper_variant_has_about_a_million_parameters() -> None:
    config = PolicyConfig(
        input_features={"observation.state": (6,), "observation.images.top": (96, 96, 3)},
        action_names=tuple("abcdef"),
    )
    assert 0.9e6 < count(PREDICTORS["paper"](config)) < 1.05e6


@pytest.mark.parametrize(
    ("width", "heads", "blocks", "feedforward", "millions"),
    [(256, 8, 4, 1024, 5.80), (256, 8, 2, 1024, 3.70), (128, 4, 2, 256, 0.67)],
)
def test_official_variant_has_the_size_of_the_released_network(
    width: int, heads: int, blocks: int, feedforward: int, millions: float
) -> None:
    size = PredictorConfig("official", width, blocks, heads, feedforward)
    config = PolicyConfig(
        input_features={"observation.state": (20,)}, action_names=("x", "y"), predictor=size
    )
    assert count(PREDICTORS["official"](config)) / 1e6 == pytest.approx(millions, abs=0.01)

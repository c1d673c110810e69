"""Min-max normalisation: both directions, constant dimensions, statistics that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from policy_helpers import STATS, tiny_config

from step_ros.policy.affine import AffineMap
from step_ros.policy.errors import ConfigError
from step_ros.policy.normalization import MinMax, Normalizer


def test_limits_map_to_minus_one_and_one_and_back() -> None:
    scale = MinMax([-2.0, 0.0], [2.0, 10.0])
    data = torch.tensor([[-2.0, 0.0], [2.0, 10.0], [0.0, 5.0]])
    normalised = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0]])
    torch.testing.assert_close(scale(data), normalised)
    torch.testing.assert_close(scale.inverse(normalised), data)


def test_a_constant_dimension_is_not_amplified_and_always_comes_back_as_its_constant() -> None:
    scale = MinMax([0.5, 0.0], [0.5, 1.0])
    assert scale(torch.tensor([0.6, 0.5]))[0].item() == pytest.approx(0.1)
    assert scale.inverse(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))[:, 0].tolist() == [0.5, 0.5]


def test_limits_are_part_of_the_state_dict() -> None:
    source, target = Normalizer(tiny_config(), STATS), Normalizer(tiny_config(), None)
    target.load_state_dict(source.state_dict())
    assert target["action"].low.tolist() == [-1.0, -2.0, 0.0]


@pytest.mark.parametrize(
    "stats",
    [
        {"action": STATS["action"]},
        {**STATS, "action": {"min": [0.0], "max": [1.0]}},
        {**STATS, "action": {"min": [0.0] * 3}},
    ],
)
def test_statistics_that_do_not_fit_are_refused_by_name(stats: dict) -> None:
    with pytest.raises(ConfigError, match=r"stats\[(action|observation\.state)\]\[(min|max)\].*3 numbers"):
        Normalizer(tiny_config(), stats)


@pytest.mark.parametrize("name", ["observation.state", "action"])
def test_the_same_maps_on_arrays_give_the_same_numbers(name: str) -> None:
    stats = {
        key: {"min": [-1.0, 100.0, 0.3], "max": [1.0, 100.1, 0.3]} for key in ("observation.state", "action")
    }
    normalizer = Normalizer(tiny_config(), stats)
    values = np.random.default_rng(0).uniform(-2.0, 2.0, (5, 3)) + np.array([0.0, 100.0, 0.3])
    for function in (normalizer[name], normalizer[name].inverse):
        expected = function(torch.from_numpy(values)).numpy()
        np.testing.assert_allclose(AffineMap(function, 3)(values), expected, rtol=1e-9, atol=1e-9)
    assert (AffineMap(normalizer[name].inverse, 3)(values)[:, 2] == np.float32(0.3)).all()

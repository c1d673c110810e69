"""Short convolutions become products for OpenVINO: the same answers, and nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

openvino = pytest.importorskip("openvino")

from step_ros.policy import openvino_engine  # noqa: E402
from step_ros.policy.openvino_products import short_convolutions_as_products  # noqa: E402

FP32 = {"INFERENCE_PRECISION_HINT": "f32"}
"""As the engine asks for it: processors with AMX compute in bfloat16 otherwise."""


def model(network: nn.Module, example: Tensor) -> openvino.Model:
    return openvino_engine._convert(network.requires_grad_(False), (example,))


def answer(graph: openvino.Model, example: Tensor) -> np.ndarray:
    return openvino_engine._core().compile_model(graph, "CPU", FP32)(example.numpy())[0]


def kinds(graph: openvino.Model) -> list[str]:
    return [node.get_type_name() for node in graph.get_ops()]


@pytest.mark.parametrize(("kernel", "length"), [(5, 4), (3, 2)])
def test_a_short_convolution_gives_the_same_as_a_product(kernel: int, length: int) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(384, 96, kernel, padding=kernel // 2), nn.Mish())
    example = torch.randn(1, 384, length)
    graph = model(network, example)
    short_convolutions_as_products(graph)
    assert "Convolution" not in kinds(graph) and kinds(graph).count("MatMul") == 1
    np.testing.assert_allclose(answer(graph, example), network(example).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(384, 64, 5, padding=2), (1, 384, 8)),
        (nn.Conv1d(384, 64, 1), (1, 384, 4)),
        (nn.Conv1d(384, 64, 3, stride=2, padding=1), (1, 384, 4)),
        (nn.Conv1d(384, 64, 3), (1, 384, 4)),
        (nn.Conv1d(384, 64, 3, padding=2, dilation=2), (1, 384, 4)),
        (nn.Conv1d(320, 64, 5, padding=2), (1, 320, 4)),
        (nn.Conv1d(384, 64, 5, padding=2, bias=False), (1, 384, 4)),
        (nn.Conv2d(384, 64, 3, padding=1), (1, 384, 4, 4)),
    ],
)
def test_other_convolutions_stay(layer: nn.Module, shape: tuple[int, ...]) -> None:
    graph = model(layer, torch.randn(shape))
    short_convolutions_as_products(graph)
    assert kinds(graph).count("Convolution") == 1 and "MatMul" not in kinds(graph)


def test_layers_that_share_weights_go_on_sharing_them() -> None:
    layer = nn.Conv1d(384, 384, 5, padding=2)
    graph = model(nn.Sequential(layer, layer), torch.randn(1, 384, 4))
    short_convolutions_as_products(graph)
    products = [node for node in graph.get_ops() if node.get_type_name() == "MatMul"]
    assert len({node.input_value(1).get_node().get_friendly_name() for node in products}) == 1

"""Convolutions over very short chunks as plain matrix products, which OpenVINO reads the weights of faster.

At batch 1 the inner layers of a denoiser see 4 positions: there is next to nothing to compute, and time goes
into reading the weights, which OpenVINO's products do faster than its convolutions where these are large.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import openvino
from openvino import opset13 as ops

LONGEST = 4
"""Positions up to which the product is faster; with 8 it is slower."""
FEWEST_CHANNELS = 384
"""Channels from which on it is: about a tenth with AVX512. With 192 to 320 it is equal, with 128 slower."""


def short_convolutions_as_products(model: openvino.Model) -> None:
    """Replace convolutions (1, C, T) -> (1, O, T) of at most `LONGEST` positions, in place."""
    weights: dict[int, openvino.Node] = {}  # steps of one cycle share theirs, and must go on sharing them
    for convolution, biased in list(_short(model)):
        kernel = convolution.input_value(1).get_node()
        key = kernel.data.ctypes.data
        if key not in weights:
            weights[key] = ops.constant(kernel.data.transpose(0, 2, 1).reshape(kernel.data.shape[0], -1))
        (bias,) = _constants(biased)
        product = ops.matmul(_columns(convolution), weights[key], False, True)
        product = ops.add(product, ops.constant(bias.data.reshape(-1)))
        product = ops.transpose(product, ops.constant(np.array([0, 2, 1])))
        product.set_friendly_name(convolution.get_friendly_name())
        biased.output(0).replace(product.output(0))
    model.validate_nodes_and_infer_types()


def _short(model: openvino.Model) -> Iterator[tuple[openvino.Node, openvino.Node]]:
    """Convolutions that keep a short length, each with the addition of its bias."""
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Convolution" or not _is_constant(node.input_value(1)):
            continue
        before, after = list(node.get_input_shape(0)), list(node.get_output_shape(0))
        if len(before) != 3 or before[0] != 1 or before[1] < FEWEST_CHANNELS:
            continue
        given = node.get_attributes()
        wide = node.get_input_shape(1)[2] > 1  # those of width 1 are products already
        plain = wide and list(given["strides"]) == [1] and list(given["dilations"]) == [1]
        users = [target.get_node() for target in node.output(0).get_target_inputs()]
        if not plain or before[2] != after[2] or after[2] > LONGEST:
            continue
        if len(users) == 1 and users[0].get_type_name() == "Add" and _sizes(users[0]) == [after[1]]:
            yield node, users[0]


def _columns(convolution: openvino.Node) -> openvino.Node:
    """What each position of the output sees, (1, T, K C): K shifted copies of the padded input."""
    given = convolution.get_attributes()
    length, width = convolution.get_input_shape(0)[2], convolution.get_input_shape(1)[2]
    rows = ops.transpose(convolution.input_value(0), ops.constant(np.array([0, 2, 1])))
    edges = (ops.constant(np.array([0, given[side][0], 0])) for side in ("pads_begin", "pads_end"))
    padded = ops.pad(rows, *edges, "constant", ops.constant(np.float32(0.0)))
    shifted = [
        ops.slice(padded, *(ops.constant(np.array([number])) for number in (shift, shift + length, 1, 1)))
        for shift in range(width)
    ]
    return ops.concat(shifted, axis=2)


def _constants(node: openvino.Node) -> list[openvino.Node]:
    return [value.get_node() for value in node.input_values() if _is_constant(value)]


def _sizes(node: openvino.Node) -> list[int]:
    return [constant.data.size for constant in _constants(node)]


def _is_constant(value: openvino.Output) -> bool:
    return value.get_node().get_type_name() == "Constant"

"""Do a file's tensors fit the networks that a configuration asks for?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from step_ros.policy.errors import CheckpointError


def check_tensors(
    file: Path,
    found: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    config_file: str,
    prefix: str = "",
) -> None:
    """Hold the tensors `found` to the names and shapes of those `expected`.

    Args:
        file: where they were found.
        config_file: what says which are expected.
        prefix: what their names begin with in the file.

    Raises:
        CheckpointError: tensors are missing or too many, or one has another shape.
    """
    missing = sorted(prefix + name for name in expected.keys() - found.keys())
    unexpected = sorted(prefix + name for name in found.keys() - expected.keys())
    if missing or unexpected:
        raise CheckpointError(
            f"{file}: missing tensors {missing or 'none'}, unexpected tensors {unexpected or 'none'}"
        )
    for name, tensor in expected.items():
        if found[name].shape != tensor.shape:
            raise CheckpointError(
                f"{file}: tensor {prefix + name} has shape {tuple(found[name].shape)}; "
                f"{config_file} makes it {tuple(tensor.shape)}"
            )

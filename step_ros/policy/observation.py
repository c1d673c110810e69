"""Checks one observation window before any network sees it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from step_ros.policy.config import PolicyConfig
from step_ros.policy.errors import ObservationError


def checked_observation(observation: Mapping[str, object], config: PolicyConfig) -> dict[str, NDArray]:
    """The policy's inputs with a batch dimension of 1: vectors as float32, images as uint8.

    Each input is an array (To, *shape) under its name; other names are ignored, so that one window can serve
    several policies.

    Raises:
        ObservationError: for a missing input, another shape or type, or values that are not finite.
    """
    missing = [name for name in config.input_features if name not in observation]
    if missing:
        found = ", ".join(observation) or "nothing"
        raise ObservationError(f"observation lacks {', '.join(missing)}; found {found}")
    inputs = {}
    for name, shape in config.input_features.items():
        array = np.asarray(observation[name])
        expected = (config.n_obs_steps, *shape)
        if array.shape != expected:
            raise ObservationError(f"{name} has shape {array.shape}; accepted: {expected}")
        if name in config.image_names:
            if array.dtype != np.uint8:
                raise ObservationError(f"{name} has type {array.dtype}; accepted: uint8")
        else:
            array = _real(name, array).astype(np.float32)
            if not np.isfinite(array).all():
                raise ObservationError(f"{name} holds NaN or infinity; accepted: finite numbers")
        inputs[name] = array[None]
    return inputs


def checked_frame(name: str, frame: object, config: PolicyConfig) -> NDArray:
    """One frame (H, W, 3) uint8 of the image input `name`.

    Raises:
        ObservationError: for an unknown name, another shape or type.
    """
    if name not in config.image_names:
        accepted = ", ".join(config.image_names) or "none"
        raise ObservationError(f"{name} is no image input; accepted: {accepted}")
    array, expected = np.asarray(frame), config.input_features[name]
    if array.shape != expected or array.dtype != np.uint8:
        raise ObservationError(
            f"{name} is a frame {array.shape} of {array.dtype}; accepted: {expected} of uint8"
        )
    return array


def checked_commands(commanded: object, config: PolicyConfig) -> NDArray:
    """Past commands (Ta, A) as float64; a row before the start of the episode is NaN throughout.

    Raises:
        ObservationError: for another shape or type, infinity, or a row that is NaN in part.
    """
    array = np.asarray(commanded)
    expected = (config.n_action_steps, config.action_dim)
    if array.shape != expected:
        raise ObservationError(f"commanded has shape {array.shape}; accepted: {expected}")
    array = _real("commanded", array).astype(np.float64)
    absent = np.isnan(array)
    if np.isinf(array).any() or (absent.any(axis=1) != absent.all(axis=1)).any():
        raise ObservationError(
            "commanded holds rows that are NaN in part or infinite; accepted: finite or NaN rows"
        )
    return array


def _real(name: str, array: NDArray) -> NDArray:
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise ObservationError(f"{name} has type {array.dtype}; accepted: real numbers")
    return array

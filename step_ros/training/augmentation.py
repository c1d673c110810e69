"""What is varied in training inputs: where a camera looks, and what the predictor is told of the past."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


def shift_images(images: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Images (N, H, W, 3) moved by whole pixels, shifts (N, 2) down and right; borders repeat the edge."""
    height, width = images.shape[1:3]
    moved = np.empty_like(images)
    for image, out, (down, right) in zip(images, moved, shifts.tolist(), strict=True):
        top, bottom = max(down, 0), min(height + down, height)
        left, end = max(right, 0), min(width + right, width)
        out[top:bottom, left:end] = image[top - down : bottom - down, left - right : end - right]
        out[top:bottom, :left] = out[top:bottom, left : left + 1]
        out[top:bottom, end:] = out[top:bottom, end - 1 : end]
        out[:top] = out[top]
        out[bottom:] = out[bottom - 1]
    return moved


def random_shifts(count: int, largest: int, generator: torch.Generator) -> np.ndarray:
    """(count, 2) whole pixels, uniform in [-largest, largest]."""
    return torch.randint(-largest, largest + 1, (count, 2), generator=generator).numpy()


@dataclass(frozen=True)
class HistoryAugmentation:
    """How the predictor's history is falsified in training; its target never is.

    A predictor trained on true histories copies them, and in closed loop repeats itself. Amplitudes are in
    normalised units and drawn per window, uniform from 0 to the value given.
    """

    time_shift: int = 4
    """ticks by which the history is moved, at most, either way"""
    noise: float = 0.25
    """standard deviation of white noise"""
    offset: float = 0.15
    """standard deviation of a constant offset per joint"""
    dropout: float = 0.05
    """share of windows that see no history, as in the first cycle of an episode"""

    def time_shifts(self, count: int, generator: torch.Generator) -> np.ndarray:
        """(count,) ticks."""
        return torch.randint(-self.time_shift, self.time_shift + 1, (count,), generator=generator).numpy()

    def __call__(self, history: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """History (B, Ta, A) normalised and its mask (B, Ta), both as the predictor shall see them."""

        def amplitude(largest: float) -> Tensor:
            return largest * torch.rand(len(history), 1, 1, generator=generator)

        noise = torch.randn(history.shape, generator=generator) * amplitude(self.noise)
        offset = torch.randn(len(history), 1, history.shape[2], generator=generator) * amplitude(self.offset)
        keep = torch.rand(len(history), 1, generator=generator) >= self.dropout
        return history + (noise + offset).to(history), mask & keep.to(mask.device)

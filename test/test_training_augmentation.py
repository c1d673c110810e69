"""Augmentation falsifies inputs in the ways and amounts that its settings say, and nothing else."""

import numpy as np
import pytest
import torch

from step_ros.training.augmentation import HistoryAugmentation, random_shifts, shift_images


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shift", [(0, 0), (2, -3), (-4, 1), (0, 5), (-5, 0)])
def test_shifted_images_equal_a_crop_of_the_edge_padded_image(shift):
    images = np.random.default_rng(0).integers(0, 256, (3, 12, 14, 3), dtype=np.uint8)
    moved = shift_images(images, np.array([shift] * 3))
    padded = np.pad(images, ((0, 0), (6, 6), (6, 6), (0, 0)), mode="edge")
    down, right = shift
    np.testing.assert_array_equal(moved, padded[:, 6 - down : 18 - down, 6 - right : 20 - right])


def test_each_image_moves_by_its_own_shift():
    images = np.zeros((2, 8, 8, 3), np.uint8)
    images[:, 4, 4] = 255
    moved = shift_images(images, np.array([[1, 0], [0, -2]]))
    assert np.argwhere(moved[0, ..., 0]).tolist() == [[5, 4]]
    assert np.argwhere(moved[1, ..., 0]).tolist() == [[4, 2]]


def test_random_shifts_cover_their_range_and_no_more():
    shifts = random_shifts(2000, 3, generator())
    assert set(shifts.ravel()) == set(range(-3, 4))


def history(batch=4000):
    return torch.zeros(batch, 8, 6), torch.ones(batch, 8, dtype=torch.bool)


def test_without_amplitudes_the_history_is_the_truth():
    past, mask = torch.randn(5, 8, 6), torch.rand(5, 8) > 0.5
    augmentation = HistoryAugmentation(time_shift=0, noise=0.0, offset=0.0, dropout=0.0)
    told, told_mask = augmentation(past, mask, generator())
    assert torch.equal(told, past)
    assert torch.equal(told_mask, mask)
    assert (augmentation.time_shifts(5, generator()) == 0).all()


def test_the_offset_is_constant_in_time_and_differs_between_joints():
    told, _ = HistoryAugmentation(noise=0.0, offset=0.15)(*history(), generator())
    assert torch.allclose(told, told[:, :1].expand_as(told))
    assert not torch.allclose(told[:, :, 0], told[:, :, 1])
    assert told.square().mean().sqrt().item() == pytest.approx(0.15 / 3**0.5, rel=0.1)


def test_the_noise_is_white_in_time():
    told, _ = HistoryAugmentation(noise=0.25, offset=0.0)(*history(), generator())
    assert (told[:, 0] * told[:, 1]).mean().abs().item() < 0.002
    assert told.square().mean().sqrt().item() == pytest.approx(0.25 / 3**0.5, rel=0.1)


def test_time_shifts_go_both_ways():
    shifts = HistoryAugmentation(time_shift=4).time_shifts(2000, generator())
    assert set(shifts) == set(range(-4, 5))


def test_dropout_hides_whole_histories_and_never_reveals_missing_ones():
    past, mask = history()
    mask[:, :3] = False
    _, told_mask = HistoryAugmentation(dropout=0.25)(past, mask, generator())
    hidden = ~told_mask.any(1)
    assert hidden.float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(told_mask[~hidden], mask[~hidden])

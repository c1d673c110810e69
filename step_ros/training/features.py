"""Features of every frame under the frozen encoders, computed once: after that, training needs no images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from step_ros.data.array_dataset import cache_folder
from step_ros.data.reader import Dataset
from step_ros.policy.networks import PolicyNetworks
from step_ros.training.augmentation import random_shifts, shift_images

FRAMES_PER_PASS = 256


def encode_dataset(
    networks: PolicyNetworks,
    dataset: Dataset,
    shifts: Mapping[str, int],
    variants: int,
    seed: int,
    device: torch.device,
    report: Callable[[int, int], None],
) -> tuple[Tensor, str]:
    """Features (variants, N, F) float32 of all N frames, and a digest of all that they depend on.

    Variant 0 sees the images as they are; each other variant moves a camera by up to `shifts[name]` pixels,
    by the same amount throughout an episode, so that motion between frames stays true. The result is kept in
    the dataset's cache folder under its digest. `report(done, total)` is called after every pass.
    """
    digest = _digest(networks, dataset, shifts, variants, seed)
    path = cache_folder(dataset.root) / f"features-{digest}.npy"
    if not path.exists():
        features = _encode(networks, dataset, shifts, variants, seed, device, report)
        path.parent.mkdir(exist_ok=True)
        beside = path.with_suffix(".part")
        with beside.open("wb") as file:
            np.save(file, features)
        beside.replace(path)
    return torch.from_numpy(np.load(path)).to(device), digest


def _encode(
    networks: PolicyNetworks,
    dataset: Dataset,
    shifts: Mapping[str, int],
    variants: int,
    seed: int,
    device: torch.device,
    report: Callable[[int, int], None],
) -> np.ndarray:
    config = networks.config
    generator = torch.Generator().manual_seed(seed)
    features = np.empty((variants, dataset.num_frames, config.feature_dim), np.float32)
    images = {name: dataset.images(name) for name in config.image_names}
    done, total = 0, variants * dataset.num_frames
    for variant in range(variants):
        for episode in dataset.episodes:
            move = {name: random_shifts(1, shifts[name] if variant else 0, generator) for name in images}
            for start in range(episode.start, episode.stop, FRAMES_PER_PASS):
                frames = slice(start, min(start + FRAMES_PER_PASS, episode.stop))
                observation = {name: dataset.columns[name][frames] for name in config.vector_names}
                for name, all_frames in images.items():
                    seen = all_frames[frames]
                    observation[name] = shift_images(seen, move[name].repeat(len(seen), axis=0))
                tensors = {name: torch.from_numpy(v).to(device)[None] for name, v in observation.items()}
                with torch.inference_mode():
                    features[variant, frames] = networks.encode(tensors)[0].cpu().numpy()
                done += frames.stop - frames.start
                report(done, total)
    return features


def _digest(
    networks: PolicyNetworks, dataset: Dataset, shifts: Mapping[str, int], variants: int, seed: int
) -> str:
    parts = [repr((sorted(shifts.items()), variants, seed, dataset.num_frames)).encode()]
    for module in (networks.normalizer, networks.encoders):
        parts += [tensor.cpu().numpy().tobytes() for tensor in module.state_dict().values()]
    parts += [dataset.columns["action"].tobytes()]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]

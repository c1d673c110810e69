"""Features of every frame under the frozen encoders, computed once: after that, training needs no images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from step_ros.data.array_dataset import cache_folder
from step_ros.data.reader import Dataset, Episode
from step_ros.policy.networks import PolicyNetworks
from step_ros.training.augmentation import random_shifts, shift_images


def encode_dataset(
    networks: PolicyNetworks,
    dataset: Dataset,
    names: Mapping[str, str],
    shifts: Mapping[str, int],
    variants: int,
    seed: int,
    device: torch.device,
    report: Callable[[int, int], None],
) -> tuple[Tensor, str]:
    """Features (variants, N, F) float32 of all N frames, and a digest of all that they depend on.

    names: the dataset's name of every input. Variant 0 sees the images as they are; each other variant moves
    a camera by up to `shifts[name]` pixels, by the same amount throughout an episode, so that motion between
    frames stays true. Images are read as a stream, at the policy's size. The result is kept in the dataset's
    cache folder under its digest. `report(done, total)` is called after every pass.
    """
    digest = _digest(networks, dataset, names, shifts, variants, seed)
    path = cache_folder(dataset.root) / f"features-{digest}.npy"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        beside = path.with_suffix(".part")
        shape = (variants, dataset.num_frames, networks.config.feature_dim)
        features = np.lib.format.open_memmap(beside, mode="w+", dtype=np.float32, shape=shape)
        _encode(networks, dataset, names, shifts, seed, device, report, features)
        features.flush()
        beside.replace(path)
    return torch.from_numpy(np.load(path)).to(device), digest


def _encode(
    networks: PolicyNetworks,
    dataset: Dataset,
    names: Mapping[str, str],
    shifts: Mapping[str, int],
    seed: int,
    device: torch.device,
    report: Callable[[int, int], None],
    features: np.ndarray,
) -> None:
    config = networks.config
    generator = torch.Generator().manual_seed(seed)
    done, total = 0, features.shape[0] * features.shape[1]
    for variant in range(len(features)):
        for episode in dataset.episodes:
            move = {
                name: random_shifts(1, shifts[name] if variant else 0, generator)
                for name in config.image_names
            }
            start = episode.start
            for images in _blocks(networks, dataset, names, episode):
                stop = start + len(next(iter(images.values()))) if images else episode.stop
                observation = {name: dataset.columns[names[name]][start:stop] for name in config.vector_names}
                for name, seen in images.items():
                    observation[name] = shift_images(seen, move[name].repeat(len(seen), axis=0))
                tensors = {name: torch.from_numpy(v).to(device)[None] for name, v in observation.items()}
                with torch.inference_mode():
                    features[variant, start:stop] = networks.encode(tensors)[0].cpu().numpy()
                done += stop - start
                start = stop
                report(done, total)


def _blocks(
    networks: PolicyNetworks, dataset: Dataset, names: Mapping[str, str], episode: Episode
) -> Iterator[dict[str, np.ndarray]]:
    """An episode's images per input, some frames at a time; once nothing for a policy without cameras."""
    config = networks.config
    if not config.image_names:
        yield {}
        return
    streams = [
        dataset.frames(names[name], episode, config.input_features[name][:2]) for name in config.image_names
    ]
    for blocks in zip(*streams, strict=True):
        yield dict(zip(config.image_names, blocks, strict=True))


def _digest(
    networks: PolicyNetworks,
    dataset: Dataset,
    names: Mapping[str, str],
    shifts: Mapping[str, int],
    variants: int,
    seed: int,
) -> str:
    parts = [repr((sorted(shifts.items()), variants, seed, dataset.num_frames)).encode()]
    for module in (networks.normalizer, networks.encoders):
        parts += [tensor.cpu().numpy().tobytes() for tensor in module.state_dict().values()]
    parts += [dataset.columns["action"].tobytes()]
    special = (networks.config.resnet, {name: source for name, source in names.items() if name != source})
    parts += [repr(special).encode()] if any(special) else []
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]

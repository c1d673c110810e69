"""Features of every frame under the frozen encoders, computed once: after that, training needs no images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from step_ros.data.array_dataset import cache_folder
from step_ros.data.prefetch import prefetched
from step_ros.data.reader import Dataset, Episode
from step_ros.policy import openvino_engine
from step_ros.policy.config import ENVIRONMENT_STATE, PolicyConfig
from step_ros.policy.engine import make_engine
from step_ros.policy.graphs import Graphs
from step_ros.policy.networks import PolicyNetworks, feature_parts
from step_ros.training.augmentation import random_shifts, shift_images

PIECES_AHEAD = 2
"""Blocks of images that are decoded before they are encoded."""


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
    frames stays true. Images are read as a stream, at the policy's size, and decoded while others are
    encoded. The result is kept in the dataset's cache folder under its digest. `report(done, total)` is
    called after every pass.
    """
    digest = _digest(networks, dataset, names, shifts, variants, seed, compiles(networks, device))
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
    encode = piece_encoder(networks, dataset, names, device)
    done, total = 0, features.shape[0] * features.shape[1]
    to_come = pieces(networks.config, dataset, names, shifts, seed, len(features))
    for piece in prefetched(to_come, PIECES_AHEAD):
        features[piece.variant, piece.start : piece.stop] = encode(piece)
        done += piece.stop - piece.start
        report(done, total)


class Piece(NamedTuple):
    """Rows [start, stop) of a dataset in one variant, and their images (n, H, W, 3) uint8 by input."""

    variant: int
    start: int
    stop: int
    images: dict[str, np.ndarray]


def piece_encoder(
    networks: PolicyNetworks, dataset: Dataset, names: Mapping[str, str], device: torch.device
) -> Callable[[Piece], np.ndarray]:
    """What makes pieces of a dataset features (n, F); arguments as for `encode_dataset`."""
    config = networks.config
    encoders = {name: frame_encoder(networks, name, device) for name in config.image_names}

    @torch.inference_mode()
    def encode(piece: Piece) -> np.ndarray:
        encoded = {name: encoders[name](frames) for name, frames in piece.images.items()}
        vectors = {
            name: torch.from_numpy(dataset.columns[names[name]][piece.start : piece.stop]).to(device)
            for name in config.vector_names
        }
        if config.environment_encoder:
            encoded[ENVIRONMENT_STATE] = networks.encode_frames(ENVIRONMENT_STATE, vectors[ENVIRONMENT_STATE])
        parts = feature_parts(config, networks.normalizer, vectors, encoded)
        return torch.cat(parts, dim=-1).cpu().numpy()

    return encode


def frame_encoder(
    networks: PolicyNetworks, name: str, device: torch.device
) -> Callable[[np.ndarray], Tensor]:
    """What makes frames (n, H, W, 3) uint8 of an image input features (n, D) on `device`; it is frozen.

    A ResNet is compiled by OpenVINO where there is no GPU, which is up to twice as fast as torch.
    """
    if not compiles(networks, device):
        return lambda frames: networks.encode_frames(name, torch.from_numpy(frames).to(device))
    engine = make_engine("openvino", networks, threads=torch.get_num_threads())
    encode = engine.compile(Graphs(networks).encode(name))
    return lambda frames: torch.from_numpy(np.concatenate([encode(frame[None]) for frame in frames]))


def compiles(networks: PolicyNetworks, device: torch.device) -> bool:
    """Whether frames are encoded by OpenVINO."""
    return networks.config.resnet is not None and device.type == "cpu" and openvino_engine.AVAILABLE


def pieces(
    config: PolicyConfig,
    dataset: Dataset,
    names: Mapping[str, str],
    shifts: Mapping[str, int],
    seed: int,
    variants: int,
) -> Iterator[Piece]:
    """A dataset in all variants, episode by episode; arguments as for `encode_dataset`."""
    generator = torch.Generator().manual_seed(seed)
    for variant in range(variants):
        for episode in dataset.episodes:
            move = {
                name: random_shifts(1, shifts[name] if variant else 0, generator)
                for name in config.image_names
            }
            start = episode.start
            for images in _blocks(config, dataset, names, episode):
                stop = start + len(next(iter(images.values()))) if images else episode.stop
                moved = {
                    name: shift_images(seen, move[name].repeat(len(seen), axis=0))
                    for name, seen in images.items()
                }
                yield Piece(variant, start, stop, moved)
                start = stop


def _blocks(
    config: PolicyConfig, dataset: Dataset, names: Mapping[str, str], episode: Episode
) -> Iterator[dict[str, np.ndarray]]:
    """An episode's images per input, some frames at a time; once nothing for a policy without cameras."""
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
    compiled: bool,
) -> str:
    parts = [repr((sorted(shifts.items()), variants, seed, dataset.num_frames)).encode()]
    for module in (networks.normalizer, networks.encoders):
        parts += [tensor.cpu().numpy().tobytes() for tensor in module.state_dict().values()]
    parts += [dataset.columns["action"].tobytes()]
    special = (networks.config.resnet, {name: source for name, source in names.items() if name != source})
    parts += [repr(special).encode()] if any(special) else []
    parts += [b"openvino"] if compiled else []
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]

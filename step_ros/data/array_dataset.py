"""Datasets of other projects as arrays, with the interface of `data.reader.Dataset`.

A format says which arrays it holds; which of them become which features is decided here: by the user's
mapping, or by the format's usual names.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from step_ros.data.episodes import Episode
from step_ros.data.errors import DatasetError
from step_ros.data.pictures import scaled, store_images
from step_ros.data.statistics import array_statistics

ACTION = "action"
IMAGES = "observation.images."
CACHE_FOLDER = ".cache"
BLOCK = 128
"""Frames that are decoded at once."""
_PART = re.compile(r"^(?P<key>[\w/.-]+?)(?:\[(?P<start>\d*):(?P<stop>\d*)\])?$")


class ArrayDataset:
    """Episodes as arrays one after the other; frames are read into memory, but images are not.

    Args:
        path: the file or folder.
        fps: frames per second; what the file says by default, which for some formats is nothing.
        features: feature -> arrays to join, such as `{"observation.state": "agent_pos,state[2:5]"}`; by
            default the usual ones.

    Attributes:
        root, fps, info, features, stats, episodes, columns: as those of `data.reader.Dataset`.

    Raises:
        DatasetError: the file cannot be read, or its parts do not fit together.
    """

    def __init__(
        self, path: Path | str, fps: float | None = None, features: Mapping[str, str] | None = None
    ) -> None:
        self.root = Path(path)
        shapes = self._open()
        lengths = self._lengths()
        ends = np.cumsum(lengths)
        if not len(ends) or min(lengths) < 1:
            raise DatasetError(self.root, "episode lengths", list(lengths)[:10], "at least one, all above 0")
        rate = fps or self._rate()
        if not rate or rate <= 0:
            raise DatasetError(self.root, "fps", rate or "nothing", "a rate above 0, given as --fps")
        self.fps = rate
        self.episodes = tuple(
            Episode(k, int(end - length), int(end), {"tasks": [self._task()]})
            for k, (end, length) in enumerate(zip(ends, lengths, strict=True))
        )
        self._parts = self._mapping(features, shapes)
        self._sizes = {key: shape for key, shape in shapes.items() if len(shape) == 3}
        self.columns = {
            name: self._column(name, parts)
            for name, parts in self._parts.items()
            if not name.startswith(IMAGES)
        }
        self.features: dict[str, dict[str, Any]] = {
            name: {"dtype": "float32", "shape": list(values.shape[1:]), "names": None}
            for name, values in self.columns.items()
        }
        for name in self._parts:
            if name.startswith(IMAGES):
                self.features[name] = {"dtype": "video", "shape": self._picture_shape(name), "names": None}
        self.stats = {
            name: {key: value.tolist() for key, value in array_statistics(values).items()}
            for name, values in self.columns.items()
        }
        self.info = {"fps": self.fps, "total_episodes": len(self.episodes), "total_frames": self.num_frames}

    @property
    def num_frames(self) -> int:
        return self.episodes[-1].stop

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the image features, `observation.images.<camera>`."""
        return tuple(name for name in self._parts if name.startswith(IMAGES))

    def frames(
        self, camera: str, episode: Episode, size: tuple[int, int] | None = None
    ) -> Iterator[np.ndarray]:
        """An episode's images in blocks (n, H, W, 3) uint8; `size` (height, width) reduces them."""
        stored = self._stored_size(camera)
        (key, _) = self._parts[camera][0]
        for start in range(0, episode.length, BLOCK):
            block = self._read(key, episode, start, min(start + BLOCK, episode.length))
            yield np.stack(list(scaled(self._pictures(camera, block), stored, size or stored, self.root)))

    def images(self, camera: str, size: tuple[int, int] | None = None) -> np.ndarray:
        """All frames of a camera, (N, H, W, 3) uint8, as a read-only memory map; `size` as for `frames`.

        The first call for a size decodes them into the cache folder, block by block.
        """
        height, width = size or self._stored_size(camera)
        shape = (self.num_frames, height, width, 3)
        path = cache_folder(self.root) / f"{camera}-{height}x{width}.npy"
        if not path.exists() or np.load(path, mmap_mode="r").shape != shape:
            self._decode(camera, shape, path)
        return np.load(path, mmap_mode="r")

    def _stored_size(self, camera: str) -> tuple[int, int]:
        if camera not in self.cameras:
            raise DatasetError(self.root, camera, "no such camera", ", ".join(self.cameras))
        height, width, _ = self.features[camera]["shape"]
        return height, width

    def _decode(self, camera: str, shape: tuple[int, ...], path: Path) -> None:
        blocks = ((episode.start, self.frames(camera, episode, shape[1:3])) for episode in self.episodes)
        store_images(path, shape, blocks)

    def _pictures(self, camera: str, block: np.ndarray) -> np.ndarray:
        """Images as stored to (T, H, W, 3) uint8: colours may come first, and floats count to 255 or to 1."""
        if block.shape[-1] != 3:
            block = np.moveaxis(block, 1, -1)
        if block.dtype == np.uint8:
            return block
        if not np.isfinite(block).all() or block.min() < 0 or block.max() > 255:
            raise DatasetError(self.root, camera, f"{block.min()} to {block.max()}", "0 to 255, or 0 to 1")
        return np.round(block * (255 if self._counts_to_one(camera) else 1)).astype(np.uint8)

    def _counts_to_one(self, camera: str) -> bool:
        """Whether the first frames of the dataset never exceed 1, which in 0 to 255 would be black."""
        (key, _) = self._parts[camera][0]
        first = self.episodes[0]
        return bool(self._read(key, first, 0, min(BLOCK, first.length)).max() <= 1.0)

    def _picture_shape(self, name: str) -> list[int]:
        parts = self._parts[name]
        shape = self._sizes.get(parts[0][0], ())
        if len(parts) != 1 or 3 not in (shape[:1] + shape[-1:]):
            raise DatasetError(self.root, name, f"{parts} of shape {shape}", "one array of colour images")
        return list(shape) if shape[-1] == 3 else [*shape[1:], shape[0]]

    def _column(self, name: str, parts: Sequence[tuple[str, slice]]) -> np.ndarray:
        """The joined arrays (N, D) float32."""
        joined = []
        for key, columns in parts:
            blocks = [self._read(key, episode, 0, episode.length) for episode in self.episodes]
            values = np.concatenate(blocks).reshape(self.num_frames, -1)[:, columns]
            joined.append(values.astype(np.float32))
        values = np.concatenate(joined, axis=1)
        if not np.isfinite(values).all():
            raise DatasetError(self.root, name, "NaN or infinity", "finite values")
        if not values.shape[1]:
            raise DatasetError(self.root, name, "no column", "at least one")
        return values

    def _mapping(
        self, given: Mapping[str, str] | None, shapes: Mapping[str, tuple[int, ...]]
    ) -> dict[str, list[tuple[str, slice]]]:
        """Feature -> arrays and their columns, from the user or by the usual names."""
        wanted = dict(given or self._usual(shapes))
        wanted.setdefault(ACTION, self._action_key())
        mapping = {}
        for name, text in wanted.items():
            mapping[name] = []
            for part in text.split(","):
                match = _PART.match(part.strip())
                if match is None or match["key"] not in shapes:
                    raise DatasetError(self.root, name, part.strip(), f"of {', '.join(sorted(shapes))}")
                ends = (int(match[end]) if match[end] else None for end in ("start", "stop"))
                mapping[name].append((match["key"], slice(*ends)))
        if len(wanted) == 1:
            listed = ", ".join(f"{key} {shape}" for key, shape in sorted(shapes.items()))
            raise DatasetError(
                self.root, "observations", listed, "a known name, or --feature observation.state=KEY[,KEY]"
            )
        return mapping

    @abstractmethod
    def _open(self) -> dict[str, tuple[int, ...]]:
        """Open the file; the shape of one frame per array."""

    @abstractmethod
    def _lengths(self) -> list[int]:
        """Frames per episode."""

    @abstractmethod
    def _rate(self) -> float | None:
        """Frames per second, if the file says so."""

    @abstractmethod
    def _task(self) -> str:
        """What the episodes show."""

    @abstractmethod
    def _action_key(self) -> str:
        """The array of actions."""

    @abstractmethod
    def _usual(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
        """The usual features among these arrays."""

    @abstractmethod
    def _read(self, key: str, episode: Episode, start: int, stop: int) -> np.ndarray:
        """Frames [start, stop) of an episode, counted from its own first."""


def cache_folder(root: Path) -> Path:
    """Where what is derived from a dataset is kept: inside its folder, or beside its file."""
    return root / CACHE_FOLDER if root.is_dir() else root.with_name(root.name + CACHE_FOLDER)

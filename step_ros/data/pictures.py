"""Images that a dataset keeps in its parquet files, as PNG or JPEG, and how images are reduced and stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from step_ros.data.errors import DatasetError


def stored_pictures(path: Path, column: str, first: int, count: int) -> Iterator[np.ndarray]:
    """Images (H, W, 3) uint8 of `count` rows of a parquet file from row `first` on, one at a time.

    Raises:
        DatasetError: the column is missing or too short, or an image cannot be decoded.
    """
    left = count
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if first >= rows:
                    first -= rows
                    continue
                for picture in _group(file, group, column):
                    if first > 0:
                        first -= 1
                    elif left > 0:
                        left -= 1
                        yield _decoded(path, column, picture)
                if left == 0:
                    return
    except FileNotFoundError as error:
        raise DatasetError(path, "file", "nothing", "a parquet file") from error
    except (pa.ArrowInvalid, KeyError) as error:
        raise DatasetError(path, column, error, "a column of images") from error
    raise DatasetError(path, column, f"{count - left} images", f"{count} images")


def _group(file: pq.ParquetFile, group: int, column: str) -> Iterator[dict[str, object]]:
    for batch in file.iter_batches(16, row_groups=[group], columns=[column]):
        yield from batch.column(column).to_pylist()


def _decoded(path: Path, column: str, picture: dict[str, object]) -> np.ndarray:
    data = picture.get("bytes")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if pixels is None:
        raise DatasetError(path, column, f"no readable image ({picture.get('path')})", "PNG or JPEG")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def scaled(
    pictures: Iterable[np.ndarray], stored: tuple[int, int], size: tuple[int, int], source: Path
) -> Iterator[np.ndarray]:
    """Images of `stored` (height, width) at `size`, by averaging areas: as a running policy's are scaled.

    Raises:
        DatasetError: an image has another size than the dataset says, or `size` is larger or of another
            aspect ratio.
    """
    if stored != size and (stored[0] * size[1] != stored[1] * size[0] or size[0] > stored[0]):
        raise DatasetError(source, "image size", stored, f"{size}, or larger with that aspect ratio")
    for picture in pictures:
        if picture.shape[:2] != stored:
            raise DatasetError(source, "image shape", picture.shape, (*stored, 3))
        yield picture if stored == size else cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)


def store_images(
    path: Path, shape: tuple[int, ...], episodes: Iterable[tuple[int, Iterable[np.ndarray]]]
) -> None:
    """Write images (N, H, W, 3) uint8 to an array file, whole or not at all.

    Args:
        episodes: first row of each episode, and its images in blocks (n, H, W, 3).
    """
    path.parent.mkdir(exist_ok=True)
    beside = path.with_name(path.name + ".part")
    images = np.lib.format.open_memmap(beside, mode="w+", dtype=np.uint8, shape=shape)
    for done, blocks in episodes:
        for block in blocks:
            images[done : done + len(block)] = block
            done += len(block)
    images.flush()
    beside.replace(path)

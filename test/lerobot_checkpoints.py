"""LeRobot checkpoints for the tests: the stored files with their weights made again, and its answers."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from safetensors.torch import load_file, save_file

FIXTURES = Path(__file__).parent / "fixtures" / "lerobot"
SEED = 20000


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"lerobot_{name}", FIXTURES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


weights, cases, recorded = _module("weights"), _module("cases"), _module("recorded")
NAMES = tuple(cases.CASES)


def stored() -> list[tuple[str, str]]:
    """(version, case) of everything that LeRobot was asked."""
    return [
        (folder.parent.name, NAMES[int(folder.name)])
        for folder in sorted(FIXTURES.glob("*/*"))
        if folder.is_dir() and folder.name.isdigit()
    ]


def has_images(case: dict[str, object]) -> bool:
    """Whether a case of `cases.py` has a camera."""
    return any(len(shape) == 3 for shape in case["features"].values())


def restore(version: str, case: str, folder: Path) -> Path:
    """Write the checkpoint of a case into `folder`, as that version of LeRobot wrote it."""
    source = FIXTURES / version / f"{NAMES.index(case):02d}"
    shutil.copytree(source, folder, dirs_exist_ok=True)
    made = weights.tensors(json.loads((source / "shapes.json").read_text()), SEED)
    tensors = {name: torch.from_numpy(value) for name, value in made.items()}
    buffers = source / "buffers.safetensors"
    save_file(tensors | (load_file(buffers) if buffers.exists() else {}), folder / "model.safetensors")
    return folder


def answer(version: str, case: str, key: str) -> np.ndarray:
    """What LeRobot computed: `condition` (To * F,) or `chunk` (Tp, A)."""
    with np.load(FIXTURES / version / "answers.npz") as answers:
        return answers[f"{NAMES.index(case):02d}/{key}"]


def observation(case: str) -> dict[str, np.ndarray]:
    """The window that LeRobot was asked with."""
    asked = cases.CASES[case]
    return weights.observation(asked["features"], asked.get("n_obs_steps", 2), SEED)

"""What runs inside a measuring process: each class is asked, by name, for what it measures.

Libraries are imported by the class that needs them, so that a process holds nothing else, and so that
`LeRobotWorker` works in an interpreter that has LeRobot but not this package's requirements.
"""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

FRAMES = 64
"""Camera frames that a worker cycles through: far more than any cache of features holds."""
IMAGE, DECODED = (480, 640), (96, 128)
"""Height and width of a camera's image, and of what a policy gets of it."""
SITUATIONS = 4
"""Made-up situations that int8 is calibrated on: enough for its time, which does not depend on them."""
SETTLED_MS = 200.0
"""Cycles at least this long leave nothing of what ran before them in the caches; shorter ones get a cycle
that is not counted first."""


class PolicyWorker:
    """A policy of this package, fed a window that moves on by one new frame per cycle."""

    def __init__(
        self, checkpoint: str, engine: str, device: str, precision: str, fuse: bool, threads: int
    ) -> None:
        began = time.perf_counter()
        from step_ros.policy.checkpoint import load_checkpoint
        from step_ros.policy.policy import Policy

        imported = time.perf_counter()
        config, networks = load_checkpoint(checkpoint)
        if engine == "torch":
            networks.to(device)
        self.policy = Policy(
            config,
            networks,
            "step",
            engine,
            threads=threads,
            precision=precision,
            fuse=fuse,
            folder=checkpoint,
        )
        del networks
        loaded = time.perf_counter()
        self.policy.warm_up()
        ready = time.perf_counter()
        self._seconds = {"import": imported - began, "load": loaded - imported, "warm_up": ready - loaded}
        self._windows = _windows(self.policy.config)
        self._warm: set[str] = set()

    def describe(self) -> dict:
        """Seconds that it took to come up, by part."""
        return {"seconds": self._seconds}

    def measure(self, method: str, settings: dict, seconds: float) -> dict:
        """Cycles of a method for so many seconds: their milliseconds by part, and what was done in them."""
        import numpy as np

        self.policy.update(method, **{**dataclasses.asdict(self.policy.config.settings()), **settings})
        case = f"{method} {settings}"
        if case not in self._warm:
            self.policy.warm_up()
            self._warm.add(case)
        config = self.policy.config
        commanded = np.zeros((config.n_action_steps, config.action_dim))
        last = None

        def cycle() -> dict[str, float]:
            nonlocal last
            last = self.policy.act(next(self._windows), commanded)
            return last.milliseconds

        cycles = _burst(cycle, seconds)
        fused = last.aux_nfe > 0 and last.nfe > 0 and all(spent["predict"] == 0.0 for spent in cycles)
        return {"cycles": cycles, "nfe": last.nfe, "aux_nfe": last.aux_nfe, "fused": fused}

    def first_cycles(self, count: int) -> dict:
        """Total milliseconds of the first warm cycles, each a tick after the one before: all of them, and not
        the first one alone, find what else a tick leaves in the processor's caches."""
        import numpy as np

        config = self.policy.config
        commanded = np.zeros((config.n_action_steps, config.action_dim))
        windows = list(itertools.islice(self._windows, count))  # making frames is not the policy's time
        total = []
        for window in windows:
            time.sleep(1.0 / config.fps)
            total.append(self.policy.act(window, commanded).milliseconds["total"])
        return {"total": total}


class DiffusersWorker:
    """The plain loop over a diffusers scheduler on the same weights, run eagerly."""

    def __init__(self, checkpoint: str) -> None:
        from step_ros.policy.checkpoint import load_checkpoint
        from step_ros.policy.peers import DiffusersLoop

        self.loop = DiffusersLoop(*load_checkpoint(checkpoint))
        self._windows = _windows(self.loop.config)

    def describe(self) -> dict:
        """Version of diffusers."""
        from importlib import metadata

        return {"version": metadata.version("diffusers")}

    def measure(self, method: str, steps: int, seconds: float) -> dict:
        """As `PolicyWorker.measure`, for "ddim" or "ddpm" over so many levels."""
        self.loop.update(method, steps)
        cycles = _burst(lambda: self.loop.act(next(self._windows))[1], seconds)
        return {"cycles": cycles, "nfe": steps, "aux_nfe": 0, "fused": False}


class LeRobotWorker:
    """LeRobot's own policy with the architecture of a checkpoint and weights of its own."""

    def __init__(self, checkpoint: str) -> None:
        from importlib import metadata

        from step_ros.policy.config import PolicyConfig
        from step_ros.policy.lerobot_peer import LeRobotLoop

        self.loop = LeRobotLoop(PolicyConfig.from_json((Path(checkpoint) / "config.json").read_text()))
        self._version = metadata.version("lerobot")

    def describe(self) -> dict:
        """Its version, and the weights of its U-Net, to be compared with ours."""
        return {"version": self._version, "parameters": self.loop.parameters}

    def measure(self, method: str, steps: int, seconds: float) -> dict:
        """As `PolicyWorker.measure`; all of the time is put under `denoise`."""
        self.loop.update(method, steps)

        def cycle() -> dict[str, float]:
            spent = self.loop.select_action()
            return {"encode": 0.0, "predict": 0.0, "denoise": spent, "post": 0.0, "total": spent}

        return {"cycles": _burst(cycle, seconds), "nfe": steps, "aux_nfe": 0, "fused": False}


class MachineWorker:
    """What depends on no engine: the machine's peaks, weights and operations of checkpoints, decoding."""

    def prepare(self, source: str, size: str, folder: str) -> dict:
        """Write an untrained checkpoint like `source` with the U-Net of `size`, or a copy of `source` itself,
        both with a made-up calibration; returns the folder to load and what its networks cost."""
        from step_ros.evaluation.latency.plan import SHIPPED, sized
        from step_ros.policy.calibration import made_up
        from step_ros.policy.checkpoint import load_checkpoint
        from step_ros.policy.compiled import FUSED_BYTES
        from step_ros.policy.config import PolicyConfig
        from step_ros.policy.cost import network_costs
        from step_ros.policy.untrained import save_untrained

        config = sized(PolicyConfig.from_json((Path(source) / "config.json").read_text()), size)
        if size == SHIPPED:
            shutil.copytree(source, folder)
        else:
            save_untrained(folder, dataclasses.replace(config, defaults={}))
        _, networks = load_checkpoint(folder)
        made_up(config, SITUATIONS).save(folder, networks)
        costs = network_costs(networks)
        parameters = sum(weight.numel() for weight in networks.denoiser.parameters())
        return {
            "checkpoint": folder,
            "down_dims": list(config.down_dims),
            "cameras": len(config.image_names),
            "n_obs_steps": config.n_obs_steps,
            "fused_steps": int(FUSED_BYTES / (4 * parameters)),
            "unet_parameters": parameters,
            "parts": {name: dataclasses.asdict(cost) for name, cost in costs.items()},
        }

    def peaks(self, device: str, footprints: dict[str, int]) -> dict:
        """By precision: GFLOP/s of products, and GB/s of reading a footprint of so many bytes."""
        from step_ros.policy.peaks import peak_gbps, peak_gflops

        return {
            precision: {
                "gflops": peak_gflops(precision, device),
                "gbps": peak_gbps(size, device),
                "footprint_bytes": size,
            }
            for precision, size in footprints.items()
        }

    def decode(self, threads: int, count: int = 5) -> dict[str, list[float]]:
        """Milliseconds from one image message to a policy's pixels, as the node does it, by encoding."""
        import cv2
        import numpy as np

        from step_ros.data.messages import image

        cv2.setNumThreads(threads)
        height, width = IMAGE
        # A photograph's frequencies, so that the JPEG has the size that a camera's would have.
        coarse = np.random.default_rng(0).integers(0, 256, (height // 16, width // 16, 3), np.uint8)
        pixels = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        messages = {
            "raw": SimpleNamespace(
                encoding="bgr8", height=height, width=width, step=3 * width, data=pixels.tobytes()
            ),
            "jpeg": SimpleNamespace(format="jpeg", data=cv2.imencode(".jpg", pixels)[1].tobytes()),
        }
        spent: dict[str, list[float]] = {}
        for kind, message in messages.items():
            image(message, *DECODED)()
            for _ in range(count):
                began = time.perf_counter()
                image(message, *DECODED)()
                spent.setdefault(kind, []).append((time.perf_counter() - began) * 1e3)
        return spent


def _burst(cycle: Callable[[], dict[str, float]], seconds: float) -> list[dict[str, float]]:
    first = cycle()
    cycles = [first] if first["total"] >= SETTLED_MS else []
    ends = time.perf_counter() + seconds
    while not cycles or time.perf_counter() < ends:
        cycles.append(cycle())
    return cycles


def _windows(config: object) -> object:
    """Endless observation windows of random frames, each one frame further on than the one before."""
    import numpy as np

    rng = np.random.default_rng(0)
    frames = {
        name: rng.integers(0, 256, (FRAMES, *shape), np.uint8)
        if name in config.image_names
        else rng.uniform(-1.0, 1.0, (FRAMES, *shape)).astype(np.float32)
        for name, shape in config.input_features.items()
    }
    for end in itertools.count():
        index = (np.arange(-config.n_obs_steps + 1, 1) + end) % FRAMES
        yield {name: values[index] for name, values in frames.items()}

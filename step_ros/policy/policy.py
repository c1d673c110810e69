"""The room's front door: a loaded checkpoint that turns observations into plans, cycle after cycle."""

from __future__ import annotations

import copy
import dataclasses
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from step_ros.policy.affine import AffineMap
from step_ros.policy.checkpoint import load_checkpoint
from step_ros.policy.compiled import CompiledNetworks
from step_ros.policy.config import ACTION, STATE, PolicyConfig
from step_ros.policy.cycle import CycleState
from step_ros.policy.engine import make_engine
from step_ros.policy.errors import ConfigError
from step_ros.policy.frame_features import FrameFeatures
from step_ros.policy.graphs import Program
from step_ros.policy.methods import METHODS, Method, usable_methods, usual_method
from step_ros.policy.networks import PolicyNetworks, feature_parts
from step_ros.policy.observation import checked_commands, checked_frame, checked_observation
from step_ros.policy.rehearsal import observations, rehearse
from step_ros.policy.settings import Settings

FRAMES_AHEAD = 6
"""Frames per camera whose features are kept beside those of one window."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """One cycle's result.

    Attributes:
        chunk: (Tp, A) float64 in data units (radians), without limits; index 0 belongs to the oldest frame.
        executed: view of `chunk` from index To-1, (action_steps, A).
        nfe, aux_nfe: evaluations of the denoiser, of the predictor.
        cold: there was no past command to start from.
        stalled: the stall rule perturbed this cycle's warm start.
        stall_distance: RMS change between the last two executed chunks, normalised; None if not measured.
        timesteps: noise levels visited.
        method: name of the method.
        milliseconds: wall time of `encode`, `predict`, `denoise`, `post` and `total`; a cycle that runs as
            one graph counts its predictor under `denoise`.
        stall_progress: share of the motion that the last cycle asked for which the joints made; None if not
            measured.
    """

    chunk: NDArray
    executed: NDArray
    nfe: int
    aux_nfe: int
    cold: bool
    stalled: bool
    stall_distance: float | None
    timesteps: tuple[int, ...]
    method: str
    milliseconds: dict[str, float]
    stall_progress: float | None = None


class Policy:
    """A checkpoint with an engine, a method, settings and the state between cycles.

    `act` and `reset` exclude each other, and `update` takes effect with the next `act`, so settings may be
    changed from another thread while a cycle runs; `prefetch` may be called from another thread at any time.
    Networks are compiled when first needed, or all of them by `warm_up`.
    """

    def __init__(
        self,
        config: PolicyConfig,
        networks: PolicyNetworks,
        method: str = "step",
        engine: str = "auto",
        seed: int = 0,
        *,
        threads: int = 1,
        precision: str = "fp32",
        fuse: bool = True,
        folder: str | Path | None = None,
        **settings: object,
    ) -> None:
        """Take the networks over; an engine may move them to its device.

        Args:
            config, networks: as `load_checkpoint` returns them.
            method: name in `METHODS`.
            engine: name in `ENGINES`.
            seed: of the sampler's noise.
            threads: CPU threads per network call.
            precision: number format of the engine's arithmetic.
            fuse: run the whole cycle as one graph, after `warm_up`, where the network is small enough; int8
                never does.
            folder: of the checkpoint; precision int8 needs its calibration.
            settings: over the checkpoint's own defaults.

        Raises:
            ConfigError: an unknown method, engine or setting, or values that do not fit.
        """
        self.config = config
        self.state = CycleState(config.n_action_steps, config.action_dim)
        chosen = config.settings(**settings)
        _method_class(config, method)
        self._normalizer = copy.deepcopy(networks.normalizer).cpu()  # the engine's stays on its device
        self._normalize = {
            name: AffineMap(self._normalizer[name], config.input_features[name][0])
            for name in config.vector_names
        }
        self._to_data_units = AffineMap(self._normalizer[ACTION].inverse, config.action_dim)
        self._engine = make_engine(engine, networks, threads=threads, precision=precision, folder=folder)
        self._networks = CompiledNetworks(networks, self._engine, fuse and precision != "int8")
        self._features = FrameFeatures(
            self._networks.encode, config.encoded_names, config.n_obs_steps + FRAMES_AHEAD
        )
        self._methods: dict[str, Method] = {}
        self._generator = torch.Generator().manual_seed(seed)
        self._lock = threading.Lock()
        self._warmed_up = False
        self._active = self._validated(method, chosen)

    @property
    def method(self) -> str:
        """Name of the method in force."""
        return self._active[0]

    @property
    def settings(self) -> Settings:
        """Settings in force."""
        return self._active[1]

    @property
    def engine(self) -> str:
        """Name of the engine that runs the networks."""
        return self._engine.name

    @property
    def precision(self) -> str:
        """Number format of the engine's arithmetic."""
        return self._engine.precision

    @property
    def action_range(self) -> tuple[NDArray, NDArray]:
        """The actions (A,) in data units that are -1 and 1 to the networks: where training data lay."""
        one = torch.ones(self.config.action_dim, dtype=torch.float64)
        inverse = self._normalizer[ACTION].inverse
        low, high = inverse(-one).numpy(), inverse(one).numpy()
        return np.minimum(low, high), np.maximum(low, high)

    @property
    def ready(self) -> bool:
        """Whether everything that the settings in force gain from is compiled."""
        return self._warmed_up and self._networks.ready(self._programs())

    def companion(self, method: str, seed: int = 0, **settings: object) -> Policy:
        """Another policy on the same compiled networks and features of frames: method, settings (over the
        checkpoint's defaults), noise and state are its own, and its `act` excludes this policy's.

        Raises:
            ConfigError: as for a new policy.
        """
        other = self._twin(seed)
        other._active = self._validated(method, self.config.settings(**settings))
        other._warmed_up = False
        self._networks.make_room()
        return other

    def update(self, method: str | None = None, **changes: object) -> None:
        """Change the method and any settings together, from the next `act`.

        After `warm_up`, a cycle that has to be compiled for the new settings is compiled in the background;
        until then the same computation runs network by network.

        Raises:
            ConfigError: and nothing has changed.
        """
        current_method, current = self._active
        self._active = self._validated(method or current_method, current.changed(**changes))
        if self._warmed_up:
            self._networks.prepare_later(self._programs())

    def prefetch(self, name: str, frame: NDArray) -> None:
        """Encode a frame (H, W, 3) uint8 of the image input `name` ahead of the cycle that will need it.

        Raises:
            ObservationError: unknown name, another shape or type.
        """
        self._features(name, checked_frame(name, frame, self.config))

    def reset(self, seed: int | None = None) -> None:
        """Forget the episode; with a seed also restart the sampler's noise."""
        with self._lock:
            self.state.reset()
            if seed is not None:
                self._generator.manual_seed(seed)

    def act(self, observation: Mapping[str, object], commanded: NDArray | None = None) -> Plan:
        """Plan the next chunk.

        Args:
            observation: arrays (To, *shape) under the names of `config.input_features`, oldest frame first;
                images uint8 HWC.
            commanded: (Ta, A) actions really sent during the last Ta ticks, in data units, oldest first, NaN
                rows before the episode's start; by default what this policy's plans meant to execute.

        Raises:
            ObservationError: the input was refused; nothing has changed.
            OutputError: a network returned NaN or infinity; nothing has changed but the known past commands.
        """
        with self._lock:
            began = time.perf_counter()
            inputs = checked_observation(observation, self.config)
            if commanded is not None:
                self.state.commanded = checked_commands(commanded, self.config)
            self.state.measured = self._joints(inputs)
            name, settings = self._active
            features = self._encode(inputs)
            encoded = time.perf_counter()
            proposal = self._methods[name].plan(features, self.state, settings, self._generator)
            planned = time.perf_counter()

            chunk = self._to_data_units(proposal.chunk)
            window = slice(self.config.n_obs_steps - 1, self.config.n_obs_steps - 1 + settings.action_steps)
            self.state.record(
                chunk[window],
                proposal.chunk[window].copy(),
                proposal.stall,
                proposal.chunk,
                proposal.latents,
            )
            return Plan(
                chunk=chunk,
                executed=chunk[window],
                nfe=proposal.nfe,
                aux_nfe=proposal.aux_nfe,
                cold=proposal.cold,
                stalled=proposal.stalled,
                stall_distance=proposal.stall_distance,
                timesteps=proposal.timesteps,
                method=name,
                milliseconds=_spent(began, encoded, planned, proposal.milliseconds),
                stall_progress=proposal.stall_progress,
            )

    def warm_up(self) -> None:
        """Compile all that the settings in force need, and every network by itself, so that no later `update`
        has to wait; then run whole cycles on made-up observations, with state and noise of their own, until
        they get no faster.

        Raises:
            OutputError: a network returned NaN or infinity.
        """
        with self._lock:
            self._networks.prepare(self._programs())
            self._warmed_up = True
        rehearse(self._twin().act, observations(self.config, self._normalizer))

    def _twin(self, seed: int = 0) -> Policy:
        """The same policy with state and noise of its own."""
        other = copy.copy(self)
        other.state = CycleState(self.config.n_action_steps, self.config.action_dim)
        other._generator = torch.Generator().manual_seed(seed)
        return other

    def _programs(self) -> tuple[Program, ...]:
        method, settings = self._active
        return self._methods[method].programs(settings)

    def _encode(self, inputs: Mapping[str, NDArray]) -> NDArray:
        """Features (1, To, F) of a checked window."""
        encoded = {
            name: np.stack([self._features(name, frame) for frame in inputs[name][0]])[None]
            for name in self.config.encoded_names
        }
        parts = feature_parts(self.config, self._normalize, inputs, encoded)
        return np.concatenate(parts, axis=-1, dtype=np.float32)

    def _joints(self, inputs: Mapping[str, NDArray]) -> NDArray | None:
        """Where the joints (A,) are, if the policy observes as many as it commands."""
        return inputs[STATE][0, -1].astype(float) if self.config.observes_joints else None

    def _validated(self, method: str, settings: Settings) -> tuple[str, Settings]:
        if method not in self._methods:
            build = _method_class(self.config, method)
            self._methods[method] = build(self.config, self._networks, self._normalizer)
        self._methods[method].check(settings)
        return method, settings


def load_policy(
    path: str | Path,
    method: str | None = None,
    engine: str = "auto",
    seed: int = 0,
    *,
    threads: int = 1,
    precision: str = "fp32",
    fuse: bool = True,
    **settings: object,
) -> Policy:
    """Load a checkpoint folder, this package's or LeRobot's; everything else as for `Policy`.

    Without a method it is the one that the checkpoint's predictor is for, or its own sampler, `native`.

    Raises:
        CheckpointError: the folder cannot be used.
        ConfigError: method, engine or a setting was refused.
    """
    config, networks = load_checkpoint(path)
    method = method or usual_method(config)
    return Policy(
        config,
        networks,
        method,
        engine,
        seed,
        threads=threads,
        precision=precision,
        fuse=fuse,
        folder=path,
        **settings,
    )


def _spent(began: float, encoded: float, planned: float, method: Mapping[str, float]) -> dict[str, float]:
    """Milliseconds by part, from times in seconds and what the method says of its own."""
    now = time.perf_counter()
    return {
        "encode": (encoded - began) * 1e3,
        "predict": 0.0,
        "denoise": 0.0,
        **method,
        "post": (now - planned) * 1e3,
        "total": (now - began) * 1e3,
    }


def _method_class(config: PolicyConfig, method: str) -> type[Method]:
    if method not in METHODS:
        raise ConfigError("method", method, "one of " + ", ".join(METHODS))
    usable = usable_methods(config)
    if method not in usable:
        found = f"a predictor of kind {config.predictor.kind}" if config.predictor else "no predictor"
        raise ConfigError("method", method, f"one of {', '.join(usable)}: this checkpoint has {found}")
    return METHODS[method]

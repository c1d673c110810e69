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

from step_ros.policy.checkpoint import load_checkpoint
from step_ros.policy.config import ACTION, PolicyConfig
from step_ros.policy.cycle import CycleState
from step_ros.policy.engine import make_engine
from step_ros.policy.errors import ConfigError
from step_ros.policy.methods import METHODS, Method
from step_ros.policy.networks import PolicyNetworks
from step_ros.policy.observation import checked_commands, checked_observation
from step_ros.policy.settings import Settings


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
        milliseconds: wall time of `encode`, `predict`, `denoise` and `total`.
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


class Policy:
    """A checkpoint with an engine, a method, settings and the state between cycles.

    `act` and `reset` exclude each other, and `update` takes effect with the next `act`, so settings may be
    changed from another thread while a cycle runs.
    """

    def __init__(
        self,
        config: PolicyConfig,
        networks: PolicyNetworks,
        method: str = "step",
        engine: str = "auto",
        seed: int = 0,
        **settings: object,
    ) -> None:
        """Raises ConfigError for an unknown method, engine or setting, or values that do not fit."""
        self.config = config
        self.state = CycleState(config.n_action_steps, config.action_dim)
        chosen = config.settings(**settings)
        _method_class(config, method)
        self._engine = make_engine(engine, networks)
        self._normalizer = copy.deepcopy(networks.normalizer).cpu()  # the engine's stays on its device
        self._methods: dict[str, Method] = {}
        self._generator = torch.Generator().manual_seed(seed)
        self._lock = threading.Lock()
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

    def update(self, method: str | None = None, **changes: object) -> None:
        """Change the method and any settings together, from the next `act`.

        Raises:
            ConfigError: and nothing has changed.
        """
        current_method, current = self._active
        self._active = self._validated(method or current_method, current.changed(**changes))

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
            name, settings = self._active
            features = self._engine.encode(inputs)
            encoded = time.perf_counter()
            proposal = self._methods[name].plan(features, self.state, settings, self._generator)

            chunk = self._normalizer[ACTION].inverse(torch.from_numpy(proposal.chunk).double()).numpy()
            window = slice(self.config.n_obs_steps - 1, self.config.n_obs_steps - 1 + settings.action_steps)
            self.state.record(chunk[window], proposal.chunk[window].copy(), proposal.still_cycles)
            spent = {
                "encode": (encoded - began) * 1e3,
                "predict": 0.0,
                "denoise": 0.0,
                **proposal.milliseconds,
            }
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
                milliseconds={**spent, "total": (time.perf_counter() - began) * 1e3},
            )

    def warm_up(self) -> None:
        """Run every network once on zeros, so that the first cycle is as fast as the others."""
        config = self.config
        observation = {
            name: np.zeros(
                (1, config.n_obs_steps, *shape), np.uint8 if name in config.image_names else np.float32
            )
            for name, shape in config.input_features.items()
        }
        with self._lock:
            features = self._engine.encode(observation)
            self._engine.denoise(np.zeros((1, config.horizon, config.action_dim), np.float32), 0, features)
            if config.predictor is not None:
                history = np.zeros((1, config.n_action_steps, config.action_dim), np.float32)
                self._engine.predict(history, np.ones((1, config.n_action_steps), bool), features)

    def _validated(self, method: str, settings: Settings) -> tuple[str, Settings]:
        if method not in self._methods:
            build = _method_class(self.config, method)
            self._methods[method] = build(self.config, self._engine, self._normalizer)
        self._methods[method].check(settings)
        return method, settings


def load_policy(
    path: str | Path, method: str = "step", engine: str = "auto", seed: int = 0, **settings: object
) -> Policy:
    """Load a checkpoint folder; `settings` go over the checkpoint's own defaults.

    Raises:
        CheckpointError: the folder cannot be used.
        ConfigError: method, engine or a setting was refused.
    """
    config, networks = load_checkpoint(path)
    return Policy(config, networks, method, engine, seed, **settings)


def _method_class(config: PolicyConfig, method: str) -> type[Method]:
    if method not in METHODS:
        raise ConfigError("method", method, "one of " + ", ".join(METHODS))
    if METHODS[method].needs_predictor and config.predictor is None:
        without = ", ".join(name for name, kind in METHODS.items() if not kind.needs_predictor)
        raise ConfigError("method", method, f"one of {without}: this checkpoint has no predictor")
    return METHODS[method]

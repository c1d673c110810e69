"""A checkpoint's networks on one engine: single graphs when first needed, whole cycles when they pay."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from numpy.typing import NDArray

from step_ros.policy.engine import Engine
from step_ros.policy.graphs import Graph, Graphs, Program
from step_ros.policy.networks import PolicyNetworks

FUSED_BYTES = 80e6
"""Most weight bytes, over all steps, in one fused cycle. The calls saved are nothing beside the time that it
takes to read more, and an engine may hold a copy of the weights for every step."""

FUSED_STEPS = 8
"""Most steps in one fused cycle; converting takes time for every one, and longer loops gain little."""

KEPT_PROGRAMS = 4
"""Whole cycles that are kept for one policy."""

Call = Callable[..., NDArray]

_log = logging.getLogger(__name__)


class CompiledNetworks:
    """The networks on NumPy arrays (`sampling.Networks`), compiled by an engine.

    Safe to use from several threads, except that one graph's calls must not overlap.
    """

    def __init__(self, networks: PolicyNetworks, engine: Engine, fuse: bool = True) -> None:
        config = networks.config
        weights = sum(tensor.numel() * tensor.element_size() for tensor in networks.denoiser.parameters())
        self.engine = engine
        self._most_steps = min(FUSED_STEPS, int(FUSED_BYTES / weights)) if fuse else 0
        self._encoded_names, self._predicts = config.encoded_names, config.predictor is not None
        self._networks: PolicyNetworks | None = networks.eval().requires_grad_(False)
        self._graphs: Graphs | None = None
        self._calls: dict[str, Call] = {}
        self._programs: dict[Program, Call] = {}
        self._kept = KEPT_PROGRAMS
        self._wanted: list[Program] = []
        self._compiling = threading.RLock()
        self._replacing = threading.Lock()
        self._background: ThreadPoolExecutor | None = None

    def encode(self, name: str, frame: NDArray) -> NDArray:
        """Features (1, D) of one frame of an input, as for `Graphs.encode`."""
        return self._call(f"encode {name}", lambda graphs: graphs.encode(name))(frame)

    def condition(self, features: NDArray) -> NDArray:
        return self._call("condition", Graphs.condition)(features)

    def denoise(self, x: NDArray, level: NDArray, condition: NDArray) -> NDArray:
        return self._call("denoise", Graphs.denoise)(x, level, condition)

    def predict(self, history: NDArray, history_mask: NDArray, features: NDArray) -> NDArray:
        return self._call("predict", Graphs.predict)(history, history_mask, features)

    def fused(self, program: Program) -> Call | None:
        """The whole cycle in one call, where it has been prepared; else None, and nothing is compiled."""
        return self._programs.get(program)

    def ready(self, programs: Iterable[Program]) -> bool:
        """Whether every one of these cycles that pays as one graph is one."""
        return not self._missing(programs)

    def make_room(self) -> None:
        """Keep as many whole cycles again, for one more policy."""
        self._kept += KEPT_PROGRAMS

    def prepare(self, programs: Iterable[Program]) -> None:
        """Compile every single graph, and these cycles where fusing pays, and run each once.

        Networks that nothing will be made from any more are let go.
        """
        with self._compiling:
            for name in self._encoded_names:
                self._call(f"encode {name}", lambda graphs, name=name: graphs.encode(name))
            self._call("condition", Graphs.condition)
            if self._predicts:
                self._call("predict", Graphs.predict)
            self._call("denoise", Graphs.denoise)
            for program in self._still_to_compile(programs):
                self._fuse(program)
            if not self._most_steps:
                self._networks = self._graphs = None

    def prepare_later(self, programs: Iterable[Program]) -> None:
        """Compile these cycles in the background, where fusing pays; an earlier wish is dropped."""
        self._wanted = self._still_to_compile(programs)
        if self._wanted:
            self._background = self._background or ThreadPoolExecutor(1, "step_ros-compile")
            self._background.submit(self._catch_up)

    def _catch_up(self) -> None:
        while self._wanted:
            program, *self._wanted = self._wanted
            try:
                with self._compiling:
                    if self._missing([program]):
                        self._fuse(program)
            except Exception:
                _log.exception("the cycle %s stays several calls: it could not be compiled", program.name)

    def _missing(self, programs: Iterable[Program]) -> list[Program]:
        fitting = [program for program in programs if program.steps <= self._most_steps]
        return [program for program in fitting if program not in self._programs]

    def _still_to_compile(self, programs: Iterable[Program]) -> list[Program]:
        """What is missing of `programs`; the others become the last to be dropped."""
        programs = list(programs)
        with self._replacing:
            there = {program: self._programs[program] for program in programs if program in self._programs}
            rest = {program: call for program, call in self._programs.items() if program not in there}
            self._programs = {**rest, **there}
        return self._missing(programs)

    def _fuse(self, program: Program) -> None:
        call = self._compile(self._all_graphs().cycle(program))
        with self._replacing:
            # As a whole: `act` reads it from another thread.
            latest = list(self._programs.items())[1 - self._kept :]
            self._programs = {**dict(latest), program: call}

    def _call(self, key: str, make: Callable[[Graphs], Graph]) -> Call:
        call = self._calls.get(key)
        if call is None:
            with self._compiling:
                call = self._calls.get(key) or self._compile(make(self._all_graphs()))
                self._calls[key] = call
        return call

    def _compile(self, graph: Graph) -> Call:
        call = self.engine.compile(graph)
        call(*(tensor.numpy() for tensor in graph.example))
        return call

    def _all_graphs(self) -> Graphs:
        if self._graphs is None:
            self._graphs = Graphs(self._networks)
        return self._graphs

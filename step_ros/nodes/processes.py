"""Nodes as processes: started together, watched, and ended in good order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

STOP_SECONDS = 15.0
"""How long a node may take to end after it was asked to."""
SHOWN_LINES = 15


class NodeDiedError(Exception):
    """A node ended although it should run; the message ends with the last lines of its log."""


class NodeProcesses:
    """Runs modules of this package as node processes, as a context manager.

    On leaving, each is asked to end as by Ctrl-C, the last one started first, and killed if it does not.
    Inside, SIGTERM unwinds this process like Ctrl-C does, so that no node is left behind.

    Args:
        logs: folder for what they print, one file per node.
        environment: environment of the processes; this one's by default.
    """

    def __init__(self, logs: Path, environment: Mapping[str, str] | None = None):
        self._logs = logs
        self._environment = dict(environment or os.environ)
        self._running: dict[str, subprocess.Popen] = {}

    def start(self, module: str, *arguments: str) -> None:
        """Start `step_ros.nodes.<module>` with arguments after `--ros-args`."""
        self._logs.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", f"step_ros.nodes.{module}", "--ros-args", *arguments]
        with self._log(module).open("wb") as log:
            # A session of its own: Ctrl-C in the terminal is the parent's, who ends its nodes in order.
            self._running[module] = subprocess.Popen(
                command, stdout=log, stderr=log, env=self._environment, start_new_session=True
            )

    def pid(self, module: str) -> int:
        """Process id of a node that was started."""
        return self._running[module].pid

    def check(self) -> None:
        """Raise NodeDiedError if a node has ended."""
        for module, process in self._running.items():
            if process.poll() is not None:
                lines = self._log(module).read_text(errors="replace").splitlines()[-SHOWN_LINES:]
                raise NodeDiedError(
                    f"{module} ended with status {process.returncode}; the end of {self._log(module)}:\n"
                    + "\n".join(f"    {line}" for line in lines)
                )

    def stop(self) -> None:
        """End all nodes, the last one started first."""
        while self._running:
            _, process = self._running.popitem()
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _log(self, module: str) -> Path:
        return self._logs / f"{module}.log"

    def __enter__(self) -> NodeProcesses:
        self._old_handler = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        signal.signal(signal.SIGTERM, self._old_handler)

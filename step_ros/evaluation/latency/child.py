"""One measured thing in a process of its own, asked over a pipe: its memory and its caches are its alone.

Run as `python -m step_ros.evaluation.latency.child` it reads requests, one JSON object a line, and answers
each with one line. `Child` is the other end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from step_ros.evaluation.latency.plan import package_root

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class ChildError(Exception):
    """A measuring process ended, or could not do what it was asked."""


class RefusedError(ChildError):
    """The package refused what was asked, with a reason: an engine that is not installed, say."""


class Child:
    """A measuring process; a context manager that ends it.

    Args:
        worker: name of a class in `workers`.
        threads: of every numerical library in it.
        arguments: of the worker.
        python: its interpreter.
        environment: more variables for it.

    Raises:
        RefusedError, ChildError: the worker could not be made.
    """

    def __init__(
        self,
        worker: str,
        threads: int,
        arguments: Mapping[str, object] | None = None,
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        paths = [str(package_root()), *filter(None, [os.environ.get("PYTHONPATH")])]
        variables = {**os.environ, **(environment or {}), "PYTHONPATH": os.pathsep.join(paths)}
        variables |= dict.fromkeys(THREAD_VARIABLES, str(threads))
        self._python = python
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by `close`)
        try:
            self._process = subprocess.Popen(
                [python, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=variables,
                text=True,
            )
        except OSError as error:
            self._errors.close()
            raise ChildError(f"{python} cannot be started: {error}") from error
        try:
            self.ready = self.ask("make", worker=worker, arguments=arguments or {})
        except BaseException:
            self.close()
            raise

    def ask(self, request: str, **arguments: object) -> dict:
        """Call a method of the worker and wait for what it returns.

        Raises:
            RefusedError, ChildError: with what the process said.
        """
        try:
            self._process.stdin.write(json.dumps({"request": request, **arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._errors.seek(0)
            last = self._errors.read().strip().splitlines()[-1:] or ["nothing"]
            code = self._process.wait()
            raise ChildError(f"a measuring process ({self._python}) ended with code {code}: {last[0]}")
        answer = json.loads(line)
        if "refused" in answer:
            raise RefusedError(answer["refused"])
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def memory() -> dict[str, float]:
    """Resident memory of this process in MiB, now and at its highest."""
    kibibytes = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "VmHWM"):
            kibibytes[name] = int(value.split()[0])
    return {"resident_mib": kibibytes["VmRSS"] / 1024, "peak_mib": kibibytes["VmHWM"] / 1024}


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer requests until there are no more; what is not a refusal ends the process."""
    worker: object = None
    for line in requests:
        arguments = json.loads(line)
        request = arguments.pop("request")
        try:
            if request == "make":
                worker, answer = _make(**arguments)
            elif request == "memory":
                answer = memory()
            else:
                answer = getattr(worker, request)(**arguments)
        except Exception as error:
            if not type(error).__module__.startswith("step_ros."):
                raise
            answer = {"refused": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _make(worker: str, arguments: dict) -> tuple[object, dict]:
    from step_ros.evaluation.latency import workers

    before = memory()
    began = time.perf_counter()
    made = getattr(workers, worker)(**arguments)
    return made, {"seconds": time.perf_counter() - began, "before": before, **memory()}


if __name__ == "__main__":
    # What libraries print must not come between the answers.
    own = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(sys.stdin, own)

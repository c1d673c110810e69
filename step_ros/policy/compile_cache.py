"""Compiled graphs on disk, so that only the first start of a policy on a machine pays for compiling.

One file per graph, `<key>.blob`: the engine's own bytes and then a digest of key and bytes. The key covers
all that the bytes depend on, so an entry is never out of date; whatever does not match its digest, or the
engine refuses, is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import mmap
import os
import platform
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch

from step_ros.policy.networks import PolicyNetworks

FOLDER_VARIABLE = "STEP_ROS_CACHE"
LARGEST_FOLDER = 6e9
"""Bytes; beyond this the entries that have not been used for longest are deleted."""
_DIGEST_SIZE = 32

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """$STEP_ROS_CACHE, else step_ros in the user's cache folder."""
    if os.environ.get(FOLDER_VARIABLE):
        return Path(os.environ[FOLDER_VARIABLE])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "step_ros"


class CompileCache:
    """Compiled graphs of one checkpoint. Without a usable folder it keeps nothing and says so once."""

    def __init__(self, networks: PolicyNetworks, folder: str | Path | None = None) -> None:
        """Read all weights once; `folder` is `cache_folder()` unless given."""
        self.folder = Path(folder) if folder else cache_folder()
        self._checkpoint = fingerprint(networks)
        self._usable = True

    def key(self, graph: str, **options: object) -> str:
        """Name of an entry: checkpoint, graph, this package's code, the processor, and what the engine adds
        (its version and every option)."""
        parts = (self._checkpoint, graph, _code(), _processor(), sorted(options.items()))
        return hashlib.blake2b(repr(parts).encode(), digest_size=_DIGEST_SIZE).hexdigest()

    def load(self, key: str) -> MappedBlob | None:
        """The entry mapped into memory, or None where there is none that can be trusted."""
        path = self._path(key)
        try:
            blob = MappedBlob(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            _log.warning("%s: cannot be read (%s); compiling again", path, error)
            return None
        if blob.digest != _digest(key, blob.content.data):
            _log.warning("%s: damaged; compiling again", path)
            return None
        with contextlib.suppress(OSError):  # a folder that may only be read keeps its times
            os.utime(path)
        return blob

    def store(self, key: str, write: Callable[[io.BytesIO], None]) -> bool:
        """Keep what `write` puts into the stream it is given; False where the folder cannot be written."""
        if not self._usable:
            return False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor, partial = tempfile.mkstemp(".partial", dir=self.folder)
            try:
                with os.fdopen(descriptor, "w+b") as file:
                    write(_Stream(file))
                    file.flush()
                    with contextlib.closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as content:
                        digest = _digest(key, content)
                    file.seek(0, io.SEEK_END)
                    file.write(digest)
                Path(partial).replace(self._path(key))
            except BaseException:
                Path(partial).unlink(missing_ok=True)
                raise
            self._prune()
        except OSError as error:
            self._usable = False
            _log.warning("%s: cannot keep compiled networks (%s); every start compiles", self.folder, error)
        return self._usable

    def discard(self, key: str, reason: object) -> None:
        """Give up an entry that the engine refused."""
        _log.warning("%s: refused (%s); compiling again", self._path(key), reason)
        with contextlib.suppress(OSError):  # it is written over in any case, where that can be done
            self._path(key).unlink()

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.blob"

    def _prune(self) -> None:
        """Delete what was not used for longest, left-overs of interrupted writes among it."""
        entries = []
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process prunes, too
                entries.append((path.stat().st_mtime, path.stat().st_size, path))
        total = 0
        for index, (_, size, path) in enumerate(sorted(entries, reverse=True)):
            total += size
            if total > LARGEST_FOLDER and index > 0:
                path.unlink(missing_ok=True)


class MappedBlob:
    """An entry's bytes, read from the file when touched; private, so that nobody can write through them."""

    def __init__(self, path: Path) -> None:
        """Raises OSError or ValueError for a file that is absent, unreadable or too short."""
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        if len(self._map) <= _DIGEST_SIZE:
            raise ValueError("too short")
        array = np.frombuffer(self._map, np.uint8)
        self.content = array[:-_DIGEST_SIZE]
        self.digest = array[-_DIGEST_SIZE:].tobytes()

    def release_pages(self) -> None:
        """Let the system take the memory back; what is touched again is read from the file again."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


class _Stream(io.BytesIO):
    """A file as a BytesIO, for OpenVINO, which accepts nothing else and moves about in it while it writes."""

    def __init__(self, file: io.BufferedRandom) -> None:
        super().__init__()
        self.write, self.seek, self.tell, self.flush = file.write, file.seek, file.tell, file.flush


def fingerprint(networks: PolicyNetworks) -> str:
    """Identifies configuration and weights."""
    digest = hashlib.blake2b(networks.config.to_json().encode(), digest_size=_DIGEST_SIZE)
    for name, tensor in sorted(networks.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _digest(key: str, content: memoryview | mmap.mmap) -> bytes:
    hasher = hashlib.blake2b(key.encode(), digest_size=_DIGEST_SIZE)
    hasher.update(content)
    return hasher.digest()


@cache
def _code() -> str:
    """Identifies this room's code, which graphs are traced from."""
    digest = hashlib.blake2b(digest_size=_DIGEST_SIZE)
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def _processor() -> str:
    """Name and instruction sets of the processor, which engines generate code for."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor()
    return "\n".join(line for line in lines if line.startswith(("model name", "flags", "Features")))

"""The cache of compiled graphs: found again, never trusted when stale, cut short or tampered with."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from policy_helpers import graph_inputs, tiny_config, tiny_networks

from step_ros.policy import compile_cache, openvino_engine
from step_ros.policy.compile_cache import CompileCache, cache_folder
from step_ros.policy.graphs import Graphs
from step_ros.policy.openvino_engine import OpenVinoEngine

needs_openvino = pytest.mark.skipif(not openvino_engine.AVAILABLE, reason="openvino is not installed")
CONTENT = b"compiled" * 100


def cache_in(folder: Path, seed: int = 0) -> CompileCache:
    return CompileCache(tiny_networks(seed=seed), folder)


def stored(folder: Path) -> tuple[CompileCache, str, Path]:
    """A cache with one entry, its key and its file."""
    cache = cache_in(folder)
    key = cache.key("denoise", threads=1)
    assert cache.store(key, lambda stream: stream.write(CONTENT))
    (file,) = folder.iterdir()
    return cache, key, file


def flip(file: Path, index: int) -> None:
    content = bytearray(file.read_bytes())
    content[index] ^= 1
    file.write_bytes(content)


def test_what_was_stored_is_found_again(tmp_path: Path) -> None:
    cache, key, _ = stored(tmp_path)
    assert cache.load(key).content.tobytes() == CONTENT
    assert cache_in(tmp_path).load(key).content.tobytes() == CONTENT


def test_other_weights_graphs_and_options_have_other_keys(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    keys = {
        cache.key("denoise", threads=1),
        cache.key("predict", threads=1),
        cache.key("denoise", threads=2),
        cache_in(tmp_path, seed=1).key("denoise", threads=1),
        CompileCache(tiny_networks(tiny_config(clip_sample=2.0)), tmp_path).key("denoise", threads=1),
    }
    assert len(keys) == 5 and cache_in(tmp_path).key("denoise", threads=1) in keys


def test_another_version_of_this_package_has_other_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = cache_in(tmp_path)
    before = cache.key("denoise")
    monkeypatch.setattr(compile_cache, "_code", lambda: "other code")
    assert cache.key("denoise") != before


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: flip(file, 0),
        lambda file: flip(file, -1),
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(b"short"),
        lambda file: file.write_bytes(b""),
    ],
    ids=["first byte", "digest", "cut short", "shorter than a digest", "empty"],
)
def test_a_damaged_entry_is_not_trusted_and_can_be_written_over(
    tmp_path: Path, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    cache, key, file = stored(tmp_path)
    damage(file)
    assert cache.load(key) is None and str(file) in caplog.text
    assert cache.store(key, lambda stream: stream.write(CONTENT))
    assert cache.load(key).content.tobytes() == CONTENT


def test_an_entry_under_another_entrys_name_is_not_trusted(tmp_path: Path) -> None:
    cache, _, file = stored(tmp_path)
    other = cache.key("denoise", threads=2)
    file.rename(file.with_name(f"{other}.blob"))
    assert cache.load(other) is None


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)

    def write(stream: object) -> None:
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        cache.store(cache.key("denoise"), write)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = cache_in(tmp_path / "file" / "cache")
    for _ in range(2):
        assert not cache.store(cache.key("denoise"), lambda stream: stream.write(CONTENT))
    assert caplog.text.count("every start compiles") == 1


def test_the_oldest_entries_go_when_the_folder_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, first, file = stored(tmp_path)
    monkeypatch.setattr(compile_cache, "LARGEST_FOLDER", 1.5 * file.stat().st_size)
    second = cache.key("predict")
    assert cache.store(second, lambda stream: stream.write(CONTENT))
    assert cache.load(first) is None and cache.load(second) is not None


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STEP_ROS_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("STEP_ROS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "step_ros"


@needs_openvino
def test_openvino_compiles_once_and_gives_the_same_numbers_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = tiny_networks().requires_grad_(False)
    graph = Graphs(networks).condition()
    arrays = graph_inputs(graph)
    first = OpenVinoEngine(cache=CompileCache(networks, tmp_path)).compile(graph)(*arrays)
    monkeypatch.setattr(openvino_engine, "_convert", lambda *_: pytest.fail("converted again"))
    again = OpenVinoEngine(cache=CompileCache(networks, tmp_path)).compile(graph)(*arrays)
    np.testing.assert_array_equal(again, first)
    np.testing.assert_allclose(first, graph.function(*map(torch.from_numpy, arrays)).numpy(), atol=1e-5)


@needs_openvino
def test_an_entry_that_openvino_refuses_is_compiled_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The digest is right, the content is not: what an engine of another build may have left."""
    networks = tiny_networks().requires_grad_(False)
    graph = Graphs(networks).condition()
    expected = OpenVinoEngine(cache=CompileCache(networks, tmp_path)).compile(graph)(*graph_inputs(graph))
    (file,) = tmp_path.iterdir()
    digest = hashlib.blake2b(file.stem.encode() + CONTENT, digest_size=32).digest()
    file.write_bytes(CONTENT + digest)
    with caplog.at_level(logging.WARNING):
        found = OpenVinoEngine(cache=CompileCache(networks, tmp_path)).compile(graph)(*graph_inputs(graph))
    assert "refused" in caplog.text and file.stat().st_size > len(CONTENT) + 32
    np.testing.assert_array_equal(found, expected)


@needs_openvino
def test_openvino_works_without_a_usable_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    networks = tiny_networks().requires_grad_(False)
    graph = Graphs(networks).condition()
    engine = OpenVinoEngine(cache=CompileCache(networks, tmp_path / "file" / "cache"))
    assert engine.compile(graph)(*graph_inputs(graph)).shape == tuple(graph.function(*graph.example).shape)

"""What this machine can do at best: arithmetic and reading of memory, measured with several kernels.

The best of them is the peak; a physical limit computed from it is never above what the machine can reach.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}
_MATRIX_SIDES = {"cpu": (256, 512, 1024), "cuda": (1024, 4096, 8192)}
_REPEATS = 3


def peak_gflops(precision: str = "fp32", device: str = "cpu") -> float:
    """Billions of operations per second (a multiply-add is two) with torch's present number of threads:
    the best of square matrix products of several sizes and, but for int8, a convolution."""
    products = _products(_DTYPES[precision], torch.device(device))
    return max(flops / _fastest(function, torch.device(device)) / 1e9 for function, flops in products)


def peak_gbps(footprint: int, device: str = "cpu") -> float:
    """Billions of bytes per second at which `footprint` bytes are read over and over with torch's present
    number of threads: the best of several reductions."""
    columns = 1024
    rows = max(1, footprint // (4 * columns))
    matrix = torch.ones(rows, columns, device=device)
    vector, weights = matrix.view(-1), torch.ones(columns, device=device)
    kernels: tuple[Callable[[], object], ...] = (
        lambda: vector.sum(),
        lambda: vector.amax(),
        lambda: torch.dot(vector, vector),
        lambda: torch.mv(matrix, weights),
    )
    return max(4 * vector.numel() / _fastest(kernel, torch.device(device)) / 1e9 for kernel in kernels)


def _products(dtype: torch.dtype, device: torch.device) -> Iterator[tuple[Callable[[], Tensor], int]]:
    multiply = torch._int_mm if dtype == torch.int8 else torch.mm
    for side in _MATRIX_SIDES[device.type]:
        a, b = (torch.ones((side, side), dtype=dtype, device=device) for _ in range(2))
        yield lambda a=a, b=b: multiply(a, b), 2 * side**3
    if dtype == torch.int8:
        return  # torch has no such convolution
    channels, size = 128, 28
    images = torch.full((4, channels, size, size), 0.5, dtype=dtype, device=device)
    images = images.to(memory_format=torch.channels_last)
    kernel = torch.full((channels, channels, 3, 3), 0.5, dtype=dtype, device=device)
    yield (
        lambda: functional.conv2d(images, kernel, padding=1),
        2 * images.numel() * channels * 9,
    )


def _fastest(function: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of several calls, after one that is not timed; short calls are repeated for a
    hundredth of a second."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    with torch.inference_mode():
        function()
        wait()
        best, spent, calls = float("inf"), 0.0, 0
        while calls < _REPEATS or spent < 0.01:
            began = time.perf_counter()
            function()
            wait()
            took = time.perf_counter() - began
            best, spent, calls = min(best, took), spent + took, calls + 1
    return best

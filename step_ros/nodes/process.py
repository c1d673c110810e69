"""Settings of a node's own process that images of a megabyte ask for."""

from __future__ import annotations

import ctypes

import cv2

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""From <malloc.h>."""
_KEPT_BYTES = 256 * 2**20
_LARGEST_BLOCK = 32 * 2**20


def prepare_for_images() -> None:
    """Keep freed memory for the next image, and resize on the thread that asks.

    By default glibc gives a block of an image's size back to the kernel when it is freed, and every message
    pays for fresh pages several times over: with 640 x 480 colour images that was most of what taking one
    cost (measured: 1.8 ms, 0.65 ms without). OpenCV's own threads gain nothing at such sizes and wait for
    cores that the networks use. Without glibc the first part does not apply and is left out.
    """
    cv2.setNumThreads(1)
    tune = getattr(ctypes.CDLL(None), "mallopt", None)
    if tune is not None:
        tune(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)
        tune(_M_TRIM_THRESHOLD, _KEPT_BYTES)

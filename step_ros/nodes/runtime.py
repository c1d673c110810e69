"""How a node's process lives: start, spin, stop in good order on Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

_WAKE_PERIOD = 0.2
"""Seconds between two looks at whether to stop."""


def run(create: Callable[[], Node], args: list[str] | None = None) -> int:
    """Create a node and spin it until the process is asked to stop; returns the exit status.

    Signals are handled here and not by rclpy, whose handler closes the middleware at once: a node that is
    still to tell the arm to hold could not. `destroy_node` is called with the middleware still open.
    A parameter that the node cannot take ends the process with the reason and status 1.
    """
    stop = threading.Event()
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        try:
            node = create()
        except ParameterException as error:
            print(f"node cannot start: {error}", file=sys.stderr)
            return 1
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while not stop.is_set():
            executor.spin_once(timeout_sec=_WAKE_PERIOD)
        executor.shutdown()
        node.destroy_node()
        return 0
    finally:
        rclpy.try_shutdown()

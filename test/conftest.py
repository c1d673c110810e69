"""What every test runs under: its own ROS domain, off the network, one thread, no display."""

from __future__ import annotations

import os
import signal
import socket
import tempfile

DOMAINS = range(1, 102)
"""Domain 0 is everyone's default; above 101 the ports of DDS meet Linux's ephemeral ones."""


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in a shell's background: interrupts would be lost.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _claim_domain() -> tuple[int, socket.socket]:
    """A ROS domain that no other test run on this machine uses, held as long as the returned socket lives.

    An abstract socket is taken by one process at a time, leaves no file, and is gone with the process.
    """
    for domain in DOMAINS:
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claim.bind(f"\0step_ros_test_domain_{domain}")
        except OSError:
            claim.close()
            continue
        return domain, claim
    raise RuntimeError(f"all ROS domains from {DOMAINS[0]} to {DOMAINS[-1]} are in use by test runs")


# At import, before any test module imports rclpy, mujoco or torch. No test may reach a robot on the network.
_domain, _claim = _claim_domain()
os.environ["ROS_DOMAIN_ID"] = str(_domain)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ.setdefault("MUJOCO_GL", "egl")
os.environ["OMP_NUM_THREADS"] = "1"

# Compiled networks go to a folder of this run, which its worker processes and those that tests start share.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _cache = tempfile.TemporaryDirectory(prefix="step_ros_test_cache_")
    os.environ["STEP_ROS_CACHE"] = _cache.name

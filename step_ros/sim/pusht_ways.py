"""Ways for the agent of Push-T around the block, clockwise or counterclockwise, without touching it."""

from __future__ import annotations

import numpy as np
import shapely
from shapely.geometry import LineString, Point, Polygon

from step_ros.sim.pusht_table import AGENT_RADIUS, clipped

BERTH = 14.0
"""How far (pixels) beyond touching the agent keeps from the block: it cuts corners."""
LEAST_BERTH = 2.0
"""The same where a wall leaves no more room."""
_RING_SPACING = 12.0


def way_around(outline: Polygon, start: np.ndarray, end: np.ndarray, turn: int) -> np.ndarray | None:
    """Corner points (n, 2) of a way from `start` to `end` that goes round the block in one sense.

    Args:
        outline: the block, where it lies on the table.
        start, end: positions (2,) of the agent; the end may be in a corner of the block.
        turn: +1 for growing angles about the block (clockwise as seen, since y points down), -1 for falling.

    Returns:
        The way with `start` left out and `end` included; None where walls or the block are in the way.
    """
    ring = _ring(outline)
    if turn < 0:
        ring = ring[::-1]
    entry = int(np.linalg.norm(ring - start, axis=1).argmin())
    leave = int(np.linalg.norm(ring - end, axis=1).argmin())
    steps = (leave - entry) % len(ring)
    # A step back along the ring is the same place, not a whole turn.
    if steps > len(ring) - 3:
        steps = 0
    along = clipped(ring[(entry + np.arange(steps + 1)) % len(ring)])
    if shapely.distance(outline, shapely.points(along)).min() < AGENT_RADIUS + LEAST_BERTH:
        return None
    way = _shortened(np.vstack([start, along, end]), outline.buffer(AGENT_RADIUS + BERTH / 2))
    return way[1:]


def way_out(outline: Polygon, start: np.ndarray) -> np.ndarray:
    """The way (1, 2) from `start` to the nearest place beside the block with room around it."""
    ring = clipped(_ring(outline))
    room = shapely.distance(outline, shapely.points(ring)) > AGENT_RADIUS + LEAST_BERTH
    candidates = ring[room] if room.any() else ring
    return candidates[[np.linalg.norm(candidates - start, axis=1).argmin()]]


def length(start: np.ndarray, way: np.ndarray) -> float:
    """Length of a way that begins at `start`."""
    return float(np.linalg.norm(np.diff(np.vstack([start, way]), axis=0), axis=1).sum())


def _ring(outline: Polygon) -> np.ndarray:
    """Points (n, 2) once round the block at a distance, in the sense of growing angles."""
    around: Polygon = outline.convex_hull.buffer(AGENT_RADIUS + BERTH)
    count = max(8, int(around.exterior.length / _RING_SPACING))
    points = shapely.line_interpolate_point(around.exterior, np.arange(count) / count, normalized=True)
    ring = shapely.get_coordinates(points)
    return ring if around.exterior.is_ccw else ring[::-1]


def _shortened(points: np.ndarray, keep_out: Polygon) -> np.ndarray:
    """Leave out points where a straight line past the block is free; the last one may be close to it."""
    kept, here = [0], 0
    while here < len(points) - 1:
        ahead = here + 1
        # Only short cuts over consecutive free points keep the sense of turning.
        while ahead + 1 < len(points) - 1 and _free(points[here], points[ahead + 1], keep_out):
            ahead += 1
        kept.append(ahead)
        here = ahead
    return points[kept]


def _free(a: np.ndarray, b: np.ndarray, keep_out: Polygon) -> bool:
    if keep_out.contains(Point(a)):
        return False
    return not keep_out.intersects(LineString([a, b]))

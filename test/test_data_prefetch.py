"""Reading ahead changes when things are made, and nothing else."""

from __future__ import annotations

import threading

import pytest

from step_ros.data.prefetch import prefetched


def test_items_come_in_order_and_all_of_them() -> None:
    assert list(prefetched(range(100), 3)) == list(range(100))


def test_what_fails_while_reading_ahead_is_raised_where_it_is_used() -> None:
    def items():
        yield 1
        raise ValueError("the file ends here")

    taken = prefetched(items(), 2)
    assert next(taken) == 1
    with pytest.raises(ValueError, match="ends here"):
        next(taken)


def test_no_more_is_read_than_asked_for_and_who_stops_early_leaves_no_thread() -> None:
    made = []
    taken = prefetched((made.append(k) or k for k in range(1000)), 2)
    assert next(taken) == 0
    taken.close()
    assert len(made) <= 5
    assert all(thread.name != "prefetch" for thread in threading.enumerate())

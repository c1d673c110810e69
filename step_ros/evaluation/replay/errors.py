"""What can be wrong with a replay besides the bag and the policy."""

from __future__ import annotations


class ReplayError(Exception):
    """A replay cannot be run, compared or judged; says what was found and what is accepted."""

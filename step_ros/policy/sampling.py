"""The algorithms themselves: a chunk from noise, from a perturbed chunk that is given, or from one that is
predicted first (STEP, Algorithm 1).

The same two functions run on NumPy arrays with compiled networks, one call per network, and on tensors when
an engine traces the whole cycle into one graph.
"""

from __future__ import annotations

from typing import Protocol

from step_ros.policy.solvers import Array, walk


class Networks(Protocol):
    """What sampling asks of the networks; all arrays have a leading batch dimension of 1."""

    def condition(self, features: Array) -> Array:
        """Features (1, To, F) -> what the denoiser takes from them, (1, S)."""
        ...

    def denoise(self, x: Array, level: Array, condition: Array) -> Array:
        """Noisy chunk (1, Tp, A) at one level (1,) -> network output (1, Tp, A)."""
        ...

    def predict(self, history: Array, history_mask: Array, features: Array) -> Array:
        """History (1, H, W) and mask (1, H) bool, of the predictor's kind -> chunk (1, Tp, A) normalised."""
        ...


def sample(
    networks: Networks,
    features: Array,
    noise: Array,
    levels: Array,
    table: Array,
    given: Array,
    factors: Array,
) -> tuple[Array, list[Array]]:
    """Walk from factors[0] given + factors[1] noise[0] to a clean chunk.

    Args:
        networks: on arrays or on tensors, like everything else.
        features: (1, To, F).
        noise: (K, 1, Tp, A) unit noise: the start's, then what is added after each step but the last.
        levels: (K, 1) decreasing noise levels.
        table: (K, 8) from `solver_table`.
        given: (1, Tp, A) normalised chunk that the start is made from.
        factors: (2,), (0, 1) for a start from noise alone.

    Returns:
        The chunk (1, Tp, A) and the denoiser's output at each level.
    """
    condition = networks.condition(features)
    start = factors[0] * given + factors[1] * noise[0]
    return walk(lambda x, level: networks.denoise(x, level, condition), start, levels, table, noise[1:])


def warm_sample(
    networks: Networks,
    features: Array,
    noise: Array,
    levels: Array,
    table: Array,
    history: Array,
    history_mask: Array,
    factors: Array,
) -> tuple[Array, Array, list[Array]]:
    """The same with what the predictor makes of `history` as the chunk that is given.

    Returns:
        The chunk (1, Tp, A), the prediction it started from, and the denoiser's output at each level.
    """
    predicted = networks.predict(history, history_mask, features)
    chunk, outputs = sample(networks, features, noise, levels, table, predicted, factors)
    return chunk, predicted, outputs

"""Rehearsal before the first cycle: what it shows the policy, when it ends, what it leaves alone."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from policy_helpers import STATE, TOP, observation, tiny_config, tiny_networks

from step_ros.policy import rehearsal
from step_ros.policy.errors import OutputError
from step_ros.policy.observation import checked_observation
from step_ros.policy.policy import Policy
from step_ros.policy.rehearsal import FEWEST, MOST, observations, rehearse

NOTHING: dict[str, np.ndarray] = {}


def timed(monkeypatch: pytest.MonkeyPatch, seconds: list[float]) -> int:
    """How many cycles a rehearsal takes when they last so long, the last of them for ever."""
    clock, durations = [0.0], itertools.chain(seconds, itertools.repeat(seconds[-1]))
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def cycle(_: object) -> None:
        clock[0] += next(durations)

    return rehearse(cycle, itertools.repeat(NOTHING))


def test_windows_are_accepted_and_move_on_by_one_new_frame() -> None:
    config, networks = tiny_config(), tiny_networks()
    first, second = itertools.islice(observations(config, networks.normalizer), 2)
    assert set(checked_observation(first, config)) == {STATE, TOP}
    np.testing.assert_array_equal(second[TOP][0], first[TOP][1])
    assert (second[TOP][1] != second[TOP][0]).any()


def test_vectors_are_in_the_middle_of_the_datas_range() -> None:
    networks = tiny_networks()
    window = next(observations(tiny_config(), networks.normalizer))
    np.testing.assert_allclose(window[STATE], [[0.0, 0.0, 0.5]] * 2)


def test_it_ends_when_cycles_get_no_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    assert timed(monkeypatch, [1e-3]) == FEWEST
    assert timed(monkeypatch, [4e-3, 3e-3, 2e-3, 1e-3]) == 4 + rehearsal.IN_A_ROW


def test_it_ends_even_if_every_cycle_is_faster_than_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    assert timed(monkeypatch, [1e-2 * 0.9**index for index in range(40)]) == MOST


def test_long_cycles_are_run_the_fewest_times(monkeypatch: pytest.MonkeyPatch) -> None:
    assert timed(monkeypatch, [9.0, 8.0, 7.0, 6.0, 5.0, 4.0]) == FEWEST


def test_warming_up_runs_cold_and_warm_cycles_and_leaves_the_policy_as_it_was() -> None:
    policy = Policy(tiny_config(), tiny_networks(), "step", "torch", seed=2, fuse=False)
    asked: list[str] = []
    for name in ("predict", "denoise"):
        call = getattr(policy._networks, name)
        setattr(policy._networks, name, lambda *a, name=name, call=call: (asked.append(name), call(*a))[1])
    policy.warm_up()
    assert asked[:10] == ["denoise"] * 10 and asked.count("predict") >= FEWEST - 1
    assert policy.state.cycles == 0 and policy.state.previous is None
    plain = Policy(tiny_config(), tiny_networks(), "step", "torch", seed=2)
    np.testing.assert_allclose(policy.act(observation()).chunk, plain.act(observation()).chunk, atol=1e-6)


def test_a_network_that_returns_nan_is_found_while_warming_up() -> None:
    policy = Policy(tiny_config(), tiny_networks(), "step", "torch", fuse=False)
    policy._networks.denoise = lambda x, level, condition: np.full_like(x, np.nan)
    with pytest.raises(OutputError, match="denoiser"):
        policy.warm_up()

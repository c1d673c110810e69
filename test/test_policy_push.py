"""The stall rule inside a policy: joints reach it, its push reaches the chunk, a reset forgets it."""

from __future__ import annotations

import numpy as np
import pytest
from policy_helpers import STATE, TOP, tiny_config, tiny_networks

from step_ros.policy.errors import ConfigError
from step_ros.policy.policy import Plan, Policy
from step_ros.policy.settings import Settings

PUSHING = {"stall_source": "motion", "stall_response": "push", "stall_exempt": "grip"}


def make_policy(**settings: object) -> Policy:
    config = tiny_config()
    return Policy(config, tiny_networks(config), engine="torch", **{**PUSHING, **settings})


def stand(policy: Policy, cycles: int) -> list[Plan]:
    """Plans for an arm that stands where it is, whatever it is told."""
    seen = {STATE: np.zeros((2, 3)), TOP: np.zeros((2, 32, 32, 3), np.uint8)}
    return [policy.act(seen) for _ in range(cycles)]


def test_an_arm_that_stands_is_pushed_where_it_was_told_to_go() -> None:
    policy = make_policy(stall_min_motion=0.01)
    plans = stand(policy, 6)
    assert [plan.stalled for plan in plans] == [False] + [True] * 5
    assert plans[0].stall_progress is None and plans[1].stall_progress == 0.0
    meant = policy.state.executed[-1][-1] - policy.state.stall.push
    # Pan is told to go to `meant` from 0; the push takes it further the same way.
    assert np.sign(policy.state.stall.push[0]) == np.sign(meant[0])
    assert policy.state.stall.push[2] == 0.0


def test_the_push_is_in_the_chunk_and_within_its_limit() -> None:
    limit = 0.05
    free, held = (make_policy(stall_min_motion=0.01, push_limit=top) for top in (0.0, limit))
    for cycle in range(5):
        (plain,), (raised,) = stand(free, 1), stand(held, 1)
        # The history differs once there is a push, so only the first pushed cycle can be compared.
        if cycle == 1:
            spans = np.abs(held.action_range[1] - held.action_range[0]) / 2
            moved = (raised.executed - plain.executed) / spans
            assert np.abs(moved).max() == pytest.approx(limit, rel=1e-3)
            assert np.all(np.diff(np.abs(moved[:, 0])) > 0)
        if held.state.stall.push is not None:
            assert np.abs(held.state.stall.push).max() <= limit


def test_a_reset_forgets_the_push() -> None:
    policy, fresh = make_policy(stall_min_motion=0.01), make_policy(stall_min_motion=0.01)
    stand(policy, 5)
    policy.reset(seed=3)
    fresh.reset(seed=3)
    for again, first in zip(stand(policy, 5), stand(fresh, 5), strict=True):
        assert np.array_equal(again.chunk, first.chunk)


def test_another_method_leaves_no_push_behind() -> None:
    policy = make_policy(stall_min_motion=0.01)
    stand(policy, 4)
    assert policy.state.stall.push is not None
    policy.update("ddim")
    stand(policy, 1)
    assert policy.state.stall.push is None


@pytest.mark.parametrize(
    ("name", "value", "usual"),
    [
        ("stall_source", "motion", "action"),
        ("stall_source", "both", "action"),
        ("stall_response", "push", "noise"),
    ],
)
def test_a_checkpoint_that_does_not_observe_every_joint_refuses_the_robots_own_motion(
    name: str, value: str, usual: str
) -> None:
    config = tiny_config(input_features={TOP: (32, 32, 3)})
    policy = Policy(config, tiny_networks(config), engine="torch")
    with pytest.raises(ConfigError, match=f"{name}.*{usual}"):
        policy.update(**{name: value})
    assert getattr(policy.settings, name) == usual


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("stall_source", "velocity", "action, motion, both"),
        ("stall_response", "shake", "noise, push"),
        ("push_limit", 1.5, "0.0 to 1.0"),
        ("push_gain", float("nan"), "finite"),
        ("stall_progress", -0.1, "from 0.0"),
    ],
)
def test_what_a_stall_setting_cannot_be_is_refused_with_what_it_can(
    name: str, value: object, accepted: str
) -> None:
    policy = make_policy()
    with pytest.raises(ConfigError, match=accepted):
        policy.update(**{name: value})
    assert policy.settings.stall_source == "motion"


def test_settings_of_the_push_are_in_force_only_where_something_is_pushed():
    push = {"push_gain", "push_limit"}
    assert not push & set(Settings().in_force())
    assert push <= set(Settings(stall_response="push").in_force())

"""Policies that share networks: each plans as if it were alone, and images are encoded once."""

from __future__ import annotations

import numpy as np
import pytest
from policy_helpers import observation, tiny_config, tiny_networks

from step_ros.policy.compiled import CompiledNetworks
from step_ros.policy.errors import ConfigError
from step_ros.policy.policy import Policy


def make(method: str = "step", seed: int = 0, **settings: object) -> Policy:
    return Policy(tiny_config(), tiny_networks(), method, "torch", seed, **settings)


def test_companions_plan_as_policies_of_their_own_do() -> None:
    first = make()
    second = first.companion("ddim", seed=3, num_inference_steps=4)
    third = first.companion("step", seed=5, entry_timestep=30)
    alone = make(), make("ddim", 3, num_inference_steps=4), make("step", 5, entry_timestep=30)
    for index in range(3):
        for policy, own in zip((first, second, third), alone, strict=True):
            ours, theirs = policy.act(observation(index)), own.act(observation(index))
            np.testing.assert_array_equal(ours.chunk, theirs.chunk)
            assert (ours.method, ours.cold, ours.nfe) == (theirs.method, theirs.cold, theirs.nfe)


def test_a_frame_is_encoded_once_for_all_companions(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    encode = CompiledNetworks.encode
    monkeypatch.setattr(
        CompiledNetworks, "encode", lambda self, name, frame: asked.append(name) or encode(self, name, frame)
    )
    first = make()
    second = first.companion("ddpm")
    first.act(observation())
    before = len(asked)
    second.act(observation())
    assert len(asked) == before > 0


def test_a_reset_of_one_leaves_the_other_warm() -> None:
    first = make()
    second = first.companion("step")
    for policy in (first, second):
        policy.act(observation())
    first.reset()
    assert first.act(observation(1)).cold
    assert not second.act(observation(1)).cold


def test_a_companion_refuses_what_a_policy_refuses() -> None:
    with pytest.raises(ConfigError, match="entry_timestep"):
        make().companion("step", entry_timestep=1000)
    with pytest.raises(ConfigError, match="method"):
        make().companion("nothing")

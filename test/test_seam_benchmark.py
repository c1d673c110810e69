"""The seam benchmark measures what it says: who jumps at seams, who lags, who is refused."""

import json

import numpy as np
import pytest
import torch
from policy_helpers import arm_config
from rich.console import Console

from step_ros.evaluation.seams.command import bench_seams, with_ratios
from step_ros.evaluation.seams.playback import Trace, jumps, tracking
from step_ros.evaluation.seams.reference_motion import (
    SINGLE,
    disagreement_table,
    joined,
    motion,
    sending_table,
)
from step_ros.evaluation.seams.with_policy import policy_table
from step_ros.policy.networks import build_networks
from step_ros.policy.policy import Policy
from step_ros.sim.world import World


@pytest.fixture(scope="module")
def sending() -> dict[tuple[str, str, float], dict]:
    return {(row["sent"], row["settings"], row["latency"]): row for row in sending_table(4.0)}


@pytest.mark.parametrize("latency", [0.003, 0.03, 0.08, 0.15])
def test_anchored_chunks_follow_the_motion_at_every_latency(sending, latency: float) -> None:
    row = sending["16, anchored, at rest", "defaults", latency]
    assert row["velocity_max"] < 0.04
    assert abs(row["lag"]) < 0.002
    assert row["rejected"] == 0


def test_single_points_jump_and_lag(sending) -> None:
    row = sending["1 point per tick", "defaults", 0.03]
    assert row["velocity_max"] > 2.0
    assert row["lag"] > 0.01


@pytest.mark.parametrize("name", ["9, ends in motion", "15, ends in motion"])
def test_chunks_that_end_in_motion_are_all_rejected(sending, name: str) -> None:
    row = sending[name, "defaults", 0.03]
    assert row["rejected"] == row["messages"] > 0
    assert "velocity_max" not in row


def test_bridging_from_the_measured_state_is_what_jerks(sending) -> None:
    bridged = sending["15, due ones removed", "nonzero end", 0.03]["velocity_max"]
    desired = sending["15, due ones removed", "both", 0.03]["velocity_max"]
    assert bridged > 10 * desired


def test_a_blend_takes_the_jumps_of_disagreeing_chunks_away() -> None:
    single, plain, blended = with_ratios(disagreement_table(6.0, 20_000, blends=(0.0, 0.15)))
    assert plain["seam_over_inside"] > 20
    assert blended["seam_over_inside"] < 2
    assert blended["single_over_seam"] > 5
    assert single["seam_max"] > 5


def test_the_same_seed_gives_the_same_table() -> None:
    first, again, other = (disagreement_table(2.0, seed, blends=(0.1,)) for seed in (20_001, 20_001, 20_002))
    assert first == again
    assert first != other


def trace_of(positions: np.ndarray, seams: np.ndarray, rate: float = 100.0) -> Trace:
    times = np.arange(len(positions)) / rate
    return Trace(list(times), list(positions[:, None]), list(seams))


def test_a_jump_is_counted_where_it_happens() -> None:
    positions, seams = np.zeros(40), np.zeros(40, bool)
    positions[20:] = 0.01  # One step of 1 rad/s and back.
    seams[20:23] = True
    found = jumps(trace_of(positions, seams))
    assert found["seam_max"] == pytest.approx(1.0)
    assert found["inside_max"] == 0.0
    found = jumps(trace_of(positions, np.zeros(40, bool)))
    assert found["seam_max"] is None
    assert found["inside_max"] == pytest.approx(1.0)


def test_a_trace_too_short_for_a_jump_has_none() -> None:
    assert set(jumps(trace_of(np.zeros(2), np.zeros(2, bool))).values()) == {None}


def test_a_delay_is_found() -> None:
    times = np.arange(300) / 100
    found = tracking(trace_of(motion(times - 0.03), np.zeros(300, bool)), motion, start=0.5)
    assert found["lag"] == pytest.approx(0.03, abs=0.0015)


def test_the_command_writes_its_tables_with_their_provenance(tmp_path) -> None:
    out = tmp_path / "new" / "seams.json"
    console = Console(record=True, width=120)
    bench_seams(out, seconds=2.0, blends=(0.15,), console=console)
    results = json.loads(out.read_text())
    assert set(results["tables"]) == {"sending", "disagreement"}
    assert {"command", "commit", "versions", "settings"} <= set(results)
    assert "single over seam" in console.export_text()


@pytest.fixture(scope="module")
def untrained_policy() -> Policy:
    """A tiny policy on joint positions alone; what it wants is noise."""
    config = arm_config(input_features={"observation.state": (6,)})
    ranges = {"min": [-0.3, -0.8, 0.3, 0.8, -0.3, 0.2], "max": [0.3, -0.3, 0.7, 1.1, 0.3, 0.8]}
    torch.manual_seed(20_000)
    return Policy(
        config, build_networks(config, {"observation.state": ranges, "action": ranges}), engine="torch"
    )


def test_a_policy_in_the_loop_is_smoother_joined_than_point_by_point(untrained_policy) -> None:
    with World("pick_place") as world:
        single, blended = policy_table(
            world,
            untrained_policy,
            [SINGLE, joined(0.15)],
            seed=20_000,
            episodes=1,
            latency=0.08,
            duration=1.5,
            report=lambda text: None,
        )
    assert single["episodes"] == blended["episodes"] == 1
    assert blended["seam_max"] < single["seam_max"] / 5
    assert max(blended["seam_max"], blended["inside_max"]) < 0.7  # 80 rad/s^2 over a 120th of a second.

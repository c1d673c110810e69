"""What a replay measures, and how it is judged: by thresholds, against another, over a range of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from step_ros.control.joints import JOINT_NAMES, JointLimits
from step_ros.evaluation.replay.cycles import Cycle
from step_ros.evaluation.replay.errors import ReplayError
from step_ros.evaluation.replay.judge import compare, judge, numbers
from step_ros.evaluation.replay.measures import Measures
from step_ros.evaluation.replay.sweep import Distances, sweep
from step_ros.policy.config import PolicyConfig
from step_ros.policy.policy import Plan

CONFIG = PolicyConfig(input_features={"observation.state": (6,)}, action_names=JOINT_NAMES)
FPS = CONFIG.fps
RESULTS = {
    "bag": "run",
    "checkpoint": "a",
    "cycles": 12,
    "reference": "ddpm",
    "reference_every": 10,
    "findings": {"gaps": 1},
    "methods": {
        "step": {"error": {"rms": 0.04, "max": None}, "settings": {"sigma": 9.0}, "stalls": 2},
        "ddim": {"error": {"rms": 0.06, "max": None}, "settings": {}, "stalls": 0},
    },
}


def ramp(start: float, speed: float = 0.01) -> np.ndarray:
    """A chunk (16, 6) that moves steadily."""
    return np.repeat((start + speed * np.arange(16))[:, None], 6, axis=1)


def plan(chunk: np.ndarray, total: float = 10.0, **fields: object) -> Plan:
    known = {"nfe": 2, "aux_nfe": 1, "cold": False, "stalled": False, "stall_distance": None}
    return Plan(
        chunk=chunk, executed=chunk[1:9], timesteps=(), method="step", milliseconds={"total": total},
        **{**known, **fields},
    )  # fmt: skip


def cycle(number: int, recorded: np.ndarray, first: bool = False, **fields: object) -> Cycle:
    commanded = np.repeat(recorded[:1], 8, axis=0)
    return Cycle(100 + 8 * number / FPS, {}, 0, first, {}, commanded, recorded, **fields)


def measured(pairs) -> dict:
    measures = Measures(CONFIG, JointLimits.so101(), 8)
    for observed, planned, reference in pairs:
        measures.add(observed, planned, reference)
    return measures.values()


def test_errors_are_taken_per_joint_and_row_where_the_recording_goes_that_far() -> None:
    recorded = ramp(0.0)
    recorded[12:] = np.nan
    chunk = ramp(0.0)
    chunk[:, 2] += 0.1
    chunk[0] += 5.0  # the row before the observation is not executed
    values = measured([(cycle(0, recorded, first=True), plan(chunk), chunk - 0.2)])
    assert values["error"]["mean_abs_per_joint"]["elbow_flex"] == pytest.approx(0.1)
    assert values["error"]["mean_abs_per_joint"]["gripper"] == 0
    assert values["error"]["mean_abs"] == pytest.approx(0.1 / 6)
    assert values["error"]["mean_abs_per_row"] == [pytest.approx(0.1 / 6)] * 11 + [None] * 4
    assert values["error"]["max"] == pytest.approx(0.1)
    assert values["agreement"]["mean_abs"] == pytest.approx(0.2)


def test_chunks_that_go_on_where_the_last_one_would_have_been_have_no_seam_and_no_jerk() -> None:
    chunks = [ramp(0.08 * k) for k in range(4)]
    values = measured([(cycle(k, chunk, k == 0), plan(chunk), None) for k, chunk in enumerate(chunks)])
    assert values["seam_jump"]["max"] == pytest.approx(0.0, abs=1e-9)
    assert values["jerk"] == pytest.approx(0.0, abs=1e-9)
    assert values["agreement"]["mean_abs"] is None


def test_a_jump_between_chunks_is_a_seam_but_not_across_episodes() -> None:
    jump = [(cycle(0, ramp(0), True), plan(ramp(0)), None), (cycle(1, ramp(0.08)), plan(ramp(0.38)), None)]
    assert measured(jump)["seam_jump"]["max"] == pytest.approx(0.3)
    jump[1][0].first = True
    assert measured(jump)["seam_jump"]["max"] is None


def test_latency_tells_what_would_be_late_and_what_would_be_lost() -> None:
    times = (20.0, 40.0, 300.0, 600.0)
    values = measured([(cycle(k, ramp(0), k == 0), plan(ramp(0), t), None) for k, t in enumerate(times)])
    assert values["late_share"] == 0.5, "later than 8 actions at 30 Hz"
    assert values["useless_share"] == 0.25, "later than the whole chunk"
    assert values["lost_actions_per_cycle"] == (0 + 1 + 9 + 18) / 4
    assert values["latency_ms"]["p50"] == 170.0


def test_chunks_that_the_limits_would_change_are_counted_by_joint() -> None:
    far = ramp(0.0)
    far[5:, 1] = -9.0
    values = measured([(cycle(0, ramp(0), True), plan(far), None), (cycle(1, ramp(0)), plan(ramp(0)), None)])
    assert values["limited_chunks"] == 1
    assert values["limited_per_joint"] == {name: int(name == "shoulder_lift") for name in JOINT_NAMES}


def test_the_recorded_nodes_own_chunks_are_compared_with() -> None:
    observed = cycle(0, ramp(0), True, chunk=ramp(0.001))
    assert measured([(observed, plan(ramp(0)), None)])["recorded_chunk_difference"]["max"] == pytest.approx(
        1e-3
    )


def test_stalls_are_counted_apart_in_pauses() -> None:
    stalled = plan(ramp(0), stalled=True)
    values = measured([(cycle(k, ramp(0), k == 0, pause=k == 1), stalled, None) for k in range(3)])
    assert (values["stalls"], values["stalls_in_pauses"]) == (3, 1)


# Sweep.


def test_the_sweep_fires_where_the_rule_says_and_counts_anew_in_every_episode() -> None:
    values = [None, 0.5, 0.1, 0.1, 0.1, 0.1, 0.5, 0.1]
    first = [k == 0 or k == 4 for k in range(8)]
    pauses = [k in (3, 7) for k in range(8)]
    swept = sweep(Distances(list(range(8)), first, pauses, values), thresholds=[0.05, 0.2, 1.0])
    grid = {(entry["threshold"], entry["patience"]): entry for entry in swept["grid"]}
    assert grid[0.05, 1]["fired"] == 0
    assert grid[0.2, 1]["fired"] == 5
    assert grid[0.2, 1]["fired_in_pauses"] == 2
    assert grid[0.2, 1]["stretches"] == [[2, 3], [4, 5], [7, 7]]
    assert grid[0.2, 2]["stretches"] == [[3, 3], [5, 5]]
    assert grid[1.0, 3]["stretches"] == [[3, 3], [6, 7]]


def test_the_sweep_spans_the_distances_found_by_default() -> None:
    swept = sweep(Distances([0, 1, 2], [True, False, False], [False] * 3, [None, 0.01, 0.4]))
    thresholds = sorted({entry["threshold"] for entry in swept["grid"]})
    assert thresholds[0] == pytest.approx(0.01)
    assert thresholds[-1] == pytest.approx(0.4)


def test_a_recording_without_two_chunks_in_a_row_cannot_be_swept() -> None:
    with pytest.raises(ReplayError, match="longer recording"):
        sweep(Distances([0], [True], [False], [None]))


# Thresholds.


def thresholds(tmp_path, text: str):
    path = tmp_path / "thresholds.yaml"
    path.write_text(text)
    return path


def test_every_threshold_gets_a_verdict(tmp_path) -> None:
    path = thresholds(
        tmp_path,
        "replay: {cycles: {min: 10}, findings.gaps: {max: 0}}\n"
        "methods:\n  step: {error.rms: {min: 0, max: 0.05}, error.max: {max: 1}}\n",
    )
    verdicts = {(verdict.where, verdict.name): verdict.passed for verdict in judge(RESULTS, path)}
    assert verdicts == {
        ("replay", "cycles"): True,
        ("replay", "findings.gaps"): False,
        ("step", "error.rms"): True,
        ("step", "error.max"): False,  # never measured
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("methods: {ddpm: {stalls: {max: 1}}}", "found ddpm; accepted: step, ddim"),
        ("methods: {step: {speed: {max: 1}}}", "found speed; accepted: error.rms"),
        ("methods: {step: {stalls: {most: 1}}}", "numbers under min and max"),
        ("methods: {step: {stalls: {max: fast}}}", "numbers under min and max"),
        ("methods: {step: {stalls: 3}}", "accepted: a mapping"),
        ("limits: {}", "accepted: replay, methods"),
        ("", "accepted: a mapping"),
        ("a: [", "accepted: YAML"),
    ],
)
def test_thresholds_that_say_nothing_are_refused(tmp_path, text, words) -> None:
    with pytest.raises(ReplayError) as error:
        judge(RESULTS, thresholds(tmp_path, text))
    assert words in str(error.value)


def test_a_missing_file_of_thresholds_is_refused(tmp_path) -> None:
    with pytest.raises(ReplayError, match="accepted: a YAML file"):
        judge(RESULTS, tmp_path / "nothing.yaml")


def test_settings_are_no_results() -> None:
    assert numbers(RESULTS["methods"]["step"]) == {"error.rms": 0.04, "error.max": None, "stalls": 2}


# Comparison.


def other(tmp_path, **changes):
    path = tmp_path / "other.json"
    path.write_text(json.dumps({**RESULTS, **changes}))
    return path


def test_a_comparison_gives_the_change_of_every_number_that_both_have(tmp_path) -> None:
    methods = {"step": {"error": {"rms": 0.03}, "stalls": None}, "ddpm": {}}
    found = compare(RESULTS, other(tmp_path, checkpoint="b", methods=methods))
    assert found["checkpoint"] == "b"
    assert found["methods"] == {
        "step": {"error.rms": {"this": 0.04, "other": 0.03, "change": pytest.approx(0.01)}}
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bag": "another"}, "same cycles"),
        ({"cycles": 3}, "same cycles"),
        ({"methods": {"x": {}}}, "accepted: one of"),
    ],
)
def test_replays_of_different_recordings_are_not_compared(tmp_path, changes, words) -> None:
    with pytest.raises(ReplayError, match=words):
        compare(RESULTS, other(tmp_path, **changes))


@pytest.mark.parametrize("content", ["{}", "[1]", "no json"])
def test_what_is_no_replay_is_not_compared_with(tmp_path, content) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ReplayError, match="JSON of `step-ros replay`"):
        compare(RESULTS, path)

"""The demo as a whole: real nodes, real topics, a tiny untrained policy; and what it refuses to start."""

from __future__ import annotations

import json

import pytest
from policy_helpers import tiny_config
from rosbags.highlevel import AnyReader

from step_ros import demo
from step_ros.control.joints import JOINT_NAMES, JointLimits
from step_ros.demo import DemoError, run_demo
from step_ros.paths import share_path
from step_ros.policy.checkpoint import save_checkpoint
from step_ros.policy.networks import build_networks

RECORDED = {
    "/clock",
    "/diagnostics",
    "/joint_states",
    "/joint_trajectory_controller/joint_trajectory",
    "/mujoco_bridge/objects",
    "/mujoco_bridge/success",
    "/step/chunk",
    "/step/stalled",
    "/top/camera_info",
    "/top/image_raw",
    "/wrist/camera_info",
    "/wrist/image_raw",
}


@pytest.fixture
def checkpoint(tmp_path):
    """A policy of a few thousand random weights that sees what the simulation shows."""
    config = tiny_config(
        input_features={
            "observation.state": (6,),
            "observation.images.top": (96, 96, 3),
            "observation.images.wrist": (96, 96, 3),
        },
        action_names=JOINT_NAMES,
    )
    limits = JointLimits.so101()
    spread = {"min": (limits.lower / 4).tolist(), "max": (limits.upper / 4).tolist()}
    stats = {"observation.state": spread, "action": spread}
    save_checkpoint(tmp_path / "policy", config, build_networks(config, stats))
    return tmp_path / "policy"


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """Short episodes, in slow motion for busy machines; a small film, and an engine that starts at once."""
    config = tmp_path / "config"
    config.mkdir()
    for name, usual, instead in (
        ("step.yaml", "engine: auto", "engine: torch\n    use_sim_time: true"),
        ("mujoco_bridge.yaml", "real_time_factor: 1.0", "real_time_factor: 0.25"),
    ):
        text = share_path("config", name).read_text()
        assert usual in text
        (config / name).write_text(text.replace(usual, instead))
    monkeypatch.setattr(demo, "share_path", lambda *parts: tmp_path.joinpath(*parts))
    monkeypatch.setattr(demo, "TIME_LIMIT", 1.0)
    monkeypatch.setattr(demo, "FILM_SIZE", (48, 64))


def test_demo_leaves_summary_report_and_bag(checkpoint, quick, tmp_path):
    out = tmp_path / "demo_out"
    (out / "bag").mkdir(parents=True)
    (out / "mine.txt").write_text("not the demo's")
    summary = run_demo("pick_place", 1, out, seed=5, checkpoint=checkpoint, method="predictor")

    assert json.loads((out / "summary.json").read_text()) == summary
    assert (summary["episodes"], summary["successes"], summary["method"]) == (1, 0, "predictor")
    assert summary["cycle_ms_p50"] <= summary["cycle_ms_p95"]
    assert summary["policy_ms_p50"] > 0
    assert summary["versions"]["torch"]
    (row,) = summary["rows"]
    assert row["seed"] == 5 and row["cycles"] == summary["cycles"] > 0
    assert "report.html" in {path.name for path in out.iterdir()}
    assert "seed 5" in (out / "report.html").read_text()
    with AnyReader([out / "bag"]) as reader:
        assert {topic for topic, info in reader.topics.items() if info.msgcount} >= RECORDED
    assert (out / "mine.txt").exists(), "an old demo is replaced, nothing else"


def test_folder_without_a_policy_is_refused_by_name(tmp_path):
    with pytest.raises(DemoError, match=r"checkpoint: .*nothing_here holds no config\.json"):
        run_demo("pick_place", 1, tmp_path, checkpoint=tmp_path / "nothing_here")


def test_no_episodes_are_refused(checkpoint, tmp_path):
    with pytest.raises(DemoError, match="episodes: found 0"):
        run_demo("pick_place", 0, tmp_path / "demo_out", checkpoint=checkpoint)

"""The latency benchmark: what it computes from timings, how it goes on, what it refuses."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from policy_helpers import tiny_config, tiny_networks

from step_ros.evaluation.latency import cold_start, command, measure
from step_ros.evaluation.latency.aims import LARGE, SMALL, aims
from step_ros.evaluation.latency.child import Child, ChildError, RefusedError, memory, serve
from step_ros.evaluation.latency.command import bench_latency
from step_ros.evaluation.latency.document import milliseconds, write_document
from step_ros.evaluation.latency.measure import Options, measure_group
from step_ros.evaluation.latency.plan import (
    CASES,
    ENGINES,
    PRECISIONS,
    SHIPPED,
    SIZES,
    Candidate,
    all_threads,
    candidates,
)
from step_ros.evaluation.latency.results import Results
from step_ros.evaluation.latency.rows import limits, ratio, row, work
from step_ros.evaluation.latency.workers import MachineWorker
from step_ros.policy import engine
from step_ros.policy.calibration import load_calibration
from step_ros.policy.checkpoint import load_checkpoint, save_checkpoint
from step_ros.policy.errors import ConfigError

TORCH = Candidate("policy", "torch")
GRAPH = Candidate("policy", "openvino", fuse=True)
PEER = Candidate("diffusers", "torch")
PARTS = {
    "encode": {"flops": 4_000_000, "parameters": 1000},
    "condition": {"flops": 1_000_000, "parameters": 500_000},
    "denoise": {"flops": 2_000_000, "parameters": 1_000_000},
    "predict": {"flops": 8_000_000, "parameters": 1_000_000},
}
SIZE = {
    "checkpoint": "somewhere",
    "down_dims": [8, 16],
    "cameras": 1,
    "n_obs_steps": 2,
    "fused_steps": 3,
    "unet_parameters": 1_500_000,
    "parts": PARTS,
}
PEAK = {"gflops": 1.0, "gbps": 1.0}
"""A million operations, or a million bytes, in a millisecond."""


def cycle(denoise: float = 4.0) -> dict[str, float]:
    """A timed cycle with half a millisecond that belongs to no part."""
    return {"encode": 1.0, "predict": 2.0, "denoise": denoise, "post": 0.5, "total": 4.0 + denoise}


def made_row(candidate: Candidate, case: str, total: float = 8.0, size: dict | None = None) -> dict:
    bursts = [[cycle(total - 4.0)], [cycle(total - 4.0)]]
    measured = row(candidate, CASES[case], bursts, CASES[case].nfe, size or SIZE, PEAK)
    return {**measured, "resident_mib": 100.0}


def made_group(size: str, rows: list[dict], **entries: object) -> dict:
    group = {"size": size, "threads": 1, "asked": [], "commit": "abc", "time": "then", "rows": rows}
    group |= {"unavailable": {}, "candidates": {}, "peaks": {"cpu fp32": {**PEAK, "footprint_bytes": 10}}}
    return {**group, "decode": {"raw": {"min": 1.0, "p50": 1.0, "p95": 1.0, "p99": 1.0}}, **entries}


def test_limit_takes_the_longer_of_arithmetic_and_reading_for_each_evaluation() -> None:
    counts = {"encode": 1, "condition": 1, "denoise": 2, "predict": 1}
    least = limits(PARTS, counts, PEAK, "fp32")
    assert least == {"encode": 4.0, "predict": 8.0, "denoise": 2.0 + 2 * 4.0, "total": 22.0}


def test_limit_reads_half_the_bytes_in_half_the_precision() -> None:
    counts = {"encode": 0, "condition": 0, "denoise": 1, "predict": 0}
    assert limits(PARTS, counts, PEAK, "bf16")["total"] == limits(PARTS, counts, PEAK, "fp32")["total"] / 2


def test_a_plain_loop_encodes_its_window_and_this_package_the_new_frame_only() -> None:
    assert work(PEER, CASES["DDIM-2"], 2)["encode"] == 2
    assert work(TORCH, CASES["DDIM-2"], 2)["encode"] == 1
    assert work(TORCH, CASES["predictor"], 2) == {"encode": 1, "condition": 0, "denoise": 0, "predict": 1}


def test_a_loop_timed_in_part_is_scaled_and_marked() -> None:
    measured = row(PEER, CASES["DDPM-100"], [[cycle(4.0)]], 10, SIZE, PEAK)
    assert measured["estimated"]
    assert measured["milliseconds"]["denoise"]["p50"] == 40.0
    assert measured["milliseconds"]["total"]["p50"] == 44.0
    assert measured["milliseconds"]["rest"]["p50"] == pytest.approx(0.5)


def test_ratio_compares_within_rounds_so_that_a_slow_spell_cancels() -> None:
    slow, fast = {"round_p50_ms": [10.0, 20.0, 40.0]}, {"round_p50_ms": [1.0, 2.0, 4.0]}
    assert ratio(slow, fast) == 10.0


def test_part_of_ddpm_is_the_same_solver_over_fewer_levels() -> None:
    assert CASES["DDPM-100"].settings(100) == ("ddpm", {})
    assert CASES["DDPM-100"].settings(5) == ("ddim", {"num_inference_steps": 5, "solver": "ddpm"})


def test_all_engines_and_precisions_are_measured() -> None:
    assert set(ENGINES) == set(engine.ENGINES) - {"auto"}
    assert set().union(*PRECISIONS.values()) == set(engine.PRECISIONS)


def test_int8_is_measured_unfused_and_not_where_it_takes_too_long() -> None:
    found = [entrant.name for entrant in candidates(["openvino"], SHIPPED) if entrant.precision == "int8"]
    assert found == ["openvino int8"]
    assert "openvino int8" not in {entrant.name for entrant in candidates(["openvino"], LARGE)}


def test_the_weights_to_measure_come_with_a_calibration_and_leave_the_source_alone(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "source", tiny_config(), tiny_networks())
    before = sorted(path.name for path in (tmp_path / "source").iterdir())
    prepared = MachineWorker().prepare(str(tmp_path / "source"), SHIPPED, str(tmp_path / "copy"))
    _, networks = load_checkpoint(prepared["checkpoint"])
    assert len(load_calibration(prepared["checkpoint"], networks).features) > 0
    assert sorted(path.name for path in (tmp_path / "source").iterdir()) == before


def test_every_engine_has_an_unfused_candidate_and_peers_no_case_of_ours() -> None:
    assert {entrant.engine for entrant in candidates(ENGINES, SHIPPED) if not entrant.fuse} == set(ENGINES)
    assert [case.name for case in PEER.cases(tuple(CASES))] == ["DDIM-2", "DDIM-10", "DDPM-100"]


# Processes


def test_a_process_answers_and_holds_memory_of_its_own() -> None:
    with Child("MachineWorker", 1) as child:
        assert child.ask("memory")["resident_mib"] < memory()["resident_mib"]
        assert {kind: len(spent) for kind, spent in child.ask("decode", threads=1, count=2).items()} == {
            "raw": 2,
            "jpeg": 2,
        }


def test_decoding_is_timed_to_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def image(message: object, height: int, width: int) -> Callable[[], None]:
        return lambda: made.append((type(message), height, width))

    monkeypatch.setattr("step_ros.data.messages.image", image)
    MachineWorker().decode(threads=1, count=3)
    assert len(made) == 2 * (1 + 3)


def test_a_process_that_breaks_says_why() -> None:
    with Child("MachineWorker", 1) as child, pytest.raises(ChildError, match=r"code 1: .*no_such_thing"):
        child.ask("no_such_thing")


@pytest.mark.parametrize("python", ["false", "/nowhere/python"])
def test_an_interpreter_that_cannot_run_a_worker_is_named(python: str) -> None:
    with pytest.raises(ChildError, match=python):
        Child("LeRobotWorker", 1, {"checkpoint": "nowhere"}, python)


def test_what_the_package_refuses_comes_back_as_a_refusal(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, tiny_config(), tiny_networks())
    arguments = {"checkpoint": str(tmp_path), "engine": "abacus", "device": "cpu"}
    arguments |= {"precision": "fp32", "fuse": False, "threads": 1}
    answers = io.StringIO()
    request = {"request": "make", "worker": "PolicyWorker", "arguments": arguments}
    serve(io.StringIO(json.dumps(request) + "\n"), answers)
    assert "abacus" in json.loads(answers.getvalue())["refused"]


# A group


class StandIn:
    """Answers as a candidate's process would, in no time, and notes what it is asked."""

    asked: ClassVar[list[tuple[str, str, dict]]] = []
    fuses: ClassVar[bool] = True

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ask(self, request: str, **arguments: object) -> dict:
        if request == "measure":
            StandIn.asked.append((self.name, arguments["method"], arguments))
            each = 300.0 if self.name == "diffusers" else 1.0
            steps = arguments.get("steps", arguments.get("settings", {}).get("num_inference_steps", 100))
            return {"cycles": [cycle(each * steps)], "fused": StandIn.fuses}
        if request == "peaks":
            return {name: {**PEAK, "footprint_bytes": size} for name, size in arguments["footprints"].items()}
        answers = {"decode": {"raw": [1.0]}}
        return {**answers, "memory": {"resident_mib": 50.0}, "describe": {}}[request]


@pytest.fixture
def measured_group(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict]:
    """Runs a group with stand-ins for all processes; an engine "absent" is refused."""

    def start(candidate: Candidate, *_: object) -> StandIn:
        if candidate.engine == "absent":
            raise RefusedError("absent is not installed")
        if candidate.precision == "bf16":
            raise RefusedError("no bf16 here")
        return StandIn(candidate.name)

    monkeypatch.setattr(measure, "start", start)
    monkeypatch.setattr(measure, "Child", lambda *_: StandIn("machine"))
    monkeypatch.setattr(StandIn, "asked", [])
    monkeypatch.setattr(StandIn, "fuses", True)

    def run(entrants: list[Candidate], cases: tuple[str, ...], rounds: int = 2) -> dict:
        return measure_group(SIZE, 1, entrants, Options(rounds, cases=cases), {}, {}, lambda *_: None)

    return run


def test_rounds_visit_every_row_before_any_row_again(measured_group: Callable[..., dict]) -> None:
    measured_group([TORCH, PEER], ("DDIM-2",), rounds=3)
    timed = [name for name, _, arguments in StandIn.asked if arguments["seconds"] > 0]
    assert [set(timed[index : index + 2]) for index in (0, 2, 4)] == [{"torch", "diffusers"}] * 3


def test_a_missing_engine_or_precision_is_listed_with_its_reason(measured_group: Callable[..., dict]) -> None:
    absent, half = Candidate("policy", "absent"), Candidate("policy", "openvino", "bf16")
    group = measured_group([TORCH, absent, half], ("DDIM-2",))
    assert group["unavailable"] == {"absent": "absent is not installed", "openvino bf16": "no bf16 here"}
    assert [entry["candidate"] for entry in group["rows"]] == ["torch"]


def test_a_cycle_that_was_not_fused_makes_no_row_of_that_name(
    measured_group: Callable[..., dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StandIn, "fuses", False)
    assert measured_group([GRAPH], ("STEP-2",))["rows"] == []


def test_a_network_too_large_to_fuse_is_not_started_for_it(measured_group: Callable[..., dict]) -> None:
    assert list(measured_group([GRAPH], ("STEP-4",))["candidates"]) == []
    assert list(measured_group([GRAPH], ("STEP-2", "STEP-4"))["candidates"]) == [GRAPH.name]


def test_a_loop_that_takes_too_long_is_timed_in_part(measured_group: Callable[..., dict]) -> None:
    found = {entry["candidate"]: entry for entry in measured_group([TORCH, PEER], ("DDPM-100",))["rows"]}
    assert not found["torch"]["estimated"]
    assert (found["diffusers"]["estimated"], found["diffusers"]["evaluations_timed"]) == (True, 4)
    assert found["diffusers"]["milliseconds"]["denoise"]["p50"] == pytest.approx(30_000.0)


def test_what_cannot_come_up_is_refused_to_whoever_needs_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object) -> None:
        raise RefusedError("there is no GPU")

    monkeypatch.setattr(cold_start, "start", start)
    refused: dict[str, str] = {}
    for candidate in (
        Candidate("policy", "cuda", device="cuda"),
        Candidate("policy", "torch", device="cuda"),
    ):
        (row_,) = cold_start.measure_cold_start(SIZE, candidate, lambda folder: {}, refused)
        assert row_["unavailable"] == "there is no GPU"
        monkeypatch.setattr(cold_start, "start", None)  # the second one is not even tried


# Aims and page


def test_aims_are_met_missed_or_unknown_with_the_reason() -> None:
    rows = [
        made_row(TORCH, "STEP-2", 80.0),
        made_row(GRAPH, "STEP-2", 8.0),
        made_row(PEER, "DDPM-100", 800.0),
    ]
    small = made_group(SMALL, [], unavailable={"openvino bf16, one graph": "no bf16 here"})
    found = aims([made_group(SHIPPED, rows), small], [])
    assert [(aim.value, aim.met) for aim in found[:2]] == [(10.0, True), (100.0, False)]
    assert [(aim.met, aim.note) for aim in found[2:4]] == [(None, "not measured"), (None, "no bf16 here")]


def test_nearness_to_the_limit_is_that_of_predictor_and_denoiser() -> None:
    rows = [made_row(Candidate("policy", "openvino"), "STEP-2", 40.0)]
    aim = next(aim for aim in aims([made_group(LARGE, rows)], []) if "one thread, fp32" in aim.text)
    assert aim.value == pytest.approx((2.0 + 36.0) / 18.0)
    assert aim.met is False


def test_memory_and_first_cycle_are_judged_from_the_cold_start() -> None:
    up = {"size": LARGE, "candidate": "openvino, one graph", "cache": "empty", "resident_mib": 1000.0}
    up |= {"peak_mib": 2000.0, "first_ms": 3.0, "hundredth_ms": 1.0, "slowest_of_last_ms": 2.0}
    found = {aim.text: aim.met for aim in aims([], [up])}
    assert [met for text, met in found.items() if "resident" in text] == [True]
    assert [met for text, met in found.items() if "first cycle" in text] == [False]


def test_the_page_holds_every_candidate_and_aim_and_the_plot_is_drawn(tmp_path: Path) -> None:
    rows = [made_row(TORCH, "STEP-2"), made_row(PEER, "DDIM-2")]
    groups = [made_group(SHIPPED, rows, unavailable={"onnx": "onnx is not installed"})]
    content = {"sizes": {SHIPPED: SIZE}, "groups": groups, "processor": "a processor", "command": "a command"}
    content |= {"versions": {"torch": "1"}, "settings": {"rounds": 2, "seconds": 0.1}}
    content |= {"aims": [aim.to_dict() for aim in aims(groups, [])]}
    cold = [{"size": SHIPPED, "candidate": "cuda", "threads": 1, "unavailable": "there is no GPU"}]
    write_document(tmp_path / "page.md", {**content, "cold_start": cold}, tmp_path / "latency.json")
    page = (tmp_path / "page.md").read_text()
    assert all(
        text in page for text in ("| torch |", "| diffusers |", "onnx is not installed", "there is no GPU")
    )
    assert all(aim["text"] in page for aim in content["aims"])
    assert (tmp_path / "images" / "latency.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("value", "text"), [(0.4123, "0.412"), (4.123, "4.12"), (41.23, "41.2"), (4123.0, "4123")]
)
def test_milliseconds_show_three_figures(value: float, text: str) -> None:
    assert milliseconds(value) == text


# The file


def test_a_group_is_taken_as_measured_only_when_all_that_is_asked_was_measured_together(
    tmp_path: Path,
) -> None:
    results = Results(tmp_path / "latency.json", {"rounds": 2})
    results.add_group(SHIPPED, {"parts": PARTS}, 1, ["torch STEP-2"], {"rows": [], "unavailable": {}})
    again = Results(tmp_path / "latency.json", {"rounds": 2})
    assert again.has_group(SHIPPED, 1, ["torch STEP-2"])
    assert not again.has_group(SHIPPED, 1, ["torch STEP-2", "onnx STEP-2"])
    assert not again.has_group(SHIPPED, 2, ["torch STEP-2"])


def test_an_earlier_group_keeps_its_own_commit_and_time(tmp_path: Path) -> None:
    results = Results(tmp_path / "latency.json", {})
    results.add_group(SHIPPED, {}, 1, [], {"rows": [], "unavailable": {}})
    results.content["groups"][0] |= {"commit": "earlier", "time": "long ago"}
    results.add_group(SMALL, {}, 1, [], {"rows": [], "unavailable": {}})
    stamps = [(group["commit"], group["time"]) for group in Results(results.path, {}).content["groups"]]
    assert stamps[0] == ("earlier", "long ago")
    assert stamps[1] != stamps[0]


def test_a_file_of_other_settings_or_another_machine_or_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latency.json"
    Results(path, {"rounds": 2}).add_group(SHIPPED, {}, 1, [], {"rows": [], "unavailable": {}})
    with pytest.raises(ConfigError, match=r"latency\.json: settings"):
        Results(path, {"rounds": 3})
    path.write_text(json.dumps({**json.loads(path.read_text()), "processor": "1 x abacus"}))
    with pytest.raises(ConfigError, match="processor is '1 x abacus'"):
        Results(path, {"rounds": 2})
    path.write_text("[]")
    with pytest.raises(ConfigError, match="content"):
        Results(path, {"rounds": 2})


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ({"engines": ["abacus"]}, "abacus"),
        ({"sizes": ["1-2-3"]}, "1-2-3"),
        ({"methods": ["STEP-9"]}, "STEP-9"),
        ({"threads": [all_threads() + 1]}, "threads"),
    ],
)
def test_an_unknown_choice_is_named_and_nothing_is_written(tmp_path: Path, option: dict, name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        bench_latency(**option, out=tmp_path / "latency.json", doc=tmp_path / "latency.md")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_measures_a_policy_and_a_second_one_has_nothing_left_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path / "pick_place", tiny_config(), tiny_networks())
    monkeypatch.setattr(command, "share_path", lambda *parts: tmp_path / "pick_place")
    # In this process, which has torch already; only memory would tell the difference.
    prepare = MachineWorker().prepare
    monkeypatch.setattr(
        command, "_prepare", lambda source, size, scratch: prepare(str(source), size, scratch)
    )
    out = tmp_path / "results" / "latency.json"
    run = {"engines": ["torch"], "sizes": [SHIPPED], "methods": ["STEP-2", "predictor"], "threads": [1]}
    run |= {"quick": True, "cold_start": False, "out": out, "doc": tmp_path / "latency.md"}
    content = bench_latency(**run)
    assert [(entry["candidate"], entry["method"]) for entry in content["groups"][0]["rows"]] == [
        ("torch", "STEP-2"),
        ("torch", "predictor"),
    ]
    first = content["groups"][0]["rows"][0]
    assert first["cycles"] >= 2
    assert first["limit_ms"]["total"] > 0
    before = out.read_text()
    bench_latency(**run)
    assert out.read_text() == before


def test_the_sizes_are_the_papers_and_the_shipped_policy() -> None:
    assert list(SIZES) == [SHIPPED, SMALL, "128-256-512", "256-512-1024", LARGE]

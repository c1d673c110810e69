"""Searches, tables, the plot, pages with generated parts, and the plan of the published set."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from step_ros.evaluation.comparison.ablations import ablation_plot, grid, predictors
from step_ros.evaluation.comparison.errors import ReportError
from step_ros.evaluation.comparison.markers import fill
from step_ros.evaluation.comparison.paper import paper_tables, usual_rows
from step_ros.evaluation.comparison.pareto import front, pareto_plot, points
from step_ros.evaluation.comparison.plan import read_plan
from step_ros.evaluation.comparison.report import report
from step_ros.evaluation.comparison.tables import (
    Shown,
    motion_table,
    overview_table,
    step_table,
    success_table,
    ways_table,
)
from step_ros.evaluation.runs import RunFile, read_run
from step_ros.evaluation.search import candidates, search
from step_ros.paths import share_path
from step_ros.policy.errors import ConfigError
from step_ros.results import make_results


def row(seed: int, success: bool = True, **values: object) -> dict:
    usual = {"ticks": 100, "cycles": 13, "nfe_per_cycle": 2.0, "aux_nfe_per_cycle": 1.0, "nfe_total": 34}
    usual |= {"policy_ms": 3.0, "policy_ms_total": 40.0, "stalls": 0, "jerk": 0.01, "commit": "abc"}
    usual |= {"seam_position": 0.02, "seam_velocity": 0.3}
    return {"seed": seed, "success": success, **usual, **values}


def write_run(path: Path, **head: object) -> Path:
    """DDPM succeeds in every episode, STEP fails in one of ten and is eighty times as fast."""
    run = {
        "task": "pick_place",
        "checkpoint": "pp",
        "engine": "torch",
        "precision": "fp32",
        "servo": "sts3215",
    }
    file = RunFile(path, {**run, "max_ticks": None, **head}, {"pp": {"weights": "w", "denoiser": "d"}})
    file.head = {"commit": "abc", "observations": "images", "processor": "test"}
    file.methods = {"ddpm": {"method": "ddpm"}, "step": {"method": "step"}}
    slow = {"nfe_per_cycle": 100.0, "aux_nfe_per_cycle": 0.0, "policy_ms": 240.0}
    file.episodes["ddpm"] = {seed: row(seed, **slow) for seed in range(10)}
    file.episodes["step"] = {seed: row(seed, seed != 4) for seed in range(10)}
    file.write("ddpm")
    return path


def shown(path: Path, **changes: object) -> Shown:
    values = {
        "key": path.stem,
        "title": "pick_place",
        "source": path.name,
        "results": read_run(path),
        "names": {"step": "STEP-2", "ddpm": "DDPM-100"},
        "paper": {"step": ("STEP", "2"), "ddpm": ("Vanilla (DDPM)", "100")},
    }
    return Shown(**{**values, **changes})


def cells(table: str, method: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {method} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_candidates_are_falling_lists_of_the_asked_length_each_once(steps: int):
    lists = candidates(steps)
    assert len(lists) == len(set(lists)) > 10
    assert all(len(levels) == steps and all(np.diff(levels) < 0) for levels in lists)


def test_two_step_candidates_hold_the_pairs_that_worked_in_trials():
    assert {(75, 25), (80, 40), (50, 0)} <= set(candidates(2))


def test_a_search_refuses_the_seeds_that_results_are_reported_on(tmp_path: Path):
    with pytest.raises(ConfigError, match="20000"):
        search("pick_place", tmp_path, tmp_path / "s.json", seed=19_999)


def test_a_search_refuses_rounds_that_do_not_grow(tmp_path: Path):
    with pytest.raises(ConfigError, match="rounds"):
        search("pick_place", tmp_path, tmp_path / "s.json", rounds=(8, 8))


def test_a_search_keeps_the_better_part_and_names_the_best(tmp_path: Path, monkeypatch):
    asked = []

    def evaluate(task, checkpoint, words, episodes, out, *rest, **options) -> dict:
        asked.append((episodes, list(words)))
        summaries = {
            word: {"success_rate": float("75/25" in word), "mean_score": 0.0, "mean_ticks": len(word)}
            for word in words
        }
        content = {"task": task, "checkpoint": "c", "engine": "e"}
        content["methods"] = {word: {"summary": s, "episodes": []} for word, s in summaries.items()}
        out.write_text(json.dumps(content))
        return content

    monkeypatch.setattr("step_ros.evaluation.search.evaluate", evaluate)
    found = search("pick_place", tmp_path, tmp_path / "s.json", rounds=(2, 4, 8))
    counts = [len(words) for _, words in asked]
    assert [episodes for episodes, _ in asked] == [2, 4, 8]
    assert counts[0] > counts[1] > counts[2] > 1
    assert found["search"]["best"] == "ddim:timesteps=75/25"
    assert read_run(tmp_path / "s.json")["search"] == found["search"]


def test_the_overview_shows_every_method_in_every_run_and_a_dash_where_it_was_not_run(tmp_path: Path):
    both = shown(write_run(tmp_path / "a.json"))
    results = {**both.results, "methods": {"ddpm": both.results["methods"]["ddpm"]}}
    table = overview_table([shown(tmp_path / "a.json", title="one", results=results), both])
    assert cells(table, "method") == ["method", "one", "pick_place"]
    assert cells(table, "STEP-2") == ["STEP-2", "-", "90.0"]
    assert cells(table, "DDPM-100") == ["DDPM-100", "100.0", "100.0"]


def test_the_success_table_gives_the_paired_difference_and_every_cost(tmp_path: Path):
    table = success_table(shown(write_run(tmp_path / "a.json")))
    head = cells(table, "method")
    step = dict(zip(head, cells(table, "STEP-2"), strict=True))
    assert step["success, % (95 %)"].startswith("90.0 (")
    assert step["minus DDPM-100, points (95 %)"].startswith("-10.0 (-")
    assert step["evaluations a cycle"] == "2 + 1 small"
    assert step["evaluations an action"] == "0.34"
    assert step["ms a cycle"] == "3"
    assert step["ms an action"] == "0.4"
    assert cells(table, "DDPM-100")[2] == "-"


def test_step_is_compared_pair_by_pair_with_every_other_method(tmp_path: Path):
    table = step_table(shown(write_run(tmp_path / "a.json")))
    compared = cells(table, "DDPM-100")
    assert compared[2].startswith("-10.0 (-") and compared[3:] == ["0", "1", "10"]
    assert "| STEP-2 |" not in table


def test_methods_stand_in_the_order_in_which_they_are_named(tmp_path: Path):
    assert list(shown(write_run(tmp_path / "a.json")).methods) == ["STEP-2", "DDPM-100"]


def test_rows_from_before_a_value_was_measured_show_a_dash(tmp_path: Path):
    path = write_run(tmp_path / "a.json")
    content = json.loads(path.read_text())
    for name in ("seam_position", "nfe_per_action"):
        del content["methods"]["step"]["summary"][name]
    path.write_text(json.dumps(content))
    run = shown(path)
    assert cells(motion_table(run), "STEP-2")[1] == "-"
    assert "-" in cells(success_table(run), "STEP-2")


def test_time_is_that_of_a_method_alone_only_if_all_were_timed_so(tmp_path: Path):
    run = shown(write_run(tmp_path / "a.json"))
    summaries = {label: entry["summary"] for label, entry in run.results["methods"].items()}
    summaries["step"]["alone_ms_median"] = 1.0
    assert run.milliseconds(summaries["step"]) == 3.0
    summaries["ddpm"]["alone_ms_median"] = 200.0
    assert run.milliseconds(summaries["step"]) == 1.0


def test_the_ways_table_is_for_tasks_that_have_ways(tmp_path: Path):
    path = write_run(tmp_path / "a.json")
    assert ways_table(shown(path)) is None
    content = json.loads(path.read_text())
    ways = {"mode_share": {"cube_a": 0.25, "cube_b": 0.75}, "mode_interval_95": {"cube_a": [0.1, 0.5]}}
    ways |= {"indecision_per_episode": 0.5, "mode_switches_per_episode": 0.0}
    content["methods"]["step"]["summary"] |= ways
    path.write_text(json.dumps(content))
    table = ways_table(shown(path))
    assert cells(table, "STEP-2")[1:3] == ["25.0 (10.0 to 50.0)", "75.0"]
    assert cells(table, "DDPM-100")[1:3] == ["-", "-"]


def test_the_front_leaves_out_what_is_slower_and_no_better(tmp_path: Path):
    found = points(shown(write_run(tmp_path / "a.json")))
    assert [point.name for point in front(found)] == ["STEP-2", "DDPM-100"]
    path = write_run(tmp_path / "b.json")
    content = json.loads(path.read_text())
    content["methods"]["step"]["summary"]["success_rate"] = 1.0
    path.write_text(json.dumps(content))
    assert [point.name for point in front(points(shown(path)))] == ["STEP-2"]


def test_the_plot_holds_a_panel_for_every_run(tmp_path: Path):
    run = shown(write_run(tmp_path / "a.json"))
    one, three = (imread(io.BytesIO(pareto_plot([run] * count))) for count in (1, 3))
    assert three.shape[0] > 1.5 * one.shape[0]
    assert three.shape[1] > 1.5 * one.shape[1]


def write_ablations(path: Path) -> Path:
    """STEP as it is, with one step more, entered higher, and with another predictor."""
    content = json.loads(write_run(path).read_text())
    step = content["methods"].pop("step") | {"checkpoint": "pp"}
    usual = {"num_inference_steps": 2, "entry_timestep": 20}
    changed = {"step": {}, "step:high": {"entry_timestep": 40}, "step:more": {"num_inference_steps": 3}}
    content["methods"] = {label: {**step, "in_force": usual | change} for label, change in changed.items()}
    content["methods"]["step@pp_wide"] = {**step, "checkpoint": "pp_wide", "in_force": usual}
    content["baseline"] = "step"
    path.write_text(json.dumps(content))
    return path


def test_ablations_are_ordered_by_steps_and_level_and_predictors_stand_apart(tmp_path: Path):
    run = shown(write_ablations(tmp_path / "a.json"), names={"step": "STEP-2", "step@pp_wide": "wide"})
    assert {steps: list(levels) for steps, levels in grid(run).items()} == {2: [20, 40], 3: [20]}
    assert list(predictors(run)) == ["STEP-2", "wide"]
    assert imread(io.BytesIO(ablation_plot([run]))).shape[1] > 1000


def test_ablations_stand_in_a_part_of_their_own(tmp_path: Path):
    text = PLAN.replace("task: pick_place", "task: pick_place\n    ablation: true")
    plan = read_plan(plan_file(tmp_path, text), "full", tmp_path, tmp_path)
    tables, *_ = report([write_ablations(tmp_path / "first.json")], tmp_path / "out", plan=plan)
    before, after = tables.read_text().split("## STEP's parts and settings")
    assert "The first" in after and "The first" not in before
    assert "](ablations.png)" in after
    assert (tmp_path / "out" / "ablations.png").exists()


def test_the_papers_tables_show_ours_beside_its_figures_and_say_that_they_differ(tmp_path: Path):
    text = paper_tables([shown(write_run(tmp_path / "a.json"))])
    assert text.startswith("**Other robots, tasks")
    image_table = text[text.index("Table 3") :]
    step = next(line for line in image_table.splitlines() if line.startswith("| STEP | 2 |"))
    assert "0.86, 24 ms" in step
    assert step.rstrip("| ").endswith("STEP-2 | 0.90, 3 ms")
    state_table = text[text.index("Table 2") : text.index("Table 3")]
    assert "STEP-2" not in state_table


def test_methods_of_any_run_answer_the_papers_rows_by_their_steps():
    entries = {
        "ddpm": {"method": "ddpm"},
        "a": {"method": "ddim", "in_force": {"timesteps": [75, 25], "num_inference_steps": 9}},
        "b": {"method": "step", "in_force": {"timesteps": None, "num_inference_steps": 4}},
        "c": {"method": "predictor", "in_force": {}},
    }
    rows = {"ddpm": ("Vanilla (DDPM)", "100"), "a": ("DDIM", "2"), "b": ("STEP", "4")}
    assert usual_rows(entries) == rows


def test_a_page_gets_its_generated_parts_and_keeps_the_rest(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- generated: success -->\nold\n<!-- end -->\nafter\n")
    fill(page, {"success": "new"})
    fill(page, {"success": "newer"})
    assert page.read_text() == "before\n<!-- generated: success -->\nnewer\n<!-- end -->\nafter\n"


@pytest.mark.parametrize("text", ["no markers", "<!-- generated: unheard-of -->\n<!-- end -->\n"])
def test_a_page_that_cannot_be_filled_is_refused_by_name(tmp_path: Path, text: str):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ReportError, match=r"page\.md.*accepted"):
        fill(page, {"success": "new"})


def test_a_report_is_made_of_any_runs_and_links_to_them(tmp_path: Path):
    files = [write_run(tmp_path / "results" / name) for name in ("b.json", "a.json")]
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text("<!-- generated: success -->\n<!-- end -->\n<!-- generated: pareto -->\n<!-- end -->\n")
    tables, plot, _ = report(files, tmp_path / "out", page)
    assert "[b.json](../results/b.json)" in tables.read_text()
    assert "[a.json](../results/a.json)" in page.read_text()
    assert "](../out/pareto.png)" in page.read_text()
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_report_refuses_what_is_not_a_run_and_says_what_is(tmp_path: Path):
    other = tmp_path / "other.json"
    other.write_text('{"rows": []}')
    with pytest.raises(ConfigError, match=r"other\.json.*step-ros eval"):
        report([other], tmp_path / "out")


@pytest.mark.parametrize("size", ["full", "smoke"])
def test_the_published_plan_can_be_read_in_every_size(tmp_path: Path, size: str):
    plan = read_plan(share_path("config", "results.yaml"), size, tmp_path / "comparison", tmp_path / "work")
    assert all(run.baseline in run.methods for run in plan.runs.values())
    assert all("searched" in name or "tuned" in name for run in plan.runs.values() for name in run.pending)


def test_published_cells_have_the_episodes_that_were_promised():
    plan = read_plan(share_path("config", "results.yaml"), "full", Path("out"), Path("work"))
    assert {run.episodes for name, run in plan.runs.items() if name.endswith("images")} == {200}
    assert {run.episodes for name, run in plan.runs.items() if "states" in name} == {500}


PLAN = """
sizes: {full: {count: 2}}
steps:
  search:
    makes: "{tuning}/found.json"
    complete: search
    commands: []
runs:
  first:
    title: The first
    task: pick_place
    checkpoint: "{work}/policy"
    episodes: "{count}"
    needs: [search]
    methods:
      - {name: DDPM-100, method: ddpm}
      - {name: searched, search: "{tuning}/found.json"}
"""


def plan_file(folder: Path, text: str = PLAN) -> Path:
    file = folder / "plan.yaml"
    file.write_text(text)
    return file


def test_a_searched_method_is_known_once_its_search_is_finished(tmp_path: Path):
    file = plan_file(tmp_path)
    arguments = file, "full", tmp_path / "comparison", tmp_path / "work"
    run = read_plan(*arguments).runs["first"]
    assert (run.pending, list(run.methods)) == (("searched",), ["ddpm"])
    tuning = tmp_path / "tuning"
    tuning.mkdir()
    (tuning / "found.json").write_text('{"search": {"best": "ddim:timesteps=75/25"}}')
    run = read_plan(*arguments).runs["first"]
    assert (run.pending, run.methods["ddim:timesteps=75/25"]) == ((), "searched")


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("needs: [search]", "needs: [nothing]", "nothing"),
        ("method: ddpm", "method: euler", "euler"),
        ('"{count}"', '"{number}"', "number"),
        ("name: searched, search", "name: searched, wrong", "method"),
        ("runs:", "walks:", "runs"),
        ("commands: []", "like: nothing", "nothing"),
    ],
)
def test_a_plan_that_cannot_be_used_is_refused_with_what_is_wrong(
    tmp_path: Path, old: str, new: str, named: str
):
    with pytest.raises(ReportError, match=rf"plan\.yaml.*{named}"):
        read_plan(plan_file(tmp_path, PLAN.replace(old, new)), "full", tmp_path, tmp_path)


def test_steps_like_a_template_differ_in_what_its_names_stand_for(tmp_path: Path):
    text = PLAN.replace(
        "steps:\n",
        """templates:
  collect: {makes: "{work}/{task}", commands: ["collect --task {task} --episodes {count}"]}
steps:
  one: {like: collect, with: {task: pick_place}}
  two: {like: collect, with: {task: pusht}, needs: [one]}
""",
    )
    steps = read_plan(plan_file(tmp_path, text), "full", tmp_path, tmp_path / "work").steps
    assert steps["one"].commands == (("collect", "--task", "pick_place", "--episodes", "2"),)
    assert steps["two"].makes == (tmp_path / "work" / "pusht",)
    assert steps["two"].needs == ("one",)


def test_an_unknown_size_or_name_is_refused_with_those_that_are_known(tmp_path: Path):
    with pytest.raises(ReportError, match="full"):
        make_results(plan_file(tmp_path), "huge", tmp_path)
    with pytest.raises(ReportError, match="first, search"):
        make_results(plan_file(tmp_path), out=tmp_path, only=["second"])


def test_a_finished_run_is_not_made_again_and_needs_nothing(tmp_path: Path, monkeypatch):
    text = PLAN.replace('      - {name: searched, search: "{tuning}/found.json"}\n', "")
    write_run(tmp_path / "comparison" / "first.json")
    monkeypatch.setattr("step_ros.results.evaluate", None)
    assert make_results(plan_file(tmp_path, text), out=tmp_path / "comparison", work=tmp_path / "work")
    assert "The first" in (tmp_path / "comparison" / "report" / "tables.md").read_text()


def test_a_step_with_several_files_is_finished_when_each_of_them_is(tmp_path: Path):
    several = PLAN.replace(
        'makes: "{tuning}/found.json"', 'makes: ["{tuning}/found.json", "{tuning}/other.json"]'
    )
    arguments = {"plan": plan_file(tmp_path, several), "out": tmp_path / "comparison", "only": ["search"]}
    tuning = tmp_path / "tuning"
    tuning.mkdir()
    (tuning / "found.json").write_text('{"search": {"best": "ddim"}}')
    (tuning / "other.json").write_text('{"methods": {}}')
    assert not make_results(dry=True, **arguments)
    (tuning / "other.json").write_text('{"search": {"best": "ddim"}}')
    assert make_results(dry=True, **arguments)


@pytest.mark.parametrize(("finals", "finished"), [(100, False), (500, True)])
def test_a_step_is_unfinished_while_its_file_was_made_with_other_settings(
    tmp_path: Path, finals: int, finished: bool
):
    with_settings = PLAN.replace("complete: search", "complete: {settings: {finals: 500}}")
    arguments = {"plan": plan_file(tmp_path, with_settings), "out": tmp_path / "comparison"}
    found = tmp_path / "tuning" / "found.json"
    found.parent.mkdir()
    found.write_text(json.dumps({"settings": {"finals": finals, "seed": 0}}))
    assert make_results(dry=True, only=["search"], **arguments) is finished


def test_what_is_unfinished_is_listed_and_left_alone_by_a_dry_call(tmp_path: Path, capsys):
    assert not make_results(plan_file(tmp_path), out=tmp_path / "comparison", dry=True)
    listed = capsys.readouterr().out
    assert "to do" in listed
    assert "first: ddpm, searched" in listed
    assert not (tmp_path / "comparison").exists()


def test_nothing_is_begun_once_the_time_is_used_up(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("step_ros.results.evaluate", None)
    assert not make_results(plan_file(tmp_path), out=tmp_path / "comparison", max_minutes=1e-9)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_whole_published_chain_runs_in_its_smoke_size(tmp_path: Path):
    arguments = {"size": "smoke", "out": tmp_path / "comparison", "work": tmp_path / "work", "workers": 1}
    page = tmp_path / "page.md"
    page.write_text(share_path("docs", "comparison.md").read_text())
    assert make_results(page=page, **arguments)
    assert "| STEP-2 |" in page.read_text()
    assert make_results(dry=True, **arguments)

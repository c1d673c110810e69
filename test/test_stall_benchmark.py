"""The stall benchmark: what is compared, what its episodes come to, and that it goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from step_ros.evaluation.stall import command
from step_ros.evaluation.stall.cells import ALWAYS, NONE, OURS, WRITTEN, Cell, grid
from step_ros.evaluation.stall.findings import compare, false_firings, summary, tuned_best
from step_ros.evaluation.stillness import final_stand, longest_stand
from step_ros.evaluation.variants import parse_variant
from step_ros.policy.settings import Settings


def episode(seed: int, success: bool, ticks: int = 150, stalls: int = 0, final: int = 0) -> dict:
    return {
        "seed": seed,
        "success": success,
        "ticks": ticks,
        "cycles": ticks // 8,
        "stalls": stalls,
        "final_stand": final,
        "longest_stand": final,
        "jerk": 0.01,
    }


def cell_rows(good: int, ticks: int = 150, stalls: int = 0) -> list[dict]:
    return [episode(seed, seed < good, ticks, stalls) for seed in range(10)]


def test_the_grids_are_the_papers_and_every_cell_is_there_once() -> None:
    cells = grid()
    assert len(cells) == len(set(cells))
    for rule in (WRITTEN, ALWAYS):
        assert sum(c.rule == rule and c.steps == 2 for c in cells) == 11 * 6
        assert sum(c.rule == rule and c.steps == 8 for c in cells) == 11
    assert {c.steps for c in cells if c.rule in (NONE, OURS)} == {2, 4, 8}


@pytest.mark.parametrize("cell", grid((0.0, 2.0), (0.0, 1.0)))
def test_every_cell_is_a_variant_with_settings_that_are_accepted(cell: Cell) -> None:
    settings = Settings(**parse_variant(cell.word(0.06)).settings)
    assert settings.num_inference_steps == cell.steps
    assert (settings.stall_source == "action" and settings.stall_threshold > 0) == (cell.rule == WRITTEN)
    assert (settings.stall_response == "push") == (cell.rule == OURS)
    if cell.rule == ALWAYS:
        assert (settings.warm_start, settings.sigma, settings.sigma_t) == (
            "paper",
            cell.sigma_scale,
            cell.sigma_stall,
        )


def test_a_deadlock_is_a_failure_with_the_arm_at_rest_at_the_end() -> None:
    rows = [episode(0, False, 300, final=60), episode(1, False, 300, final=59), episode(2, True, final=90)]
    found = summary(Cell(NONE, 2), rows)
    assert found["deadlocks"] == pytest.approx(1 / 3)
    assert found["seconds"] == pytest.approx((300 + 300 + 150) / 3 / 30)


def test_the_best_cell_has_most_successes_and_of_equals_the_shortest_episodes() -> None:
    slow, fast, poor = (Cell(WRITTEN, 2, value, 0.4) for value in (0.4, 0.6, 0.8))
    rows = {
        Cell(OURS, 2): cell_rows(10),
        Cell(WRITTEN, 4, 1.0, 0.4): cell_rows(10),
        slow: cell_rows(9, 200),
        fast: cell_rows(9, 180),
        poor: cell_rows(3),
    }
    assert tuned_best(rows, 2) == [fast, slow]


def test_ours_is_compared_with_the_best_tuned_cell_on_the_same_episodes() -> None:
    best = Cell(WRITTEN, 2, 1.2, 0.4)
    rows = {Cell(NONE, 2): cell_rows(4, 300), Cell(OURS, 2): cell_rows(9), best: cell_rows(8, 200)}
    found = compare(rows, rows)
    assert found["best_tuned"]["sigma_stall"] == 1.2
    assert found["ours_minus_best"]["success"] == pytest.approx(0.1)
    assert found["ours_minus_none"]["success"] == pytest.approx(0.5)
    assert found["seconds_ours_over_none"] == pytest.approx(0.5)


def test_false_firings_are_counted_by_episode() -> None:
    rows = [episode(seed, True, stalls=3 if seed == 0 else 0) for seed in range(10)]
    assert false_firings({Cell(OURS, 2): rows})["episodes_without_firing"] == pytest.approx(0.9)


def test_standing_is_counted_in_ticks() -> None:
    states = np.zeros((20, 2))
    states[5:] += 0.1
    assert (longest_stand(states), final_stand(states)) == (14, 14)
    creeping = np.linspace(0.0, 1.0, 20)[:, None]
    assert (longest_stand(creeping), final_stand(creeping)) == (0, 0)
    assert longest_stand(np.zeros((1, 2))) == final_stand(np.zeros((1, 2))) == 0


def test_the_benchmark_draws_a_plot_and_says_on_which_arm_nothing_should_fire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def evaluate(task, checkpoint, words, episodes, file, *, servo, seed, **_):
        asked.append((file.name, servo, len(words), episodes))
        good = {word: 9 if "push" in word else 5 for word in words}
        rows = {
            word: [episode(s, s - seed < good[word]) for s in range(seed, seed + episodes)] for word in words
        }
        return {"methods": {word: {"episodes": found} for word, found in rows.items()}}

    monkeypatch.setattr(command, "evaluate", evaluate)
    out, page = tmp_path / "stall.json", tmp_path / "stall.md"
    page.write_text("# Stall\n\n<!-- generated: stall -->\n<!-- end -->\n")
    results = command.bench_stall(
        out,
        tasks=("pick_place",),
        arms={"sticky": "sticky"},
        episodes=4,
        finals=10,
        seed=20_000,
        sigma_stalls=(0.6, 1.2),
        sigma_scales=(0.4, 1.0),
        images=tmp_path,
        page=page,
    )
    assert [name for name, *_ in asked] == ["pick_place.sticky.json"] * 2 + ["pick_place.ideal.json"]
    assert [count for *_, count in asked] == [4, 10, 10]
    assert asked[-1][1] == "sts3215"
    assert out.exists() and (tmp_path / "stall_pick_place_sticky.png").stat().st_size > 10_000
    arm = results["tasks"]["pick_place"]["sticky"]
    assert arm["ours_minus_best"]["success"] == pytest.approx(0.4)
    assert results["tasks"]["pick_place"]["ideal"]["episodes_without_firing"] == 1.0
    text = page.read_text()
    assert "[stall.json](stall.json)" in text and "stall_pick_place_sticky.png" in text
    assert "| motion and push, defaults | 2 | - | 90.0 " in text
    assert "Ours less the best tuned cell" in text and "+40.0" in text

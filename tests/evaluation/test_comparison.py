"""Contestants side by side: figures that belong together, contests on the same questions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from llink_ray.evaluation import comparison_plots
from llink_ray.evaluation.baselines import other_counts, settings_of, stage_a_of
from llink_ray.evaluation.comparison import (
    Baseline,
    answer_pairs,
    figures_table,
    from_run,
    judge_table,
    untrained_baseline,
)
from llink_ray.evaluation.comparison_report import ComparisonResult, write_comparison
from llink_ray.evaluation.judge import JudgeSettings, Summary, backend, judge
from llink_ray.settings import configure

RANKS = {"r1": 0.5, "r5": 0.7, "r10": 0.9, "mrr": 0.6, "mean_rank": 3.0, "count": 10}
QUESTIONS = [("a", "Who?", "the cook"), ("b", "How many?", "12"), ("c", "Where?", "at home")]


def rows(*given: str) -> list[dict[str, Any]]:
    asked = zip(QUESTIONS, given, strict=True)
    return [
        {"text": text, "kind": kind, "instruction": kind, "expected": known, "given": answer}
        for (text, kind, known), answer in asked
    ]


def document(**retrieval: float) -> dict[str, Any]:
    return {
        "retrieval": {name: {**RANKS, "r1": r1} for name, r1 in retrieval.items()},
        "answers": {"exact": 0.9, "numbers": 1.0, "chrf": 88.0},
        "slot_gain": {"zero": 1.5},
        "tokens": {"raw": 100.0, "slots": 20.0},
        "seconds": 9.0,
        "run_dir": "runs/x",
    }


OURS = from_run("ours", document(base=0.01, stage_a=0.8, stage_ab=0.9), rows("the cook", "12", "at home"))


def test_each_system_is_judged_by_its_last_vectors() -> None:
    assert OURS.figures["retrieval"]["r1"] == 0.9
    direct = from_run("finetune", document(base=0.01, direct=0.3), rows("", "", ""))
    assert direct.figures["retrieval"]["r1"] == 0.3


def base() -> Baseline:
    told = document(base=0.01, stage_a=0.8, stage_ab=0.9)
    return untrained_baseline(told, rows("the cook", "12", "at home"), ["the cook", "13", "nowhere"])


def test_the_untrained_decoder_is_scored_on_its_own_answers_and_pays_for_raw_text() -> None:
    figures = base().figures
    assert figures["retrieval"]["r1"] == 0.01
    assert figures["answers"]["exact"] == 1 / 3 and figures["answers"]["numbers"] == 0.0
    assert figures["tokens"] == {"raw": 100.0, "slots": 100.0, "ratio": 1.0}


def test_contests_pair_answers_to_the_same_question_and_skip_what_one_was_not_asked() -> None:
    other = Baseline("finetune", {}, rows("the king", "12", "at sea")[::-1][:2])
    held = answer_pairs(OURS, other, {"b": "There are 12."})
    assert [(c.source, c.answer_a, c.answer_b, c.meaning) for c in held] == [
        ("b", "12", "12", "There are 12."),
        ("c", "at home", "at sea", None),
    ]
    assert {(c.side_a, c.side_b) for c in held} == {("ours", "finetune")}


def judged() -> dict[str, Summary]:
    held = answer_pairs(OURS, base(), {})
    settings = JudgeSettings()
    return {"base": judge(held, backend(settings), Path(), settings=settings).summary}


def test_the_tables_and_pictures(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    found = judged()
    assert (found["base"].wins, found["base"].losses, found["base"].ties) == (2, 0, 1)
    table = figures_table([OURS, base()])
    assert [row[0] for row in table.rows] == ["ours", "base"]
    assert table.rows[0][1:] == ("0.900", "0.900", "0.900", "1.000", "88.0", "+1.50", "20")
    preferred = judge_table(found, "reference")
    assert preferred is not None and preferred.rows[0][1] == "2 / 0 / 1"
    assert judge_table({}, "reference") is None
    drawn = comparison_plots.figure_bars([OURS, base()], tmp_path / "plots" / "c.png")
    won = comparison_plots.judge_bars(found, tmp_path / "plots" / "j.png")
    assert won is not None and min(drawn.stat().st_size, won.stat().st_size) > 5_000
    assert comparison_plots.judge_bars({}, tmp_path / "none.png") is None


def trained(name: str, slots: int | None, tokens: float) -> Baseline:
    told = {**document(base=0.01, stage_a=0.8, stage_ab=0.9), "tokens": {"raw": 100.0, "slots": tokens}}
    return from_run(name, told, [], slots)


def test_quality_by_slots_wants_two_numbers_of_slots_and_else_equal_settings(tmp_path: Path) -> None:
    ours, path = trained("ours", 8, 24.0), tmp_path / "slots.png"
    others = [
        trained("finetune", None, 100.0),
        trained("paper-recipe", 16, 30.0),
        trained("no-usage", 8, 24.0),
    ]
    assert comparison_plots.slot_count_curves([ours, *others], path) is None and not path.exists()
    equal = trained("k4", 8, 24.0)
    assert comparison_plots.slot_count_curves([ours, equal], path) is None
    found = comparison_plots.by_slot_count(
        [ours, equal, trained("k16", 16, 32.0), trained("k2", 2, 18.0), *others]
    )
    assert [(k, c.name) for k, c in found.items()] == [(2, "k2"), (8, "ours"), (16, "k16")]
    assert comparison_plots.slot_count_curves([ours, trained("k2", 2, 18.0)], path) == path
    assert path.stat().st_size > 5_000


def test_other_numbers_of_slots_are_told_from_other_recipes() -> None:
    assert other_counts() == ["k1", "k2", "k4", "k16", "k32"]


def curve(steps: int, recall: bool = True) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = [
        {"stage": "a", "step": step, "loss": 2.0, "loss/contrastive": 1.0 / step}
        for step in range(1, steps + 1)
    ]
    return [*records, *([{"stage": "a", "step": steps, "validation/r1": 0.9}] if recall else [])]


def test_stage_a_curves_want_two_who_trained_it(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    assert comparison_plots.stage_a_curves({"ours": curve(9), "finetune": []}, path) is None
    assert comparison_plots.stage_a_curves({"ours": curve(9), "no-queue": curve(200, False)}, path) == path
    assert path.stat().st_size > 5_000


def test_stage_a_differs_by_its_own_settings_alone() -> None:
    ours = configure.resolve(*configure.layers("tiny", None, []))
    way = {
        name: stage_a_of(settings_of(name, ours))
        for name in ("k4", "no-usage", "mean-vector", "no-queue", "paper-recipe", "finetune", "no-stage-a")
    }
    assert way["k4"] == way["no-usage"] == way["mean-vector"] == stage_a_of(ours)
    assert way["no-queue"] != stage_a_of(ours) != way["paper-recipe"]
    assert way["finetune"] is way["no-stage-a"] is None


def test_the_report_shows_every_plot_that_there_is(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    found = ComparisonResult(
        [trained("ours", 8, 24.0), trained("k2", 2, 18.0)],
        judged(),
        "reference",
        {"ours": curve(9), "no-queue": curve(9)},
    )
    text = write_comparison(tmp_path, "bo, preset tiny", found).read_text("utf-8")
    shown = re.findall(r"!\[[^]]+\]\((plots/\w+\.png)\)", text)
    names = ("comparison", "retrieval", "judge", "slots", "stage_a")
    assert shown == [f"plots/{name}.png" for name in names]
    assert all((tmp_path / name).stat().st_size > 5_000 for name in shown)
    assert "- *k2*: 2 slots" in text and "2 / 0 / 1" in text
    few = ComparisonResult([trained("ours", 8, 24.0)])
    assert "judge" not in write_comparison(tmp_path / "few", "bo", few).read_text("utf-8")

"""Contestants side by side: figures that belong together, contests on the same questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llink_ray.evaluation import comparison_plots
from llink_ray.evaluation.comparison import (
    Contestant,
    contests,
    figures_sheet,
    from_run,
    judge_sheet,
    untouched,
)
from llink_ray.evaluation.judge import JudgeSettings, Summary, backend, judge

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


def base() -> Contestant:
    told = document(base=0.01, stage_a=0.8, stage_ab=0.9)
    return untouched(told, rows("the cook", "12", "at home"), ["the cook", "13", "nowhere"])


def test_the_untouched_decoder_is_scored_on_its_own_answers_and_pays_for_raw_text() -> None:
    figures = base().figures
    assert figures["retrieval"]["r1"] == 0.01
    assert figures["answers"]["exact"] == 1 / 3 and figures["answers"]["numbers"] == 0.0
    assert figures["tokens"] == {"raw": 100.0, "slots": 100.0, "ratio": 1.0}


def test_contests_pair_answers_to_the_same_question_and_skip_what_one_was_not_asked() -> None:
    other = Contestant("finetune", {}, rows("the king", "12", "at sea")[::-1][:2])
    held = contests(OURS, other, {"b": "There are 12."})
    assert [(c.source, c.answer_a, c.answer_b, c.meaning) for c in held] == [
        ("b", "12", "12", "There are 12."),
        ("c", "at home", "at sea", None),
    ]
    assert {(c.side_a, c.side_b) for c in held} == {("ours", "finetune")}


def judged() -> dict[str, Summary]:
    held = contests(OURS, base(), {})
    settings = JudgeSettings()
    return {"base": judge(held, backend(settings), Path(), settings=settings).summary}


def test_the_tables_and_pictures(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    found = judged()
    assert (found["base"].wins, found["base"].losses, found["base"].ties) == (2, 0, 1)
    sheet = figures_sheet([OURS, base()])
    assert [row[0] for row in sheet.rows] == ["ours", "base"]
    assert sheet.rows[0][1:] == ("0.900", "0.900", "0.900", "1.000", "88.0", "+1.50", "20")
    preferred = judge_sheet(found, "reference")
    assert preferred is not None and preferred.rows[0][1] == "2 / 0 / 1"
    assert judge_sheet({}, "reference") is None
    drawn = comparison_plots.figure_bars([OURS, base()], tmp_path / "plots" / "c.png")
    won = comparison_plots.judge_bars(found, tmp_path / "plots" / "j.png")
    assert won is not None and min(drawn.stat().st_size, won.stat().st_size) > 5_000
    assert comparison_plots.judge_bars({}, tmp_path / "none.png") is None

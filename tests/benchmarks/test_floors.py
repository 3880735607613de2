"""Labelled passages as a corpus, and floors and ceilings in several languages, on the embedded world."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from llink_ray.corpus import phrasebook
from llink_ray.corpus.pair import Question
from llink_ray.corpus.read import read

TOPICS = ["sports", "travel"]


@pytest.fixture
def sib200(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("sib200")


@pytest.fixture
def floors(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("floors")


def row(number: int, foreign: str, english: str, split: str = "dev", **more: object) -> dict[str, Any]:
    named = more or {"answers": TOPICS, "correct": number % 2}
    return {"id": f"x-{number}", "split": split, "passage_en": english, "passage_foreign": foreign, **named}


def write(file: Path, entries: list[dict[str, Any]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries), encoding="utf-8")
    return file


def test_rows_of_a_split_become_pairs_with_choices(
    sib200: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [row(0, "ཀ", "A game."), row(1, "ཁ", "A trip."), row(2, "ག", "A match.", split="test")]
    file, output = write(tmp_path / "bo.jsonl", entries), tmp_path / "out" / "corpus.jsonl"
    asked = [
        "--rows",
        str(file),
        "--split",
        "dev",
        "--output",
        str(output),
        "--question",
        "Which of {choices}?",
    ]
    assert sib200.main(asked) == 0
    pairs = list(read(str(output)))
    assert [pair.foreign for pair in pairs] == ["ཀ", "ཁ"] and pairs[0].source == "sib200_dev"
    assert pairs[1].questions == (
        Question("topic", "Which of sports, travel?", "travel", ("sports", "travel")),
    )
    told = json.loads(capsys.readouterr().out)
    assert told["pairs"] == 2 and told["topics"] == {"sports": 1, "travel": 1}


def test_labels_alone_are_enough(sib200: ModuleType, tmp_path: Path) -> None:
    file = write(
        tmp_path / "bo.jsonl",
        [row(0, "ཀ", "A game.", label="sports"), row(1, "ཁ", "A trip.", split="test", label="travel")],
    )
    (found,) = sib200.rows(file, "dev")
    assert found["label"] == "sports" and found["choices"] == TOPICS


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"id": 1}, "line 1 lacks 'split', 'passage_en', 'passage_foreign'"),
        (row(0, "ཀ", "A game.", answers=TOPICS, correct=2), "line 1 has neither 'label' nor 'answers'"),
        (row(0, "ཀ", "A game.", answers=TOPICS, label="art"), "the topic 'art' is none of"),
    ],
)
def test_rows_that_cannot_be_read_are_refused(
    sib200: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    entry: dict[str, Any],
    said: str,
) -> None:
    file = write(tmp_path / "bo.jsonl", [entry])
    assert sib200.main(["--rows", str(file), "--split", "dev", "--output", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The same English in two languages; one sentence is unusable in one of them."""
    known = phrasebook.pairs("bo", 14, seed=4)
    for code in ("bo", "km"):
        # What the foreign side says is of no matter here.
        texts = [pair.foreign for pair in phrasebook.pairs(code, 14, seed=4)]
        entries = [row(n, text, known[n].english) for n, text in enumerate(texts)]
        if code == "km":
            entries[3]["passage_foreign"] = "plain English"
        write(tmp_path / "qa" / "sib200" / f"{code}.jsonl", entries)
    return tmp_path


ASKED = ["--part", "dev", "--preset", "tiny", "--limit", "6", "--measure-set", "draws=100"]


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    lines = capsys.readouterr().out.splitlines()
    document: dict[str, Any] = json.loads(lines[-1])
    return document


def test_floors_in_two_languages(
    floors: ModuleType, data: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    tasks = ["--measure-set", "tasks=[retrieval, which_of_four, labelled]"]
    asked = ["--data", str(data), "--output", str(tmp_path / "out"), *ASKED, *tasks]
    assert floors.main(asked) == 0
    document = told(capsys)
    assert set(document["languages"]) == {"bo", "km"}
    figures = {code: told["figures"] for code, told in document["languages"].items()}
    for code in ("bo", "km"):
        assert document["languages"][code]["corpus"]["pairs"] == 13  # without the unusable one
        assert set(figures[code]) == {"retrieval", "which_of_four", "labelled:topic"}
    for task in ("which_of_four", "labelled:topic"):
        ceilings = [figures[code][task]["systems"]["ceiling"] for code in ("bo", "km")]
        assert ceilings[0] == ceilings[1]
    table = (tmp_path / "out" / "floors.md").read_text("utf-8")
    assert "| km | which of four | 6 | 0.25 |" in table
    parts = sorted((tmp_path / "out" / "measured" / "parts").iterdir())
    # Of each language: two floors' parts and both retrievals; of both: the ceilings' and those without text.
    assert len(parts) == 2 * (2 + 2) + 3 + 2
    assert floors.main(asked) == 0
    assert sorted((tmp_path / "out" / "measured" / "parts").iterdir()) == parts


def test_every_way_to_score(
    floors: ModuleType, data: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    tasks = ["--measure-set", "tasks=[which_of_four, labelled]", "--languages", "tibetan", "--calibrate"]
    assert floors.main(["--data", str(data), "--output", str(tmp_path / "out"), *ASKED, *tasks]) == 0
    rows = told(capsys)["calibration"]["bo"]
    assert [found["kind"] for found in rows] == ["which_of_four"] * 12 + ["labelled:topic"] * 18
    gaps = [found["gap"]["value"] for found in rows[:12]]
    assert gaps == sorted(gaps, reverse=True)
    assert "Ways to score" in (tmp_path / "out" / "calibration.md").read_text("utf-8")


def test_no_data_gets_a_sentence(
    floors: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LLINK_DATA", raising=False)
    assert floors.main([]) == 2
    assert "give --data FOLDER, or set LLINK_DATA" in capsys.readouterr().err
    assert floors.main(["--data", str(tmp_path)]) == 2
    assert "holds no .jsonl file" in capsys.readouterr().err


@pytest.mark.skipif("LLINK_DATA" not in os.environ, reason="LLINK_DATA names no folder of real text")
def test_real_rows_are_read(sib200: ModuleType) -> None:
    for file in sorted((Path(os.environ["LLINK_DATA"]) / "qa" / "sib200").glob("*.jsonl")):
        found = list(sib200.rows(file, "test"))
        assert len(found) == 204 and len(found[0]["choices"]) == 7

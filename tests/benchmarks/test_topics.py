from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from llink_ray.corpus.pair import Question
from llink_ray.corpus.read import read

CHOICES = ["sports", "travel"]


@pytest.fixture
def topics(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("topics")


def labelled(file: Path, rows: list[tuple[str, str, object]]) -> Path:
    entries = [
        {"text": foreign, "en": english, "answers": CHOICES, "correct": correct, "id": "x"}
        for foreign, english, correct in rows
    ]
    file.write_text("\n".join(map(json.dumps, entries)) + "\n\n", encoding="utf-8")
    return file


NAMES = ["--foreign", "text", "--english", "en"]


def test_passages_get_their_question_and_other_text_follows(
    topics: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = labelled(tmp_path / "p.jsonl", [("ကခ", "A game.", 0), ("ဂဃ", "A trip.", 1), ("ငစ", "A match.", 0)])
    parallel = tmp_path / "more.tsv"
    parallel.write_text("ကခ။\tThe game\nဆဇ\ta  game\nဈည\tSomething else.\n", encoding="utf-8")
    output = tmp_path / "out.jsonl"
    asked = ["--passages", str(file), "--parallel", str(parallel), "--output", str(output), *NAMES]
    assert topics.main(asked) == 0
    pairs = list(read(str(output)))
    # The first further pair is a passage's text, the second its English: neither may be there twice.
    assert [pair.foreign for pair in pairs] == ["ကခ", "ဂဃ", "ငစ", "ဈည"]
    wording = "What is this about? Choose among: sports, travel."
    assert pairs[1].questions == (Question("topic", wording, "travel"),)
    assert pairs[3].questions == ()
    told = json.loads(capsys.readouterr().out)
    assert (told["passages"], told["pairs"], told["topics"]) == (3, 4, {"sports": 2, "travel": 1})
    assert told["commonest"] == "sports" and told["commonest_share"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("correct", [2, -1, "sports", None])
def test_a_right_answer_that_is_none_of_the_choices_is_refused(
    topics: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], correct: object
) -> None:
    file = labelled(tmp_path / "p.jsonl", [("ကခ", "A game.", 0), ("ဂဃ", "A trip.", correct)])
    output = tmp_path / "out.jsonl"
    assert topics.main(["--passages", str(file), "--output", str(output), *NAMES]) == 2
    assert f"line 2: 'correct' is {correct!r}" in capsys.readouterr().err
    assert not output.exists()


def test_keys_by_other_names_are_said(
    topics: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = labelled(tmp_path / "p.jsonl", [("ကခ", "A game.", 0)])
    assert topics.main(["--passages", str(file), "--output", str(tmp_path / "out.jsonl")]) == 2
    assert "line 1 lacks 'passage_foreign', 'passage_en'" in capsys.readouterr().err

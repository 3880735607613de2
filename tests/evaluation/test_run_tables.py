from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from llink_ray.evaluation.run_tables import print_metrics, run_tables
from llink_ray.evaluation.table import format_duration, format_number


def shown(metrics: dict[str, Any], width: int = 60) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_metrics(metrics, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def row(text: str, start: str) -> list[str]:
    """The cells of the one row that starts with these words."""
    found = [line.strip() for line in text.splitlines() if line.strip().startswith(start)]
    assert len(found) == 1, (start, found)
    return re.split(r"\s{2,}", found[0])


def test_every_figure_stands_in_its_row(metrics: dict[str, Any]) -> None:
    text = shown(metrics, width=100)
    assert row(text, "decoder, raw text") == [
        "decoder, raw text",
        "0.002",
        "0.052",
        "0.102",
        "0.032",
        "498.2",
    ]
    assert row(text, "Stage A ")[1] == "0.684"
    assert row(text, "Stage A+B")[1] == "0.680"
    assert row(text, "how many") == ["how many", "64", "0.900", "0.910", "1.000"]
    assert row(text, "who") == ["who", "64", "0.960", "0.980", "–"]
    assert row(text, "all questions") == ["all questions", "128", "0.930", "0.962", "0.996"]
    assert row(text, "decoder, English text")[2] == "0.991"
    assert row(text, "zeroed") == ["zeroed", "+2.310"]
    assert row(text, "shuffled") == ["shuffled", "-0.050"]
    assert row(text, "raw text") == ["raw text", "103.6"]
    assert row(text, "kept") == ["kept", "11,804"]
    assert row(text, "· wrong script") == ["· wrong script", "6", "3, 9, 10322"]
    assert row(text, "encoder") == ["encoder", "some/encoder @ b7f947194"]
    assert row(text, "time") == ["time", "4 min 47 s"]
    assert "1,024 held-out pairs" in text and "changes R@1 by -0.004" in text
    assert "chrF 71.3 (nrefs:1|case:mixed|version:2.6.0)" in text
    assert "3.3 times" in text


def test_order_of_rows(metrics: dict[str, Any]) -> None:
    text = shown(metrics)
    places = [text.index(name) for name in ("how many", "who", "translate", "all questions")]
    assert places == sorted(places)
    assert text.index("· duplicate") < text.index("· wrong script")  # most frequent first


def test_sixty_columns_break_no_figure(metrics: dict[str, Any]) -> None:
    narrow, wide = shown(metrics, 60), shown(metrics, 200)
    assert max(map(len, narrow.splitlines())) <= 60
    assert re.findall(r"\d+\.\d{3}\b", narrow) == re.findall(r"\d+\.\d{3}\b", wide)
    for name in ("decoder, raw text", "Stage A+B", "how many", "all questions"):
        assert row(narrow, name) == row(wide, name)
    assert metrics["run_dir"] not in narrow  # too long for a line, yet whole:
    assert metrics["run_dir"] in re.sub(r"\n\s+", "", narrow)


def test_long_names_fold_and_figures_do_not(metrics: dict[str, Any]) -> None:
    metrics["answers"]["by_type"] = {"x" * 90: {"exact": 0.123, "f1": 0.456, "count": 1234567}}
    metrics["corpus"]["reasons"] = {"why " * 40: {"count": 7654321, "first_lines": [10**6] * 9}}
    text = shown(metrics)
    assert max(map(len, text.splitlines())) <= 60
    assert all(number in text for number in ("0.123", "0.456", "1,234,567", "7,654,321"))
    assert text.count("x") >= 90


def test_text_is_taken_literally(metrics: dict[str, Any]) -> None:
    metrics["language"] = "[red]bo[/red] :smile:"
    metrics["corpus"]["reasons"] = {"[bold]odd": {"count": 1, "first_lines": [4]}}
    text = shown(metrics)
    assert "[red]bo[/red] :smile:" in text and "[bold]odd" in text


def test_tables_go_to_stderr(metrics: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    print_metrics(metrics)
    found = capsys.readouterr()
    assert found.out == "" and "Retrieval" in found.err


@pytest.mark.parametrize(
    "empty",
    [
        {},
        {
            "retrieval": None,
            "answers": None,
            "corpus": None,
            "models": None,
            "tokens": None,
            "slot_gain": None,
        },
        {
            "retrieval": {},
            "answers": {"by_type": {}, "count": 0},
            "corpus": {},
            "tokens": {},
            "slot_gain": {},
        },
        {"tokens": {"raw": None, "slots": None, "ratio": None, "count": 0}, "slot_gain": {"zero": None}},
    ],
)
def test_metrics_of_nothing_show_nothing(empty: dict[str, Any]) -> None:
    assert shown(empty) == ""


@pytest.mark.parametrize("section", ["retrieval", "answers", "slot_gain", "tokens", "corpus"])
def test_a_missing_section_takes_only_its_table_away(metrics: dict[str, Any], section: str) -> None:
    before = {table.title for table in run_tables(metrics)}
    del metrics[section]
    assert len(before - {table.title for table in run_tables(metrics)}) == 1


def test_partial_figures_show_dashes(metrics: dict[str, Any]) -> None:
    metrics["retrieval"] = {"stage_a": {"r1": 0.5}, "base": None, "mine": {"r1": float("nan")}}
    metrics["answers"] = {"by_type": {"translate": {"exact": 0.0, "f1": 0.5, "count": 2}}, "count": 0}
    text = shown(metrics)
    assert row(text, "Stage A") == ["Stage A", "0.500", "–", "–", "–", "–"]
    assert row(text, "mine")[1] == "nan"
    assert row(text, "translate") == ["translate", "2", "0.000", "0.500", "–"]
    assert "all questions" not in text and "held-out pairs" not in text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (8.24, "8.2 s"),
        (59.96, "1 min 00 s"),
        (287.4, "4 min 47 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (1234, "1,234"), (0.12345, "0.123"), (1234.5, "1,234.500"), ("x", "x")]
)
def test_figures(value: object, text: str) -> None:
    assert format_number(value) == text


def test_numbers_kept_in_translations(metrics: dict[str, Any]) -> None:
    found = {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "faithful": 0.75, "source_numbers": 8}
    text = shown({**metrics, "fidelity": found})
    assert [row(text, name)[1] for name in ("precision", "recall", "f1", "faithful")] == [
        "0.500",
        "0.250",
        "0.333",
        "0.750",
    ]
    assert "Of 8 numbers" in text
    assert "Numbers in translations" not in shown({**metrics, "fidelity": {"f1": None}})


def test_sources_and_what_was_held_out_of_them() -> None:
    counts = {"train": 800, "validation": 20, "test": 90, "unseen": 0}
    metrics = {
        "corpus": {"kept": 1_000, "sources": {"": counts, "tico19": {**counts, "train": 0, "unseen": 1_200}}},
        "retrieval": {"stage_ab": {"r1": 0.5}, "base": {"r1": 0.01}},
        "answers": {"exact": None, "chrf": 31.24},
        "unseen": {"pairs": 1_200, "retrieval": {"stage_ab": {"r1": 0.25}}, "answers": {"chrf": 20.0}},
    }
    by_title = {table.title: table for table in run_tables(metrics)}
    assert by_title["Sources"].rows == (("–", "800", "20", "90", "0"), ("tico19", "0", "20", "90", "1,200"))
    assert by_title["Unseen sources"].rows == (("R@1, Stage A+B", "0.500", "0.250"), ("chrF", "31.2", "20.0"))
    assert "1,200 pairs" in by_title["Unseen sources"].note
    assert not {"Sources", "Unseen sources"} & {table.title for table in run_tables({"corpus": {"kept": 3}})}

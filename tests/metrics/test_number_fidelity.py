"""Numbers of answers against numbers of their sources."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llink_ray.metrics.number_fidelity import fidelity, value
from llink_ray.text.languages import Language, find


def test_shares_over_all_rows_by_hand() -> None:
    scores = fidelity(
        [
            ("༣༠ མི་ ༥", "30 people, 5 dogs"),  # both shared
            ("៣០ និង ៤", "30, 30 and 7"),  # of two one, of three one
            ("no number", "9"),  # made up
            ("12 cows", "some cows"),  # left out
            ("none", "none"),  # set apart
        ]
    )
    assert scores == {
        "precision": 3 / 6,
        "recall": 3 / 5,
        "f1": pytest.approx(6 / 11),
        "faithful": 1 / 3,
        "rows": 5,
        "rows_without_numbers": 1,
        "rows_with_answer_numbers": 3,
        "source_numbers": 5,
        "answer_numbers": 6,
        "shared_numbers": 3,
    }
    assert json.loads(json.dumps(scores)) == scores


def test_saying_a_number_twice_is_faithful_but_costs_precision() -> None:
    scores = fidelity([("5 cows", "5, yes, 5")])
    assert (scores["precision"], scores["recall"], scores["faithful"]) == (0.5, 1, 1)


@pytest.mark.parametrize("rows", [[], [("none", "none")]])
def test_nothing_to_measure_is_none_not_a_score(rows: list[tuple[str, str]]) -> None:
    scores = fidelity(rows)
    assert [scores[name] for name in ("precision", "recall", "f1", "faithful")] == [None] * 4
    assert scores["rows"] == scores["rows_without_numbers"] == len(rows)


def test_an_answer_without_numbers_has_a_recall_but_no_precision() -> None:
    scores = fidelity([("5 cows", "cows")])
    assert (scores["precision"], scores["recall"], scores["f1"], scores["faithful"]) == (None, 0, 0, None)


@pytest.mark.parametrize(
    ("language", "source", "answer", "same"),
    [
        ("Georgian", "1\u00a0234,5", "1,234.5", True),
        ("Georgian", "1,234", "1,234", False),
        ("Macedonian", "1.234", "1,234", True),
        ("Macedonian", "1.234", "1234", True),
        ("Macedonian", "1.234", "1.234", False),
        ("Tibetan", "༡,༢༣༤", "1234", True),
        ("Hindi", "१२,३४,५६७", "1,234,567", True),
        (None, "1,234", "1,234", True),
        (None, "1,234", "1234", False),
        (None, "1.234", "1,234", False),
        (None, "១០%", "10%", True),
        (None, "−៥", "-5", True),
        (None, "៥", "-5", False),
        (None, "1.50", "1.5", True),
        (None, "1.5", "15", False),
        (None, "05", "5", True),
        (None, "0", "-0", True),
        (None, "០១/០៥/២០២៤", "1-5-2024", True),
        (None, "1.5.2024", "1/5/2024", True),
        (None, "1/5/2024", "5/1/2024", False),
        (None, "༡༠:༣༠", "10:30", True),
        (None, "09:05", "9:05", True),
        (None, "10:30", "10:30:00", True),
        (None, "10:30", "10:03", False),
        (None, "10:30:15", "10/3/15", False),
    ],
)
def test_numbers_are_compared_by_value(language: str | None, source: str, answer: str, same: bool) -> None:
    scores = fidelity([(source, answer)], find(language) if language else None)
    assert (scores["f1"], scores["faithful"]) == (float(same), float(same))
    assert scores["source_numbers"] == scores["answer_numbers"] == 1


def test_a_language_of_unknown_separators_is_read_as_written() -> None:
    assert fidelity([("1,234", "1,234")], find("hmn"))["f1"] == 1


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("05", "5", False),
        ("05", "05", True),
        ("0.5", "0.50", True),
        ("00.5", "0.5", False),
        ("0", "00", False),
    ],
)
def test_leading_zeros_count_where_asked(first: str, second: str, same: bool) -> None:
    assert value(first) == value(second)
    assert (value(first, leading_zeros=True) == value(second, leading_zeros=True)) == same
    assert fidelity([(first, second)], leading_zeros=True)["f1"] == same


def test_leading_zeros_of_dates_and_times_too() -> None:
    for first, second in (("09:05", "9:05"), ("01/05/2024", "1/5/2024")):
        assert fidelity([(first, second)])["f1"] == 1
        assert fidelity([(first, second)], leading_zeros=True)["f1"] == 0


def test_percent_signs_count_unless_told() -> None:
    row = [("៣០ ភាគរយ", "30%")]
    assert fidelity(row)["f1"] == 0
    assert fidelity(row, percent_signs=False)["f1"] == 1


texts = st.text(alphabet="0159.,:/-% a༣", max_size=25)


@settings(deadline=None)
@given(st.lists(st.tuples(texts, texts), max_size=5), st.sampled_from([None, *map(find, ("mk", "ka", "bo"))]))
def test_shares_are_shares_and_an_echo_is_perfect(
    rows: list[tuple[str, str]], language: Language | None
) -> None:
    scores = fidelity(rows, language)
    assert all(scores[name] is None or 0 <= scores[name] <= 1 for name in ("precision", "recall", "faithful"))  # type: ignore[operator]
    echo = fidelity([(source, source) for source, _ in rows], language, language)
    wanted = 1.0 if echo["source_numbers"] else None
    assert echo["precision"] == echo["recall"] == echo["f1"] == echo["faithful"] == wanted

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llink_ray.metrics.answers import Answer, exact, f1, score


def answer(expected: str, given: str, kind: str = "what") -> Answer:
    return Answer(kind, "?", expected, given)


@pytest.mark.parametrize(
    ("expected", "given", "same"),
    [
        ("The teacher.", "the  teacher", True),
        ("Karma", " KARMA!  ", True),
        ("wait…", "wait ?!", True),
        ("Straße", "STRASSE", True),
        ("cafe\u0301", "caf\u00e9", True),
        ("30 %", "30", False),
        ("3.5", "35", False),
        ("the teacher", "teacher", False),
        ("a.b", "ab", False),
        ("?", "", False),
        ("", "", True),
    ],
)
def test_exact_match_forgives_form_but_not_content(expected: str, given: str, same: bool) -> None:
    assert exact(expected, given) is same


@pytest.mark.parametrize(
    ("expected", "given", "wanted"),
    [
        ("the red house", "The red house!", 1.0),
        ("the red house", "the house", 0.8),
        ("a b", "c d", 0.0),
        ("yes yes", "yes", 2 / 3),
        ("he said: “yes”", "he said yes", 1.0),
        ("", "", 1.0),
        ("", "something", 0.0),
        ("something", "  ", 0.0),
        ("%", "%", 1.0),
    ],
)
def test_token_f1(expected: str, given: str, wanted: float) -> None:
    assert f1(expected, given) == pytest.approx(wanted)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text("ab .%", max_size=12), st.text("ab .%", max_size=12))
def test_f1_is_symmetric_bounded_and_one_for_exact_matches(one: str, other: str) -> None:
    assert f1(one, other) == f1(other, one)
    assert 0.0 <= f1(one, other) <= 1.0
    if exact(one, other):
        assert f1(one, other) == 1.0


def test_overall_and_by_type() -> None:
    found = score(
        [
            answer("Pema", "pema", "who"),
            answer("Dorje", "Pema", "who"),
            answer("30", "30", "how_many"),
            answer("Pema has 30 yaks.", "Pema had 30 yaks.", "translate"),
        ]
    )
    assert (found["exact"], found["f1"], found["count"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3), 3)
    assert list(found["by_type"]) == ["how_many", "translate", "who"]
    assert found["by_type"]["who"] == {"exact": 0.5, "f1": 0.5, "count": 2, "numbers": None}
    assert found["by_type"]["translate"] == {"exact": 0.0, "f1": 0.75, "count": 1, "numbers": 1.0}


@pytest.mark.parametrize(
    ("expected", "given", "right"),
    [
        ("from 3 to 12", "12 and 3", False),
        ("from 3 to 12", "first 3, then 12", True),
        ("from 3 to 12", "3", False),
        ("30 yaks", "30 yaks and 2 more", False),
        ("30 yaks", "yaks", False),
        ("30 yaks", "300 yaks", False),
        ("30 yaks", "30 goats", True),
    ],
)
def test_numbers_must_be_the_same_in_the_same_order(expected: str, given: str, right: bool) -> None:
    found = score([answer(expected, given), answer("no digits", "here 7 there")])
    assert (found["numbers"], found["numbers_count"]) == (float(right), 1)


def test_chrf_is_sacrebleus_over_translations_only() -> None:
    from sacrebleu.metrics import CHRF

    texts = [("The dog sleeps.", "The dog sleep."), ("Nine goats ran.", "Nine goats run away.")]
    found = score([answer(e, g, "translate") for e, g in texts] + [answer("x", "entirely different")])
    metric = CHRF()
    wanted = metric.corpus_score([g for _, g in texts], [[e for e, _ in texts]])
    assert found["chrf"] == pytest.approx(wanted.score)
    assert 50 < found["chrf"] < 100
    assert "version:" in found["chrf_signature"] and "nc:6" in found["chrf_signature"]
    plus = CHRF(word_order=2).corpus_score([g for _, g in texts], [[e for e, _ in texts]])
    assert found["chrf++"] == pytest.approx(plus.score) != pytest.approx(found["chrf"])
    assert "nw:2" in found["chrf++_signature"]


def test_questions_without_translations_have_no_chrf() -> None:
    found = score([answer("a", "a")])
    assert (found["chrf"], found["chrf_signature"]) == (None, None)


def test_translations_alone_leave_the_questions_open() -> None:
    found = score([answer("a b", "a b", "translate")])
    assert (found["exact"], found["f1"], found["count"], found["chrf"]) == (None, None, 0, pytest.approx(100))


def test_no_answers() -> None:
    found = score([])
    assert (found["exact"], found["numbers"], found["by_type"], found["count"]) == (None, None, {}, 0)


def test_empty_texts_are_scored_too() -> None:
    found = score([answer("a", "", "translate"), answer("a", "")])
    assert (found["exact"], found["chrf"]) == (0.0, 0.0)

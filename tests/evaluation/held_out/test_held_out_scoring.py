"""From log-probabilities to right and wrong; translations, sentence by sentence."""

from __future__ import annotations

import numpy as np
import pytest

from llink_ray.evaluation.held_out.choices import Choice
from llink_ray.evaluation.held_out.scoring import CandidateScore, correct, score, variants
from llink_ray.evaluation.held_out.settings import Scoring
from llink_ray.evaluation.held_out.translation import numbers_kept, quality
from llink_ray.metrics.answers import Answer, chrf
from llink_ray.metrics.intervals import ratio


def choice(
    correct: int = 0, candidates: tuple[str, ...] = ("ab", "abcdefgh"), complete: bool = True
) -> Choice:
    return Choice("k", 0, "?", candidates, correct, complete)


TOLD = [[CandidateScore(-2.0, -5.0, 1), CandidateScore(-4.0, -1.0, 4)]]
EMPTY = [[CandidateScore(-1.0, -5.0, 1), CandidateScore(-9.0, -1.0, 4)]]


@pytest.mark.parametrize(
    ("scoring", "scores"),
    [
        (Scoring(length="sum", prior="none"), [-2, -4]),
        (Scoring(length="token", prior="none"), [-2, -1]),
        (Scoring(length="byte", prior="none"), [-1, -0.5]),
        (Scoring(length="sum", prior="none", end=True), [-7, -5]),
        (Scoring(length="token", prior="none", end=True), [-3.5, -1]),
        (Scoring(length="sum", prior="empty"), [-1, 5]),
        (Scoring(length="sum", prior="mean"), [-1, 5]),  # no labels that come again: as empty
    ],
)
def test_lengths_and_priors(scoring: Scoring, scores: list[float]) -> None:
    (found,) = score([choice()], TOLD, EMPTY, scoring)
    assert found == pytest.approx(scores)
    assert correct([choice(0)], [found]) == [float(scores[0] > scores[1])]


def test_a_part_of_an_answer_has_no_end() -> None:
    (found,) = score([choice(complete=False)], TOLD, EMPTY, Scoring(prior="none", end=True))
    assert found == pytest.approx([-2, -4])


def test_labels_lose_their_mean_over_the_set() -> None:
    told = [
        [CandidateScore(-1.0, 0, 1), CandidateScore(-3.0, 0, 1)],
        [CandidateScore(-1.0, 0, 1), CandidateScore(-2.0, 0, 1)],
    ]
    asked = [choice(0), choice(1)]
    plain = score(asked, told, [], Scoring(prior="none"))
    assert correct(asked, plain) == [1, 0]  # the first label is likelier whatever the text
    without = score(asked, told, [], Scoring(prior="mean"))
    assert [list(row) for row in without] == [[0, -0.5], [0, 0.5]]
    assert correct(asked, without) == [1, 1]


def test_ties_are_shared() -> None:
    assert correct([choice(1)], [np.array([1.0, 1.0])]) == [0.5]
    assert correct([choice(1, ("a", "b", "c"))], [np.array([2.0, 1.0, 1.0])]) == [0]


def test_every_way_to_score_is_another() -> None:
    assert len(set(map(str, variants(True)))) == 18 and len(set(map(str, variants(False)))) == 12


GIVEN = ["The cook sold 30 horses.", "Nobody knows it", ""]
KNOWN = ["The cook sold 31 horses.", "Nobody knew it.", "A house."]


def test_translations_resampled_whole_are_sacrebleu_s() -> None:
    from sacrebleu.metrics import BLEU, CHRF

    found = quality(GIVEN, KNOWN)
    for name, metric in (("chrf++", CHRF(word_order=2)), ("bleu", BLEU())):
        whole = found[name].value(found[name].statistics.sum(0)[None])[0]
        assert whole == pytest.approx(metric.corpus_score(GIVEN, [KNOWN]).score)
        assert found[name].scale == 100 and "version:" in found[name].signature
    assert "nw:2" in found["chrf++"].signature
    plain, _ = chrf([Answer("translate", "", b, a) for a, b in zip(GIVEN, KNOWN, strict=True)])
    assert plain != pytest.approx(found["chrf++"].value(found["chrf++"].statistics.sum(0)[None])[0])


def test_numbers_are_kept_or_lost() -> None:
    found = numbers_kept(["30 and 4", "none", "1,205"], ["30", "7", "1205"])
    assert found is not None
    # Two of three wanted, four given.
    assert ratio(found.statistics.sum(0)[None])[0] == pytest.approx(2 * 2 / (3 + 3))
    assert numbers_kept(["30"], ["none"]) is None

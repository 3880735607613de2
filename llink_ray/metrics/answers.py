"""Answers against known answers: exact match, token F1, numbers; chrF for translations.

Translations are free text: they are scored by chrF and kept out of the overall exact match and F1.
"""

from __future__ import annotations

import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llink_ray.corpus.pair import TRANSLATION_KIND
from llink_ray.text.numerals import numerals

FINAL = ".,;:!?…"
"""Marks that may end an answer without changing it. The percent sign is not one of them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer beside the known one."""

    kind: str
    """Type of question: ``who``, ``how_many``, … or ``translate``."""
    instruction: str
    """What was asked."""
    expected: str
    """The known answer."""
    given: str
    """The model's."""


def normalise(text: str) -> str:
    """Case folded, blanks collapsed, final punctuation off; text of punctuation alone stays."""
    text = " ".join(unicodedata.normalize("NFC", text).casefold().split())
    return text.rstrip(FINAL + " ") or text


def exact(expected: str, given: str) -> bool:
    """Whether both are the same once normalised."""
    return normalise(expected) == normalise(given)


def _tokens(text: str) -> list[str]:
    """Words between blanks, without the punctuation around them."""
    return [word.strip(string.punctuation + "…“”‘’") or word for word in normalise(text).split()]


def f1(expected: str, given: str) -> float:
    """Harmonic mean of precision and recall over words, each counted as often as it stands."""
    reference, answer = _tokens(expected), _tokens(given)
    if not reference or not answer:
        return float(reference == answer)
    shared = (Counter(reference) & Counter(answer)).total()
    return 2 * shared / (len(reference) + len(answer))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _numbers(answers: Sequence[Answer]) -> list[float]:
    """1 or 0 for each known answer with numerals: the same ones given, in order (1,000 is not 1000)."""
    pairs = [(numerals(a.expected), a.given) for a in answers]
    return [float(expected == numerals(given)) for expected, given in pairs if expected]


def _basic(answers: Sequence[Answer]) -> dict[str, Any]:
    return {
        "exact": _mean([float(exact(a.expected, a.given)) for a in answers]),
        "f1": _mean([f1(a.expected, a.given) for a in answers]),
        "count": len(answers),
    }


def chrf(answers: Sequence[Answer], word_order: int = 0) -> tuple[float, str]:
    """Corpus chrF, 0 to 100, of at least one translation, and the sacreBLEU signature it holds under.

    ``word_order`` 2 gives chrF++, which counts words and pairs of words, too.
    """
    from sacrebleu.metrics import CHRF  # late: the command line need not wait for it

    metric = CHRF(word_order=word_order)
    score = metric.corpus_score([a.given for a in answers], [[a.expected for a in answers]])
    return float(score.score), str(metric.get_signature())


def score(answers: Sequence[Answer]) -> dict[str, Any]:
    """The ``answers`` section of the metrics; shares are 0 to 1, and None where there was nothing to measure.

    ``exact``, ``f1``, ``count``: over the questions, translations apart. ``numbers``, ``numbers_count``: over
    all answers, translations too, whose known answer has numerals. ``by_type``: for each kind ``exact``,
    ``f1``, ``count``, ``numbers``. ``chrf``, ``chrf++`` (0 to 100) and the signature of each:
    over the translations.
    """
    kinds = sorted({a.kind for a in answers})
    by_kind = {kind: [a for a in answers if a.kind == kind] for kind in kinds}
    translations = by_kind.get(TRANSLATION_KIND, [])
    numbers = _numbers(answers)
    value, signature = chrf(translations) if translations else (None, None)
    plus, plus_signature = chrf(translations, word_order=2) if translations else (None, None)
    return {
        **_basic([a for a in answers if a.kind != TRANSLATION_KIND]),
        "numbers": _mean(numbers),
        "numbers_count": len(numbers),
        "by_type": {
            kind: _basic(group) | {"numbers": _mean(_numbers(group))} for kind, group in by_kind.items()
        },
        "chrf": value,
        "chrf_signature": signature,
        "chrf++": plus,
        "chrf++_signature": plus_signature,
    }

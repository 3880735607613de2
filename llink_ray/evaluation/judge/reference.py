"""The judge for questions whose true answer is known: no model, no request, no opinion."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from llink_ray.errors import LlinkError
from llink_ray.evaluation.judge.records import Case, JudgeResponse, Message, Verdict
from llink_ray.metrics.answers import exact, f1


class Reference:
    """Compares both answers with the known one.

    1. An exact match (normalised as ``metrics.answers`` does) beats one that is not; two are a tie.
    2. Else the score decides: the mean of token F1 and sentence chrF / 100, both 0 to 1. F1 sees whole
       words, chrF parts of them, so that it suits short answers and translations.
    3. Scores no further apart than ``margin`` are a tie.
    """

    remote = False
    identity = "reference"

    def __init__(self, margin: float = 0.05) -> None:
        """``margin``: 0 to 1, in units of the score."""
        self._margin = margin

    @cached_property
    def _chrf(self) -> Any:
        from sacrebleu.metrics import CHRF  # late: the command line need not wait for it

        return CHRF()

    def _score(self, known: str, answer: str) -> float:
        if not answer.strip():
            return 0.0
        letters = float(self._chrf.sentence_score(answer, [known]).score) / 100
        return (f1(known, answer) + letters) / 2

    def messages(self, case: Case) -> list[Message]:
        """None; the case must have a known answer."""
        if case.known is None:
            raise LlinkError(
                f"the reference judge needs a known answer, and {case.instruction[:60]!r} has none: "
                "leave such questions out, or set the judge's backend to endpoint"
            )
        return []

    def judge(self, case: Case) -> JudgeResponse:
        """Judge one case; see the class."""
        return JudgeResponse(self._verdict(case.known or "", case), self.messages(case), [])

    def _verdict(self, known: str, case: Case) -> Verdict:
        right = exact(known, case.first), exact(known, case.second)
        if right[0] or right[1]:
            return "tie" if right[0] and right[1] else "1" if right[0] else "2"
        ahead = self._score(known, case.first) - self._score(known, case.second)
        if abs(ahead) <= self._margin:
            return "tie"
        return "1" if ahead > 0 else "2"

"""Which of two answers is better: pairwise, anonymised, in both orders.

``backend(settings)`` gives the judge, ``judge(pairs, backend, directory)`` its judgements and their summary.
The reference judge needs known answers and no model; the endpoint judge asks any OpenAI-compatible server.
Verdicts that cost a request are cached; each is written to a transcript.
"""

from __future__ import annotations

from llink_ray.evaluation.judge.endpoint import Endpoint
from llink_ray.evaluation.judge.records import AnswerPair, Backend, Judgement
from llink_ray.evaluation.judge.reference import Reference
from llink_ray.evaluation.judge.run import JudgeResult, judge
from llink_ray.evaluation.judge.settings import JudgeSettings
from llink_ray.evaluation.judge.summary import Interval, Summary, summarise

__all__ = [
    "AnswerPair",
    "Backend",
    "Endpoint",
    "Interval",
    "JudgeResult",
    "JudgeSettings",
    "Judgement",
    "Reference",
    "Summary",
    "backend",
    "judge",
    "summarise",
]


def backend(settings: JudgeSettings) -> Backend:
    """The judge that the settings name. Nothing is asked yet."""
    return Endpoint(settings) if settings.backend == "endpoint" else Reference(settings.margin)

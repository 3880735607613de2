"""Translations against references: chrF++, BLEU, numbers kept; as statistics of each sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llink_ray.metrics.intervals import Statistics, Value, means, ratio
from llink_ray.metrics.number_fidelity import fidelity
from llink_ray.text.languages import DECODER_LANGUAGE


@dataclass(frozen=True)
class FigureStatistics:
    """One figure of n examples, in the form that the bootstrap takes."""

    statistics: Statistics
    value: Value
    scale: float = 1.0
    """The figure's largest value."""
    signature: str = ""
    """sacreBLEU's."""


def quality(answers: Sequence[str], references: Sequence[str]) -> dict[str, FigureStatistics]:
    """``chrf++`` and ``bleu`` of the corpus, 0 to 100, under sacreBLEU's defaults."""
    from sacrebleu.metrics import BLEU, CHRF  # late: the command line need not wait for it

    figures = {}
    for name, metric in (("chrf++", CHRF(word_order=2)), ("bleu", BLEU())):
        # sacreBLEU's own bootstrap uses the same two methods.
        rows = metric._extract_corpus_statistics(list(answers), [list(references)])

        def value(sums: Statistics, metric: CHRF | BLEU = metric) -> Statistics:
            scores = [metric._compute_score_from_stats(row.astype(int).tolist()).score for row in sums]
            return np.array(scores, dtype=np.float64)

        signature = str(metric.get_signature())
        figures[name] = FigureStatistics(np.array(rows, dtype=np.float64), value, 100.0, signature)
    return figures


def numbers_kept(answers: Sequence[str], references: Sequence[str]) -> FigureStatistics | None:
    """F1 of the answers' numbers against the references'; None where the references have none.

    Against the human English, not the foreign text: the same yardstick for every system.
    """
    rows = [
        fidelity([pair], DECODER_LANGUAGE, percent_signs=False)
        for pair in zip(references, answers, strict=True)
    ]
    if not any(row["source_numbers"] for row in rows):
        return None
    statistics = [
        (2 * (r["shared_numbers"] or 0), (r["source_numbers"] or 0) + (r["answer_numbers"] or 0))
        for r in rows
    ]
    return FigureStatistics(np.array(statistics, dtype=np.float64), ratio)


def mean_of(values: Sequence[float]) -> FigureStatistics:
    """The mean of one value an example."""
    return FigureStatistics(means(values), ratio)

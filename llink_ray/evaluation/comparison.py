"""Our run beside others on the same held-out text: figures, and whose answers a judge prefers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from llink_ray.evaluation.baselines import BASE, OURS, known
from llink_ray.evaluation.judge import AnswerPair, Summary
from llink_ray.evaluation.table import DASH, Table, format_interval, format_number, format_signed
from llink_ray.metrics.answers import Answer, score

Document = Mapping[str, Any]

_FINAL_VECTORS = ("base", "stage_a", "direct", "stage_ab")
"""Keys of ``retrieval``; a trained system is judged by the last of these that it has."""
_COPIED = ("answers", "passages", "mixed", "unseen", "slot_gain", "tokens", "seconds", "run_dir")


@dataclass(frozen=True)
class Baseline:
    """One system of a comparison with its figures and answers; our own run is the first of them."""

    name: str
    figures: dict[str, Any]
    """``retrieval``, ``answers``, ``tokens``; of a trained one ``slots`` (their number), ``slot_gain``,
    ``passages``, ``mixed``, ``unseen``, ``seconds``, ``run_dir``."""
    answers: Sequence[Document]
    """Rows of ``answers.json``: ``text``, ``kind``, ``instruction``, ``expected``, ``given``."""


def from_run(
    name: str, document: Document, answers: Sequence[Document], slots: int | None = None
) -> Baseline:
    """A system that was trained, from its job's document, its answers and its number of slots."""
    retrieval = document["retrieval"]
    vectors = next(key for key in reversed(_FINAL_VECTORS) if key in retrieval)
    figures = {key: document.get(key) for key in _COPIED}
    return Baseline(name, {"retrieval": retrieval[vectors], "slots": slots, **figures}, answers)


def untrained_baseline(ours: Document, questions: Sequence[Document], answers: Sequence[str]) -> Baseline:
    """The untrained decoder, from its answers to the raw text; ``ours`` is our run's document."""
    rows = [{**row, "given": text} for row, text in zip(questions, answers, strict=True)]
    raw = ours["tokens"]["raw"]
    figures = {
        "retrieval": ours["retrieval"]["base"],
        "answers": score([Answer(r["kind"], r["instruction"], r["expected"], r["given"]) for r in rows]),
        "tokens": {"raw": raw, "slots": raw, "ratio": 1.0},
    }
    return Baseline(BASE, figures, rows)


def answer_pairs(ours: Baseline, other: Baseline, meanings: Mapping[str, str]) -> list[AnswerPair]:
    """Both answers to every question that both were asked; ``meanings`` are the English of the texts."""
    theirs = {(row["text"], row["instruction"]): row["given"] for row in other.answers}
    return [
        AnswerPair(
            instruction=row["instruction"],
            source=row["text"],
            known=row["expected"],
            meaning=meanings.get(row["text"]),
            answer_a=row["given"],
            answer_b=theirs[row["text"], row["instruction"]],
            side_a=ours.name,
            side_b=other.name,
        )
        for row in ours.answers
        if (row["text"], row["instruction"]) in theirs
    ]


def described(name: str) -> str:
    """A system in words."""
    return "our run" if name == OURS else str(known()[name]["is"])


def figures_table(baselines: Sequence[Baseline]) -> Table:
    """A row for each system."""
    rows = []
    for baseline in baselines:
        figures = baseline.figures
        retrieval, answers = figures["retrieval"], figures["answers"]
        rows.append(
            (
                baseline.name,
                *map(
                    format_number, (retrieval["r1"], retrieval["r10"], answers["exact"], answers["numbers"])
                ),
                format_number(answers["chrf"], 1),
                format_signed((figures.get("slot_gain") or {}).get("zero"), 2),
                format_number(figures["tokens"]["slots"], 0),
            )
        )
    note = (
        "Held-out text. R: retrieval, foreign to English. Exact: answers to questions. "
        "Gain: nats a token lost when the slots are zeroed. Tokens: of the decoder's prompt."
    )
    columns = ("", "R@1", "R@10", "exact", "numbers", "chrF", "gain", "tokens")
    return Table("Comparison", columns, "lrrrrrrr", tuple(rows), note)


PREFERENCES = ("won / lost / tied", "preferred [95 %]", "ties half", "words")
"""Columns of :func:`preferences`."""


def preferences(summary: Summary) -> tuple[str, ...]:
    """Cells of a summary of judgements."""
    rate, half, a, b = summary.rate, summary.rate_ties_half, summary.length_a, summary.length_b
    return (
        " / ".join(map(format_number, (summary.wins, summary.losses, summary.ties))),
        format_interval(rate.rate, rate.low, rate.high) if rate else DASH,
        format_number(half.rate) if half else DASH,
        f"{a.words:.1f} / {b.words:.1f}" if a and b else DASH,
    )


def judge_table(summaries: Mapping[str, Summary], judge: str) -> Table | None:
    """How often our run was preferred over each other; None where nobody judged."""
    if not summaries:
        return None
    rows = tuple((name, *preferences(summary)) for name, summary in summaries.items())
    note = (
        f"Judge: {judge}. Both orders; a win that flips with the order is a tie. Preferred: ties set aside."
    )
    return Table("Judge", ("ours against", *PREFERENCES), "lrrrr", rows, note)


def summary_dict(summaries: Mapping[str, Summary]) -> dict[str, Any]:
    """For the JSON document."""
    return {name: asdict(summary) for name, summary in summaries.items()}

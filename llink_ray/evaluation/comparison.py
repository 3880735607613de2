"""Our run beside others on the same held-out text: figures, and who a judge prefers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from llink_ray.evaluation.baselines import BASE, OURS, known
from llink_ray.evaluation.judge import Contest, Summary
from llink_ray.evaluation.table import DASH, Table, format_number, format_signed
from llink_ray.metrics.answers import Answer, score

Document = Mapping[str, Any]

# The vectors that stand for a text when a contestant is done, the last of these that it has.
_FINAL = ("base", "stage_a", "direct", "stage_ab")


@dataclass(frozen=True)
class Baseline:
    """One system with its figures and answers."""

    name: str
    figures: dict[str, Any]
    """``retrieval``, ``answers``, ``tokens``; of a trained one ``slots`` (their number), ``slot_gain``,
    ``passages``, ``mixed``, ``unseen``, ``seconds``, ``run_dir``."""
    answers: Sequence[Document]
    """Rows of ``answers.json``: ``text``, ``kind``, ``instruction``, ``expected``, ``given``."""


_TOLD = ("answers", "passages", "mixed", "unseen", "slot_gain", "tokens", "seconds", "run_dir")


def from_run(
    name: str, document: Document, answers: Sequence[Document], slots: int | None = None
) -> Baseline:
    """A contestant that was trained, from its job's document, its answers and its number of slots."""
    retrieval = document["retrieval"]
    final = next(key for key in reversed(_FINAL) if key in retrieval)
    figures = {key: document.get(key) for key in _TOLD}
    return Baseline(name, {"retrieval": retrieval[final], "slots": slots, **figures}, answers)


def untouched(ours: Document, asked: Sequence[Document], given: Sequence[str]) -> Baseline:
    """The decoder as it came, from its answers to the raw text; ``ours`` is our run's document."""
    rows = [{**row, "given": text} for row, text in zip(asked, given, strict=True)]
    answers = [Answer(r["kind"], r["instruction"], r["expected"], r["given"]) for r in rows]
    raw = ours["tokens"]["raw"]
    figures = {
        "retrieval": ours["retrieval"]["base"],
        "answers": score(answers),
        "tokens": {"raw": raw, "slots": raw, "ratio": 1.0},
    }
    return Baseline(BASE, figures, rows)


def contests(ours: Baseline, other: Baseline, meanings: Mapping[str, str]) -> list[Contest]:
    """Every question that both were asked; ``meanings`` are the English of the texts."""
    theirs = {(row["text"], row["instruction"]): row["given"] for row in other.answers}
    return [
        Contest(
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
    """A contestant in words."""
    return "our run" if name == OURS else str(known()[name]["is"])


def figures_sheet(contestants: Sequence[Baseline]) -> Table:
    """A row for each contestant."""
    columns = ("", "R@1", "R@10", "exact", "numbers", "chrF", "gain", "tokens")
    rows = []
    for contestant in contestants:
        found = contestant.figures
        retrieval, answers = found["retrieval"], found["answers"]
        rows.append(
            (
                contestant.name,
                format_number(retrieval["r1"]),
                format_number(retrieval["r10"]),
                format_number(answers["exact"]),
                format_number(answers["numbers"]),
                format_number(answers["chrf"], 1),
                format_signed((found.get("slot_gain") or {}).get("zero"), 2),
                format_number(found["tokens"]["slots"], 0),
            )
        )
    note = (
        "Held-out text. R: retrieval, foreign to English. Exact: answers to questions. "
        "Gain: nats a token lost when the slots are zeroed. Tokens: of the decoder's prompt."
    )
    return Table("Comparison", columns, "l" + "r" * (len(columns) - 1), tuple(rows), note)


def judge_sheet(summaries: Mapping[str, Summary], judge: str) -> Table | None:
    """How often our run was preferred over each other."""
    rows = [(name, *preferences(found)) for name, found in summaries.items()]
    if not rows:
        return None
    columns = ("ours against", *PREFERENCES)
    note = (
        f"Judge: {judge}. Both orders; a win that flips with the order is a tie. Preferred: ties set aside."
    )
    return Table("Judge", columns, "lrrrr", tuple(rows), note)


PREFERENCES = ("won / lost / tied", "preferred [95 %]", "ties half", "words")
"""Columns of what judgements come to."""


def preferences(found: Summary) -> tuple[str, ...]:
    """The cells under them."""
    rate, half, a, b = found.rate, found.rate_ties_half, found.length_a, found.length_b
    return (
        f"{format_number(found.wins)} / {format_number(found.losses)} / {format_number(found.ties)}",
        f"{rate.rate:.3f} [{rate.low:.3f}, {rate.high:.3f}]" if rate else DASH,
        f"{half.rate:.3f}" if half else DASH,
        f"{a.words:.1f} / {b.words:.1f}" if a and b else DASH,
    )


def summary_dict(summaries: Mapping[str, Summary]) -> dict[str, Any]:
    """Of the document."""
    return {name: asdict(summary) for name, summary in summaries.items()}

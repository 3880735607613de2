"""What has to be shown on the embedded models, and whether it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llink_ray.evaluation.baselines import BASE, OURS
from llink_ray.evaluation.judge import Summary
from llink_ray.evaluation.table import DASH, Table
from paper.figures import Document, Spread, combine, pooled_summary, spread_over

PAPER, FINETUNE = "paper-recipe", "finetune"


@dataclass(frozen=True)
class Target:
    """One line of the table."""

    description: str
    required: str
    measured: str
    reached: bool | None
    """None where nothing was measured, or nothing is required."""
    value: float | None


def _target(
    description: str,
    required: str,
    spread: Spread | None,
    reached: Callable[[float], bool] | None,
    digits: int = 3,
) -> Target:
    if spread is None:
        return Target(description, required, DASH, None, None)
    decided = reached(round(spread.mean, 9)) if reached else None
    return Target(description, required, spread.text(digits), decided, spread.mean)


def _preferred(description: str, summary: Summary | None, least: float) -> Target:
    required = f"≥ {100 * least:.1f} %, lower end above 50 %"
    if summary is None or summary.rate is None:
        return Target(description, required, DASH, None, None)
    rate, low, high = (100 * share for share in (summary.rate.rate, summary.rate.low, summary.rate.high))
    counts = f"{summary.wins} / {summary.losses} / {summary.ties} won / lost / tied"
    measured = f"{rate:.1f} % ({low:.1f} to {high:.1f}), {counts}"
    reached = summary.rate.rate >= least and summary.rate.low > 0.5
    return Target(description, required, measured, reached, summary.rate.rate)


def targets(documents: Sequence[Document]) -> list[Target]:
    """Every target that comparisons with the baselines can be held to; means decide."""

    def against_paper(key: str, how: Callable[[float, float], float]) -> Spread | None:
        return combine(documents, (OURS, key), (PAPER, key), how)

    def difference(a: float, b: float) -> float:
        return a - b

    def points(a: float, b: float) -> float:
        return 100 * (a - b)

    def ratio(a: float, b: float) -> float:
        return a / max(b, 1.0)  # of chrF (0 to 100) and tokens: less than 1 counts as 1

    mixed = combine(documents, (OURS, "mixed.exact"), (OURS, "mixed.alone"), points)
    tokens = combine(documents, (OURS, "tokens.raw"), (OURS, "tokens.slots"), ratio)
    return [
        _target(
            "default − paper recipe, answers exact, points",
            "≥ +20",
            against_paper("answers.exact", points),
            lambda value: value >= 20,
            1,
        ),
        _target(
            "numbers exact, default",
            "≥ .98",
            spread_over(documents, OURS, "answers.numbers"),
            lambda value: value >= 0.98,
        ),
        _target(
            "numbers exact, paper recipe", "reported", spread_over(documents, PAPER, "answers.numbers"), None
        ),
        _target(
            "translation chrF, default ÷ paper recipe",
            "≥ 1.5",
            against_paper("answers.chrf", ratio),
            lambda value: value >= 1.5,
            2,
        ),
        _preferred("preferred over the untrained decoder", pooled_summary(documents, BASE), 0.813),
        _preferred("preferred over direct fine-tuning", pooled_summary(documents, FINETUNE), 0.636),
        _target("R@1, default", "reported", spread_over(documents, OURS, "retrieval.r1"), None),
        _target("R@1, paper recipe", "reported", spread_over(documents, PAPER, "retrieval.r1"), None),
        _target(
            "R@1, default − paper recipe",
            "not lower",
            against_paper("retrieval.r1", difference),
            lambda value: value >= 0,
        ),
        _target(
            "two- to six-sentence passages, a question about one sentence, exact",
            "≥ .85",
            spread_over(documents, OURS, "passages.exact"),
            lambda value: value >= 0.85,
        ),
        _target(
            "foreign beside English − foreign alone, exact, points",
            "≥ −2",
            mixed,
            lambda value: value >= -2,
            1,
        ),
        _target("decoder prompt tokens, raw ÷ slots", "≥ 5", tokens, lambda value: value >= 5, 1),
    ]


def targets_table(lines: Sequence[Target]) -> Table:
    """As a table."""
    words = {True: "yes", False: "no", None: DASH}
    rows = tuple((t.description, t.required, t.measured, words[t.reached]) for t in lines)
    note = (
        "Mean, and from least to most over languages and seeds. Preferred: judge by known answers, both "
        "orders, ties set aside, all pairs of answers together, 95 % interval. Speed has its own benchmarks."
    )
    return Table("Targets", ("", "required", "measured", "reached"), "llll", rows, note)

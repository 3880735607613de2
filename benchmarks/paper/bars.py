"""What has to be shown on the embedded world, and whether it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llink_ray.evaluation.baselines import BASE, OURS
from llink_ray.evaluation.judge import Summary
from llink_ray.evaluation.table import DASH, Table
from paper.figures import Document, Spread, both, over, pooled

PAPER, FINETUNE = "paper-recipe", "finetune"


@dataclass(frozen=True)
class Bar:
    """One line of the table."""

    what: str
    wanted: str
    found: str
    reached: bool | None
    """None where nothing was measured, or nothing is asked."""
    figure: float | None


def _bar(
    what: str, wanted: str, found: Spread | None, reached: Callable[[float], bool] | None, digits: int = 3
) -> Bar:
    if found is None:
        return Bar(what, wanted, DASH, None, None)
    return Bar(
        what, wanted, found.told(digits), reached(round(found.mean, 9)) if reached else None, found.mean
    )


def _preferred(what: str, found: Summary | None, least: float) -> Bar:
    wanted = f"≥ {100 * least:.1f} %, lower end above 50 %"
    if found is None or found.rate is None:
        return Bar(what, wanted, DASH, None, None)
    rate, low, high = (100 * share for share in (found.rate.rate, found.rate.low, found.rate.high))
    counts = f"{found.wins} / {found.losses} / {found.ties} won / lost / tied"
    told = f"{rate:.1f} % ({low:.1f} to {high:.1f}), {counts}"
    return Bar(what, wanted, told, found.rate.rate >= least and found.rate.low > 0.5, found.rate.rate)


def bars(documents: Sequence[Document]) -> list[Bar]:
    """Every bar that comparisons with the baselines can be held to; means decide."""

    def against_paper(key: str, how: Callable[[float, float], float]) -> Spread | None:
        return both(documents, (OURS, key), (PAPER, key), how)

    def less(a: float, b: float) -> float:
        return a - b

    def points(a: float, b: float) -> float:
        return 100 * (a - b)

    def ratio(a: float, b: float) -> float:
        return a / max(b, 1.0)  # chrF of 0 to 100, and tokens: less than 1 is as good as nothing

    mixed = both(documents, (OURS, "mixed.exact"), (OURS, "mixed.alone"), points)
    tokens = both(documents, (OURS, "tokens.raw"), (OURS, "tokens.slots"), ratio)
    return [
        _bar(
            "default − paper recipe, answers exact, points",
            "≥ +20",
            against_paper("answers.exact", points),
            lambda found: found >= 20,
            1,
        ),
        _bar(
            "numbers exact, default", "≥ .98", over(documents, OURS, "answers.numbers"), lambda f: f >= 0.98
        ),
        _bar("numbers exact, paper recipe", "reported", over(documents, PAPER, "answers.numbers"), None),
        _bar(
            "translation chrF, default ÷ paper recipe",
            "≥ 1.5",
            against_paper("answers.chrf", ratio),
            lambda found: found >= 1.5,
            2,
        ),
        _preferred("preferred over the untouched decoder", pooled(documents, BASE), 0.813),
        _preferred("preferred over direct fine-tuning", pooled(documents, FINETUNE), 0.636),
        _bar("R@1, default", "reported", over(documents, OURS, "retrieval.r1"), None),
        _bar("R@1, paper recipe", "reported", over(documents, PAPER, "retrieval.r1"), None),
        _bar(
            "R@1, default − paper recipe", "not lower", against_paper("retrieval.r1", less), lambda f: f >= 0
        ),
        _bar(
            "two- to six-sentence passages, a question about one sentence, exact",
            "≥ .85",
            over(documents, OURS, "passages.exact"),
            lambda found: found >= 0.85,
        ),
        _bar(
            "foreign beside English − foreign alone, exact, points",
            "≥ −2",
            mixed,
            lambda found: found >= -2,
            1,
        ),
        _bar("decoder prompt tokens, raw ÷ slots", "≥ 5", tokens, lambda found: found >= 5, 1),
    ]


def bars_sheet(found: Sequence[Bar]) -> Table:
    """As a table."""
    said = {True: "yes", False: "no", None: DASH}
    rows = tuple((bar.what, bar.wanted, bar.found, said[bar.reached]) for bar in found)
    note = (
        "Mean, and from least to most over languages and seeds. Preferred: judge by known answers, both "
        "orders, ties set aside, all contests together, 95 % interval. Speed has benchmarks of its own."
    )
    return Table("Bars", ("", "wanted", "found", "reached"), "llll", rows, note)

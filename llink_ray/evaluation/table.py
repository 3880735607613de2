"""The metrics as rows of text: made once, shown in the terminal (``tables``) and in Markdown (``report``).

Every sheet tolerates metrics that lack its part: it is then None, or shows a dash in the cell.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llink_ray.corpus.pair import TRANSLATION_KIND
from llink_ray.corpus.split import SPLITS

Metrics = Mapping[str, Any]

DASH = "–"
SYSTEMS = {
    "base": "decoder, raw text",
    "direct": "direct LoRA",
    "stage_a": "Stage A",
    "stage_ab": "Stage A+B",
}
ABLATIONS = {"zero": "zeroed", "shuffle": "shuffled", "mean": "mean slot"}


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table; ``align`` has ``l`` or ``r`` for each column, and empty column names mean no head."""

    title: str
    columns: tuple[str, ...]
    align: str
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def format_number(value: object, digits: int = 3) -> str:
    """A number with ``digits`` decimals and thousands apart; a dash for nothing."""
    if value is None:
        return DASH
    if isinstance(value, float):
        return f"{value:,.{digits}f}" if math.isfinite(value) else str(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def format_signed(value: object, digits: int = 3) -> str:
    """A number with its sign; a dash for nothing."""
    return f"{value:+.{digits}f}" if isinstance(value, int | float) else DASH


def humanize(key: object) -> str:
    """A key as words: ``how_many`` -> ``how many``."""
    return str(key).replace("_", " ")


def format_duration(seconds: float) -> str:
    """``8.2 s``, ``4 min 07 s``, ``2 h 05 min``."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60:02d} min"


def in_order(kinds: Iterable[str]) -> list[str]:
    """Types of question by name, translations last."""
    return sorted(kinds, key=lambda kind: (kind == TRANSLATION_KIND, kind))


def _section(metrics: Metrics, name: str) -> Metrics:
    value = metrics.get(name)
    return value if isinstance(value, Mapping) else {}


def _sentences(parts: Iterable[str]) -> str:
    return " ".join(part for part in parts if part)


def _model(value: object) -> str:
    """A model with its revision, from ``{"model": …, "revision": …}`` or plain text."""
    if not isinstance(value, Mapping):
        return str(value)
    name = value.get("model") or value.get("id") or value.get("name") or DASH
    revision = value.get("revision") or value.get("fingerprint")
    return f"{name} @ {revision}" if revision else str(name)


def run_sheet(metrics: Metrics) -> Table:
    """What ran: language, preset, models with revisions, corpus hash, seed, commit, steps, time, places."""
    steps, seconds = metrics.get("steps"), metrics.get("seconds")
    if isinstance(steps, Mapping):
        steps = ", ".join(f"{humanize(stage)}: {format_number(count)}" for stage, count in steps.items())
    found = {
        "language": metrics.get("language"),
        "preset": metrics.get("preset"),
        **{humanize(role): _model(value) for role, value in _section(metrics, "models").items()},
        "corpus": metrics.get("corpus_hash") or _section(metrics, "corpus").get("hash"),
        "seed": metrics.get("seed"),
        "commit": metrics.get("commit"),
        "steps": steps if isinstance(steps, str) or steps is None else format_number(steps),
        "time": None if seconds is None else format_duration(seconds),
        "run": metrics.get("run_dir"),
        "bundle": metrics.get("bundle"),
    }
    rows = ((name, str(value)) for name, value in found.items() if value is not None)
    return Table("Run", ("", ""), "ll", tuple(rows))


def retrieval_sheet(metrics: Metrics) -> Table | None:
    """Foreign -> English retrieval, a row for each system."""
    found = _section(metrics, "retrieval")
    names = [n for n in SYSTEMS if found.get(n)] + [n for n in found if n not in SYSTEMS and found[n]]
    if not names:
        return None
    rows = tuple(
        (
            SYSTEMS.get(name, humanize(name)),
            *(format_number(found[name].get(key)) for key in ("r1", "r5", "r10", "mrr")),
            format_number(found[name].get("mean_rank"), 1),
        )
        for name in names
    )
    counts = sorted({found[name]["count"] for name in names if found[name].get("count")})
    note = f"{' / '.join(map(format_number, counts))} held-out pairs, foreign to English." if counts else ""
    if found.get("stage_a") and found.get("stage_ab"):
        change = found["stage_ab"]["r1"] - found["stage_a"]["r1"]
        note = _sentences([note, f"Stage B changes R@1 by {format_signed(change)}."])
    return Table("Retrieval", ("", "R@1", "R@5", "R@10", "MRR", "rank"), "lrrrrr", rows, note)


def answers_sheet(metrics: Metrics) -> Table | None:
    """Answers by type of question, all questions, and the decoder on the English text itself."""
    found = _section(metrics, "answers")
    by_type = _section(found, "by_type")
    if not by_type and not found.get("count"):
        return None

    def row(name: str, part: Metrics) -> tuple[str, ...]:
        shares = (format_number(part.get(key)) for key in ("exact", "f1", "numbers"))
        return (name, format_number(part.get("count")), *shares)

    rows = [row(humanize(kind), by_type[kind]) for kind in in_order(by_type)]
    if found.get("count"):
        rows.append(row("all questions", found))
    english = _section(metrics, "decoder_english")
    if english:
        rows.append(row("decoder, English text", english))
    note = []
    if found.get("numbers_count"):
        note.append(
            "Numbers: the share whose numbers are all right and in order, "
            f"of {format_number(found['numbers_count'])} answers with any, translations included."
        )
    if found.get("chrf") is not None:
        signature = found.get("chrf_signature") or "unsigned"
        note.append(f"Translations: chrF {format_number(found['chrf'], 1)} ({signature}).")
    columns = ("question", "n", "exact", "F1", "numbers")
    return Table("Answers on held-out text", columns, "lrrrr", tuple(rows), _sentences(note))


def passages_sheet(metrics: Metrics) -> Table | None:
    """Questions about one sentence of several, by how many there are, and beside English text."""
    found, mixed = _section(metrics, "passages"), _section(metrics, "mixed")
    if not found.get("count"):
        return None
    rows = [
        (f"{size} sentences", format_number(part["count"]), format_number(part["exact"]))
        for size, part in _section(found, "by_sentences").items()
    ]
    rows.append(("all passages", format_number(found["count"]), format_number(found["exact"])))
    if mixed.get("count"):
        rows.append(("foreign and English", format_number(mixed["count"]), format_number(mixed["exact"])))
        rows.append(("the same, foreign alone", format_number(mixed["count"]), format_number(mixed["alone"])))
    return Table("One sentence of several", ("message", "n", "exact"), "lrr", tuple(rows))


def fidelity_sheet(metrics: Metrics) -> Table | None:
    """Numbers in translations against numbers in their sources."""
    found = _section(metrics, "fidelity")
    if found.get("f1") is None:
        return None
    rows = tuple(
        (humanize(key), format_number(found.get(key))) for key in ("precision", "recall", "f1", "faithful")
    )
    note = (
        f"Of {format_number(found.get('source_numbers'))} numbers in the texts translated. "
        "Faithful: the share of translations with no number that is not in the text."
    )
    return Table("Numbers in translations", ("", "share"), "lr", rows, note)


def gain_sheet(metrics: Metrics) -> Table | None:
    """Slot gain for each ablation."""
    found = {k: v for k, v in _section(metrics, "slot_gain").items() if k in ABLATIONS and v is not None}
    if not found:
        return None
    rows = tuple((label, format_signed(found[key])) for key, label in ABLATIONS.items() if key in found)
    note = "Loss with the slots ablated minus loss with them: above 0, the slots are used."
    return Table("Slot gain", ("slots", "nats a token"), "lr", rows, note)


def tokens_sheet(metrics: Metrics) -> Table | None:
    """Decoder prompt tokens a message, raw text against slots."""
    found = _section(metrics, "tokens")
    if found.get("raw") is None and found.get("slots") is None:
        return None
    rows = (("raw text", format_number(found.get("raw"), 1)), ("slots", format_number(found.get("slots"), 1)))
    ratio = found.get("ratio")
    note = f"Raw text takes {format_number(ratio, 1)} times the tokens." if ratio is not None else ""
    return Table("Decoder prompt tokens", ("message as", "tokens"), "lr", rows, note)


def corpus_sheet(metrics: Metrics) -> Table | None:
    """Pairs kept and dropped, by reason, with the first lines dropped for it."""
    found = _section(metrics, "corpus")
    if found.get("kept") is None and found.get("dropped") is None:
        return None
    reasons = sorted(_section(found, "reasons").items(), key=lambda item: (-item[1].get("count", 0), item[0]))
    rows = [
        ("kept", format_number(found.get("kept")), ""),
        ("dropped", format_number(found.get("dropped")), ""),
    ]
    for reason, dropped in reasons:
        lines = ", ".join(str(line) for line in dropped.get("first_lines", ()) if line)
        rows.append((f"· {humanize(reason)}", format_number(dropped.get("count")), lines))
    return Table("Corpus", ("pairs", "count", "first lines"), "lrl", tuple(rows))


def sources_sheet(metrics: Metrics) -> Table | None:
    """Pairs by source and split; an unnamed source is a dash."""
    found = _section(_section(metrics, "corpus"), "sources")
    rows = tuple(
        (name or DASH, *(format_number(counts.get(s)) for s in SPLITS)) for name, counts in found.items()
    )
    return Table("Sources", ("pairs from", *SPLITS), "l" + "r" * len(SPLITS), rows)


def unseen_sheet(metrics: Metrics) -> Table | None:
    """The test pairs beside pairs of sources that were held out of training."""
    found = _section(metrics, "unseen")
    if not found:
        return None
    rows = []
    for system, label in SYSTEMS.items():
        own, other = (_section(_section(part, "retrieval"), system) for part in (metrics, found))
        if other:
            rows.append((f"R@1, {label}", format_number(own.get("r1")), format_number(other.get("r1"))))
    own, other = (_section(part, "answers") for part in (metrics, found))
    for key, label, digits in (("exact", "answers exact", 3), ("f1", "answers F1", 3), ("chrf", "chrF", 1)):
        if other.get(key) is not None:
            rows.append((label, format_number(own.get(key), digits), format_number(other.get(key), digits)))
    note = f"{format_number(found.get('pairs'))} pairs of sources that were held out of training."
    return Table("Unseen sources", ("", "test", "unseen"), "lrr", tuple(rows), note)


def sheets(metrics: Metrics) -> list[Table]:
    """All sheets that these metrics can fill, in the order they are read."""
    made = (
        run_sheet(metrics),
        corpus_sheet(metrics),
        sources_sheet(metrics),
        retrieval_sheet(metrics),
        answers_sheet(metrics),
        passages_sheet(metrics),
        fidelity_sheet(metrics),
        gain_sheet(metrics),
        tokens_sheet(metrics),
        unseen_sheet(metrics),
    )
    return [sheet for sheet in made if sheet is not None and sheet.rows]

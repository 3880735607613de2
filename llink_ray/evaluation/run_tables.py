"""The tables of a training run's metrics. Each tolerates metrics that lack its part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console

from llink_ray.corpus.pair import TRANSLATION_KIND
from llink_ray.corpus.split import SPLITS
from llink_ray.evaluation.table import (
    DASH,
    Table,
    format_duration,
    format_number,
    format_signed,
    humanize,
    print_tables,
)

Metrics = Mapping[str, Any]

_TRANSLATION = (("chrf", "chrF"), ("chrf++", "chrF++"))
SYSTEMS = {
    "base": "decoder, raw text",
    "direct": "direct LoRA",
    "stage_a": "Stage A",
    "stage_ab": "Stage A+B",
}
ABLATIONS = {"zero": "zeroed", "shuffle": "shuffled", "mean": "mean slot"}


def run_tables(metrics: Metrics) -> list[Table]:
    """All tables that these metrics can fill, in reading order."""
    tables = (
        _run(metrics),
        _corpus(metrics),
        _sources(metrics),
        _retrieval(metrics),
        _answers(metrics),
        _passages(metrics),
        _fidelity(metrics),
        _slot_gain(metrics),
        _tokens(metrics),
        _unseen(metrics),
    )
    return [table for table in tables if table is not None and table.rows]


def print_metrics(metrics: Metrics, console: Console | None = None) -> None:
    """All tables of the metrics, to stderr unless another console is given."""
    print_tables(run_tables(metrics), console)


def sort_kinds(kinds: Iterable[str]) -> list[str]:
    """Types of question by name, translations last."""
    return sorted(kinds, key=lambda kind: (kind == TRANSLATION_KIND, kind))


def _section(metrics: Metrics, name: str) -> Metrics:
    value = metrics.get(name)
    return value if isinstance(value, Mapping) else {}


def _numbers(part: Metrics, *keys: str, digits: int = 3) -> list[str]:
    return [format_number(part.get(key), digits) for key in keys]


def _model(value: object) -> str:
    """A model with its revision, from ``{"model": …, "revision": …}`` or plain text."""
    if not isinstance(value, Mapping):
        return str(value)
    name = value.get("model") or value.get("id") or value.get("name") or DASH
    revision = value.get("revision") or value.get("fingerprint")
    return f"{name} @ {revision}" if revision else str(name)


def _run(metrics: Metrics) -> Table:
    steps, seconds = metrics.get("steps"), metrics.get("seconds")
    if isinstance(steps, Mapping):
        steps = ", ".join(f"{humanize(stage)}: {format_number(count)}" for stage, count in steps.items())
    facts = {
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
    rows = ((name, str(value)) for name, value in facts.items() if value is not None)
    return Table("Run", ("", ""), "ll", tuple(rows))


def _retrieval(metrics: Metrics) -> Table | None:
    systems = _section(metrics, "retrieval")
    names = sorted((n for n in systems if systems[n]), key=[*SYSTEMS, *systems].index)
    if not names:
        return None
    rows = tuple(
        (
            SYSTEMS.get(name, humanize(name)),
            *_numbers(systems[name], "r1", "r5", "r10", "mrr"),
            *_numbers(systems[name], "mean_rank", digits=1),
        )
        for name in names
    )
    counts = sorted({systems[name]["count"] for name in names if systems[name].get("count")})
    note = f"{' / '.join(map(format_number, counts))} held-out pairs, foreign to English." if counts else ""
    if systems.get("stage_a") and systems.get("stage_ab"):
        change = systems["stage_ab"]["r1"] - systems["stage_a"]["r1"]
        note = f"{note} Stage B changes R@1 by {format_signed(change)}.".lstrip()
    return Table("Retrieval", ("", "R@1", "R@5", "R@10", "MRR", "rank"), "lrrrrr", rows, note)


def _answers(metrics: Metrics) -> Table | None:
    answers = _section(metrics, "answers")
    by_type = _section(answers, "by_type")
    if not by_type and not answers.get("count"):
        return None
    parts = {humanize(kind): by_type[kind] for kind in sort_kinds(by_type)}
    if answers.get("count"):
        parts["all questions"] = answers
    if english := _section(metrics, "decoder_english"):
        parts["decoder, English text"] = english
    rows = tuple((name, *_numbers(part, "count", "exact", "f1", "numbers")) for name, part in parts.items())
    notes = []
    if answers.get("numbers_count"):
        notes.append(
            "Numbers: the share whose numbers are all right and in order, "
            f"of {format_number(answers['numbers_count'])} answers with any, translations included."
        )
    for key, label in _TRANSLATION:
        if answers.get(key) is not None:
            signature = answers.get(f"{key}_signature") or "unsigned"
            notes.append(f"Translations: {label} {format_number(answers[key], 1)} ({signature}).")
    columns = ("question", "n", "exact", "F1", "numbers")
    return Table("Answers on held-out text", columns, "lrrrr", rows, " ".join(notes))


def _passages(metrics: Metrics) -> Table | None:
    passages, mixed = _section(metrics, "passages"), _section(metrics, "mixed")
    if not passages.get("count"):
        return None
    by_size = _section(passages, "by_sentences")
    rows = [(f"{size} sentences", *_numbers(part, "count", "exact")) for size, part in by_size.items()]
    rows.append(("all passages", *_numbers(passages, "count", "exact")))
    if mixed.get("count"):
        rows.append(("foreign and English", *_numbers(mixed, "count", "exact")))
        rows.append(("the same, foreign alone", *_numbers(mixed, "count", "alone")))
    return Table("One sentence of several", ("message", "n", "exact"), "lrr", tuple(rows))


def _fidelity(metrics: Metrics) -> Table | None:
    fidelity = _section(metrics, "fidelity")
    if fidelity.get("f1") is None:
        return None
    rows = tuple((key, *_numbers(fidelity, key)) for key in ("precision", "recall", "f1", "faithful"))
    note = (
        f"Of {format_number(fidelity.get('source_numbers'))} numbers in the texts translated. "
        "Faithful: the share of translations with no number that is not in the text."
    )
    return Table("Numbers in translations", ("", "share"), "lr", rows, note)


def _slot_gain(metrics: Metrics) -> Table | None:
    gain = _section(metrics, "slot_gain")
    rows = tuple(
        (label, format_signed(gain[key])) for key, label in ABLATIONS.items() if gain.get(key) is not None
    )
    note = "Loss with the slots ablated minus loss with them: above 0, the slots are used."
    return Table("Slot gain", ("slots", "nats a token"), "lr", rows, note)


def _tokens(metrics: Metrics) -> Table | None:
    tokens = _section(metrics, "tokens")
    if tokens.get("raw") is None and tokens.get("slots") is None:
        return None
    rows = tuple(
        (name, *_numbers(tokens, key, digits=1)) for name, key in (("raw text", "raw"), ("slots", "slots"))
    )
    ratio = tokens.get("ratio")
    note = f"Raw text takes {format_number(ratio, 1)} times the tokens." if ratio is not None else ""
    return Table("Decoder prompt tokens", ("message as", "tokens"), "lr", rows, note)


def _corpus(metrics: Metrics) -> Table | None:
    """Pairs kept and dropped, by reason, with the first lines dropped for it."""
    corpus = _section(metrics, "corpus")
    if corpus.get("kept") is None and corpus.get("dropped") is None:
        return None
    rows = [(key, *_numbers(corpus, key), "") for key in ("kept", "dropped")]
    reasons = _section(corpus, "reasons").items()
    for reason, dropped in sorted(reasons, key=lambda item: (-item[1].get("count", 0), item[0])):
        lines = ", ".join(str(line) for line in dropped.get("first_lines", ()) if line)
        rows.append((f"· {humanize(reason)}", *_numbers(dropped, "count"), lines))
    return Table("Corpus", ("pairs", "count", "first lines"), "lrl", tuple(rows))


def _sources(metrics: Metrics) -> Table:
    sources = _section(_section(metrics, "corpus"), "sources")
    rows = tuple((name or DASH, *_numbers(counts, *SPLITS)) for name, counts in sources.items())
    return Table("Sources", ("pairs from", *SPLITS), "l" + "r" * len(SPLITS), rows)


def _unseen(metrics: Metrics) -> Table | None:
    """The test pairs beside pairs of sources that were held out of training."""
    unseen = _section(metrics, "unseen")
    if not unseen:
        return None
    rows = []
    for system, label in SYSTEMS.items():
        test, other = (_section(_section(part, "retrieval"), system) for part in (metrics, unseen))
        if other:
            rows.append((f"R@1, {label}", *_numbers(test, "r1"), *_numbers(other, "r1")))
    test, other = (_section(part, "answers") for part in (metrics, unseen))
    named = (("exact", "answers exact", 3), ("f1", "answers F1", 3), *((*part, 1) for part in _TRANSLATION))
    for key, label, digits in named:
        if other.get(key) is not None:
            rows.append((label, *_numbers(test, key, digits=digits), *_numbers(other, key, digits=digits)))
    note = f"{format_number(unseen.get('pairs'))} pairs of sources that were held out of training."
    return Table("Unseen sources", ("", "test", "unseen"), "lrr", tuple(rows), note)

"""``README.md`` of a bundle: what it is, how well it does, how to load it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llink_ray.bundles.manifest import BundleInfo, ModelInfo

MISSING = "–"
_RETRIEVAL_ROWS = (
    ("base", "decoder on raw text"),
    ("stage_a", "Stage A"),
    ("stage_ab", "Stage A+B"),
    ("direct", "direct LoRA"),
)
_RETRIEVAL_COLUMNS = (
    ("r1", "R@1"),
    ("r5", "R@5"),
    ("r10", "R@10"),
    ("mrr", "MRR"),
    ("mean_rank", "mean rank"),
)


def base_card(info: BundleInfo, training: Mapping[str, Any]) -> str:
    """Card of a shared base. ``training`` has its steps, examples, languages (pairs by code), text."""
    counts = ", ".join(f"{code} {count:,}" for code, count in training["languages"].items())
    before = training.get("examples_before")
    start = f", going on from a base that had seen {before:,}," if before else ""
    return "\n".join(
        [
            "# LLINK base for many languages",
            "",
            f"Projector, slots and adapters between {info.encoder.id} ({info.encoder.weights}) and "
            f"{info.decoder.id} ({info.decoder.weights}), in half precision.",
            "",
            f"Trained for {training['steps']:,} steps ({training['examples']:,} examples){start} on English "
            "read through the encoder",
            f"as if it were foreign, and on pairs of these languages: {counts}.",
            "",
            f"Text: {training['text'] or 'its maker does not say from where'}. No sentence of it is in here.",
            "",
            "Figures with floor and ceiling: docs/real.md of the project. Its answers are often wrong: names",
            "and longer sentences above all.",
            "",
            "Teach a language from it: `llink-ray train --lang=… --preset=small --init-from=base "
            "--corpus=…`.",
            "",
        ]
    )


def model_card(info: BundleInfo, metrics: Mapping[str, Any]) -> str:
    """The card as Markdown. ``metrics`` has the keys of the job's last line; any of them may be missing."""
    info = info.redact()
    language = f"{info.language_name} ({info.language})" if info.language_name else info.language
    slots = f"{info.slots.count}, {info.slots.variant}"
    return "\n".join(
        [
            f"# LLINK bundle: {language}",
            "",
            f"Lets a frozen English decoder read {language} through {info.slots.count} soft slots."
            if info.slots.count
            else _without_slots(info, language),
            "",
            "## Load",
            "",
            "```python",
            "import llink_ray",
            "",
            'model = llink_ray.load("path/to/this/directory")',
            "model.translate(text)",
            "```",
            "",
            "The encoder and the decoder below are not in this directory; they are loaded by their ids and",
            "checked against their fingerprints.",
            "",
            "## Retrieval, foreign to English, held-out pairs",
            "",
            *_retrieval(_branch(metrics, "retrieval")),
            "",
            "## Answers, held-out questions",
            "",
            *_answers(_branch(metrics, "answers")),
            "",
            "## Use of the slots and cost",
            "",
            *_table(
                ("figure", "value"),
                [
                    ("slot gain, slots zeroed (nats)", _at(metrics, "slot_gain", "zero")),
                    ("slot gain, slots shuffled (nats)", _at(metrics, "slot_gain", "shuffle")),
                    ("decoder tokens a message, raw text", _at(metrics, "tokens", "raw")),
                    ("decoder tokens a message, slots", _at(metrics, "tokens", "slots")),
                ],
            ),
            "",
            "## Made from",
            "",
            *_table(
                ("what", "value"),
                [
                    ("encoder", _model(info.encoder)),
                    ("decoder", _model(info.decoder)),
                    ("slots", slots + (", numerals beside them" if info.slots.numerals else "")),
                    ("text", f"normal form {info.normalisation}"),
                    ("preset", info.settings.get("preset")),
                    ("pairs kept", _at(metrics, "corpus", "kept")),
                    ("pairs dropped", _total(_branch(metrics, "corpus").get("dropped"))),
                    ("corpus hash", info.corpus_hash),
                    ("seed", info.seed),
                    ("commit", info.commit),
                    ("trained on from", info.parent),
                    ("created", info.created.isoformat()),
                    *sorted(info.packages.items()),
                ],
            ),
            "",
        ]
    )


def _without_slots(info: BundleInfo, language: str) -> str:
    if info.settings.get("stage_b", {}).get("source") == "english":
        return f"Adapters trained on the English side of {language} text, which it expects: a ceiling."
    return f"Direct fine-tuning on raw {language} text, without slots: a baseline."


def _retrieval(retrieval: Mapping[str, Any]) -> list[str]:
    return _table(
        ("", *(title for _, title in _RETRIEVAL_COLUMNS)),
        [
            (title, *(_at(retrieval, row, column) for column, _ in _RETRIEVAL_COLUMNS))
            for row, title in _RETRIEVAL_ROWS
        ],
    )


def _answers(answers: Mapping[str, Any]) -> list[str]:
    rows: list[tuple[Any, Any, Any]] = [
        ("all", answers.get("exact"), answers.get("f1")),
        ("numbers", *_exact_and_f1(answers.get("numbers"))),
    ]
    by_type = _branch(answers, "by_type")
    rows += [(kind, *_exact_and_f1(by_type[kind])) for kind in sorted(by_type)]
    return _table(("question type", "exact match", "token F1"), rows)


def _exact_and_f1(value: Any) -> tuple[Any, Any]:
    """A type's figures: exact match alone, or a mapping with both."""
    if isinstance(value, Mapping):
        return value.get("exact"), value.get("f1")
    return value, None


def _model(model: ModelInfo) -> str:
    revision = f" at {model.revision}" if model.revision else ""
    weights = f", weights {model.weights}" if model.weights else ""
    return f"{model.id}{revision}{weights}, width {model.hidden_size}, fingerprint {model.fingerprint}"


def _branch(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = tree.get(key)
    return value if isinstance(value, Mapping) else {}


def _at(tree: Mapping[str, Any], branch: str, leaf: str) -> Any:
    return _branch(tree, branch).get(leaf)


def _total(dropped: Any) -> Any:
    """Dropped lines come as one number or by reason."""
    if not isinstance(dropped, Mapping):
        return dropped
    counts = [item.get("count") if isinstance(item, Mapping) else item for item in dropped.values()]
    return sum(count for count in counts if isinstance(count, int))


def _table(head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> list[str]:
    lines = [head, tuple("---" if index == 0 else "---:" for index in range(len(head))), *rows]
    return ["| " + " | ".join(_cell(value) for value in line) + " |" for line in lines]


def _cell(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value).replace("|", "\\|").replace("\n", " ")

"""Decoder prompt tokens of the same questions with the raw text in the prompt, with slots, and in English.

    python benchmarks/tokens.py                                         # phrasebooks, embedded decoder
    python benchmarks/tokens.py --tokenizer embedded --tokenizer DIR    # and another vocabulary
    python benchmarks/tokens.py --lang km --corpus parallel/km.tsv      # real text

The questions are those that a run of the preset asks after training: of the held-out pairs, instruction and
numerals included. DIR is a Hugging Face directory, or a folder with a GPT-2 style ``vocab.json`` and
``merges.txt`` (or ``encoder.json`` and ``vocab.bpe``). *Cut* is the share of texts longer than the encoder
reads (``encoder.max_characters``): slots stand for less than the raw prompt holds there. A Markdown table
goes to stderr, one JSON line to stdout.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llink_ray.corpus import phrasebook, prepare
from llink_ray.errors import LlinkError
from llink_ray.metrics.token_cost import token_cost
from llink_ray.models.decoder import load_tokenizer
from llink_ray.prompts.builder import PromptBuilder
from llink_ray.prompts.instructions import Example, evaluation_examples, translation_examples
from llink_ray.prompts.message import split_message
from llink_ray.settings import Settings, configure
from llink_ray.text import languages
from llink_ray.text.languages import Language

BPE_FILES = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
"""Vocabulary and merges, as GPT-2 style folders name them."""


def tokenizer_of(name: str, settings: Settings) -> Any:
    """The tokenizer called ``name``: the preset's own, a bare vocabulary, or whatever a directory holds.

    Raises:
        LlinkError: there is none.
    """
    folder = Path(name).expanduser()
    if folder.is_dir() and not any(
        (folder / f).is_file() for f in ("tokenizer.json", "tokenizer_config.json")
    ):
        from transformers import GPT2TokenizerFast

        for vocabulary, merges in BPE_FILES:
            if (folder / vocabulary).is_file() and (folder / merges).is_file():
                return GPT2TokenizerFast(vocab=str(folder / vocabulary), merges=str(folder / merges))
        wanted = " or ".join(f"{vocabulary} with {merges}" for vocabulary, merges in BPE_FILES)
        raise LlinkError(f"{name} holds no tokenizer: wanted is tokenizer.json, or {wanted}")
    return load_tokenizer(settings.decoder.model_copy(update={"model": name, "revision": None}))


def held_out(settings: Settings, language: Language) -> list[Example]:
    """What a run asks after training: questions with known answers, then translations."""
    pairs = prepare(language, settings.corpus, settings.seed).splits.test
    asked = evaluation_examples(pairs, settings.evaluation.answers, settings.seed)
    return asked + translation_examples(pairs, settings.evaluation.translations)


def measure(
    prompt: PromptBuilder, examples: Sequence[Example], settings: Settings, language: Language
) -> dict[str, float | int | None]:
    """Mean prompt tokens by form, their ratio, and what was left out.

    ``text_ratio`` is that of the text's own tokens to those that stand for it, the instruction apart.
    ``refused`` messages have more sentences than ``slots.max_sentences`` and are in no other figure.
    """
    raw, slots, english, around = [], [], [], []
    cut = refused = 0
    for example in examples:
        try:
            parts = split_message(example.foreign, language, settings.slots.max_sentences)
        except LlinkError:
            refused += 1
            continue
        raw.append(len(prompt.text_prompt(example.instruction, example.foreign)))
        slots.append(len(prompt.slot_prompt(example.instruction, parts, settings.slots, language)))
        english.append(len(prompt.text_prompt(example.instruction, example.english)))
        around.append(len(prompt.text_prompt(example.instruction, "")))
        cut += any(len(part.text) > settings.encoder.max_characters for part in parts if part.foreign)
    found = token_cost(raw, slots)
    count = len(raw)
    return {
        **found,
        "english": sum(english) / count if count else None,
        "text_ratio": (sum(raw) - sum(around)) / (sum(slots) - sum(around)) if count else None,
        "cut": cut / count if count else None,
        "refused": refused,
    }


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Markdown."""
    yield "| tokenizer | language | raw | slots | raw ÷ slots | text alone | English | cut | questions |"
    yield "|---" * 9 + "|"
    for row in rows:
        figures = (row["raw"], row["slots"], row["ratio"], row["text_ratio"], row["english"], row["cut"])
        cells = ["–" if value is None else f"{value:.2f}" for value in figures]
        refused = f" ({row['refused']} refused)" if row["refused"] else ""
        yield f"| {row['tokenizer']} | {row['language']} | {' | '.join(cells)} | {row['count']}{refused} |"


def run(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each language and tokenizer."""
    settings = configure.resolve(*configure.layers(asked.preset, None, asked.set))
    if asked.corpus:
        corpus = settings.corpus.model_copy(update={"path": asked.corpus})
        settings = settings.model_copy(update={"corpus": corpus})
    names = asked.tokenizer or [settings.decoder.model]
    prompts = {}
    for name in names:
        tokenizer = tokenizer_of(name, settings)
        tokenizer.model_max_length = sys.maxsize  # nothing is run on these tokens: no warning at long ones
        prompts[name] = PromptBuilder(tokenizer)
    rows = []
    for code in asked.lang or phrasebook.languages():
        language = languages.find(code)
        examples = held_out(settings, language)
        for name, prompt in prompts.items():
            shown = Path(name).name if Path(name).is_dir() else name
            figures = measure(prompt, examples, settings, language)
            rows.append({"tokenizer": shown, "language": language.code, **figures})
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lang", action="append", help="a language; may be repeated (default: phrasebooks)")
    parser.add_argument("--corpus", help="parallel text of the one language named, .tsv or .jsonl")
    parser.add_argument("--tokenizer", action="append", metavar="DIR", help="may be repeated")
    parser.add_argument("--preset", default="tiny", help="K, variant, numerals, and what is held out")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="as for jobs/train.py"
    )
    asked = parser.parse_args(arguments)
    if asked.corpus and len(asked.lang or []) != 1:
        parser.error("--corpus is the text of one language: name it with --lang")
    try:
        rows = run(asked)
    except LlinkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print("\n".join(table(rows)), file=sys.stderr)
    print(json.dumps({"benchmark": "tokens", "preset": asked.preset, "rows": rows}, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Rebuild the embedded models: ``make tiny``, or ``python -m llink_ray.tools.embedded_models``.

About half an hour on two cores. The last line on stdout is one JSON document with the decoder's accuracy on
English text that neither model was built from.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from llink_ray.corpus import phrasebook
from llink_ray.metrics.answers import Answer, exact, score
from llink_ray.models.decoder import Decoder
from llink_ray.prompts.instructions import evaluation_examples, in_passages, translation_examples
from llink_ray.prompts.message import number_sentences
from llink_ray.settings import DecoderSettings
from llink_ray.tools import embedded_decoder as build_decoder
from llink_ray.tools import embedded_encoder as build_encoder
from llink_ray.tools.conversations import MOST

HERE = Path(__file__).parent


def accuracy(folder: Path, questions: int = 400, translations: int = 100) -> dict[str, Any]:
    """How well the decoder answers in English, on sentences of part ``bundle`` of every language."""
    decoder = Decoder.load(DecoderSettings(model=str(folder)))
    answers = []
    for code in phrasebook.languages():
        pairs = phrasebook.pairs(code, questions + translations, seed=9)
        asked = evaluation_examples(pairs, questions, 0) + translation_examples(pairs, translations)
        given = decoder.answer_english([(e.instruction, e.english) for e in asked], 64, 48)
        answers += [
            Answer(e.kind, e.instruction, e.answer, text) for e, text in zip(asked, given, strict=True)
        ]
    return score(answers)


def passages(folder: Path, questions: int = 200) -> dict[str, float]:
    """Share answered right in English about one sentence of several, by their number; pairs as above."""
    decoder = Decoder.load(DecoderSettings(model=str(folder)))
    right: dict[int, list[bool]] = {}
    for code in phrasebook.languages():
        pairs = phrasebook.pairs(code, questions, seed=9)
        asked = in_passages(evaluation_examples(pairs, questions, 0), pairs, 1.0, MOST, 0.0, code)
        texts = [number_sentences([s.english for s in e.sentences]) for e in asked]
        given = decoder.answer_english(
            [(e.instruction, text) for e, text in zip(asked, texts, strict=True)], 64, 48
        )
        for example, answer in zip(asked, given, strict=True):
            right.setdefault(len(example.sentences), []).append(exact(example.answer, answer))
    return {str(size): sum(right[size]) / len(right[size]) for size in sorted(right)}


def main(
    output: Annotated[Path, typer.Option(help="Folder that gets encoder/ and decoder/.")] = HERE,
    fraction: Annotated[float, typer.Option(help="Share of all training steps, for a trial.")] = 1.0,
    pairs: Annotated[int, typer.Option(help="Sentences of each language.")] = 12_000,
    threads: Annotated[int, typer.Option(help="Torch threads.")] = 2,
    with_encoder: Annotated[bool, typer.Option(help="The encoder, too.")] = True,
) -> None:
    """Train the embedded models from nothing and save them in half precision."""
    torch.set_num_threads(threads)

    def shortened(steps: int) -> int:
        return max(2, round(steps * fraction))

    if with_encoder:
        reader = build_encoder.EncoderRecipe()
        reader = replace(reader, steps=shortened(reader.steps), pairs_per_language=pairs)
        build_encoder.save(*build_encoder.train(reader, log_every=50), output / "encoder")
    speaker = build_decoder.DecoderRecipe()
    speaker = replace(speaker, steps=shortened(speaker.steps), pairs_per_language=pairs)
    build_decoder.save(*build_decoder.train(speaker, log_every=50), output / "decoder")
    questions = max(11, round(400 * fraction))
    document = {
        "job": "tiny",
        "output": str(output),
        "decoder_english": accuracy(output / "decoder", questions, questions // 4),
        "decoder_english_passages": passages(output / "decoder", max(11, questions // 2)),
    }
    print(json.dumps(document, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    typer.run(main)

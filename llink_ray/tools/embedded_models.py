"""Rebuilds the embedded models: ``make tiny``, or ``python -m llink_ray.tools.embedded_models``.

Takes about half an hour on two cores. The last line on stdout is one JSON document with the decoder's
accuracy on English text that neither model was trained on.
"""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
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
from llink_ray.tools import embedded_decoder, embedded_encoder
from llink_ray.tools.dialogues import MAX_SENTENCES

SHIPPED = Path(str(resources.files("llink_ray.models.tiny")))


def accuracy(folder: Path, questions: int = 400, translations: int = 100) -> dict[str, Any]:
    """Scores of the decoder's answers in English, on sentences of part ``bundle`` of every language."""
    decoder = Decoder.load(DecoderSettings(model=str(folder)))
    answers = []
    for code in phrasebook.languages():
        pairs = phrasebook.pairs(code, questions + translations, seed=9)
        examples = evaluation_examples(pairs, questions, 0) + translation_examples(pairs, translations)
        texts = decoder.answer_english([(e.instruction, e.english) for e in examples], 64, 48)
        answers += [
            Answer(e.kind, e.instruction, e.answer, text) for e, text in zip(examples, texts, strict=True)
        ]
    return score(answers)


def passages(folder: Path, questions: int = 200) -> dict[str, float]:
    """Exact answers in English about one sentence of several, by their number; pairs as above."""
    decoder = Decoder.load(DecoderSettings(model=str(folder)))
    right: dict[int, list[bool]] = {}
    for code in phrasebook.languages():
        pairs = phrasebook.pairs(code, questions, seed=9)
        single = evaluation_examples(pairs, questions, 0)
        examples = in_passages(single, pairs, 1.0, MAX_SENTENCES, 0.0, code)
        prompts = [(e.instruction, number_sentences([s.english for s in e.sentences])) for e in examples]
        for example, answer in zip(examples, decoder.answer_english(prompts, 64, 48), strict=True):
            right.setdefault(len(example.sentences), []).append(exact(example.answer, answer))
    return {str(size): sum(right[size]) / len(right[size]) for size in sorted(right)}


def main(
    output: Annotated[Path, typer.Option(help="Folder that gets encoder/ and decoder/.")] = SHIPPED,
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
        encoder = embedded_encoder.EncoderRecipe()
        encoder = replace(encoder, steps=shortened(encoder.steps), pairs_per_language=pairs)
        embedded_encoder.save(*embedded_encoder.train(encoder, log_every=50), output / "encoder")
    decoder = embedded_decoder.DecoderRecipe()
    decoder = replace(decoder, steps=shortened(decoder.steps), pairs_per_language=pairs)
    embedded_decoder.save(*embedded_decoder.train(decoder, log_every=50), output / "decoder")
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

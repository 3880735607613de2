"""Rebuild the embedded models: ``make tiny``, or ``python -m llink_ray.models.tiny.build``.

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

from llink_ray import phrasebook
from llink_ray.evaluation.answers import Answer, score
from llink_ray.instructions import evaluation_examples, translation_examples
from llink_ray.models.decoder import Decoder
from llink_ray.models.tiny import build_decoder, build_encoder
from llink_ray.settings import DecoderSettings

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


def main(
    output: Annotated[Path, typer.Option(help="Folder that gets encoder/ and decoder/.")] = HERE,
    fraction: Annotated[float, typer.Option(help="Share of all training steps, for a trial.")] = 1.0,
    pairs: Annotated[int, typer.Option(help="Sentences of each language.")] = 12_000,
    threads: Annotated[int, typer.Option(help="Torch threads.")] = 2,
) -> None:
    """Train both embedded models from nothing and save them in half precision."""
    torch.set_num_threads(threads)

    def shortened(steps: int) -> int:
        return max(2, round(steps * fraction))

    reader = build_encoder.EncoderRecipe()
    reader = replace(reader, steps=shortened(reader.steps), pairs_per_language=pairs)
    build_encoder.save(*build_encoder.train(reader, log_every=50), output / "encoder")
    speaker = build_decoder.DecoderRecipe()
    phases = tuple(replace(phase, steps=shortened(phase.steps)) for phase in speaker.phases)
    speaker = replace(speaker, phases=phases, pairs_per_language=pairs)
    build_decoder.save(*build_decoder.train(speaker, log_every=50), output / "decoder")
    questions = max(11, round(400 * fraction))
    document = {
        "job": "tiny",
        "output": str(output),
        "decoder_english": accuracy(output / "decoder", questions, questions // 4),
    }
    print(json.dumps(document, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    typer.run(main)

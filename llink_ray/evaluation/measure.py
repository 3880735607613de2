"""All figures of one taught decoder on held-out pairs; models in, a metrics dict out, no Ray."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from llink_ray.bundles.pipeline import LlinkPipeline
from llink_ray.corpus.pair import TRANSLATION_KIND, Pair
from llink_ray.evaluation.passages import passages
from llink_ray.metrics.answers import Answer, score
from llink_ray.metrics.number_fidelity import fidelity
from llink_ray.metrics.retrieval import retrieval
from llink_ray.metrics.token_cost import tokens
from llink_ray.models.llink import IGNORED, collate
from llink_ray.progress import track
from llink_ray.prompts.instructions import Example, evaluation_examples, source_pairs, translation_examples
from llink_ray.text.languages import find
from llink_ray.training import losses
from llink_ray.training.examples import tokenise

Say = Callable[[str], None]


def measure(
    taught: LlinkPipeline,
    pairs: Sequence[Pair],
    teacher: npt.NDArray[np.float32],
    raw_states: npt.NDArray[np.float32],
    say: Say = lambda _: None,
) -> tuple[dict[str, Any], list[tuple[str, Answer]]]:
    """Retrieval, answers, numbers kept, slot gain and token cost.

    ``teacher`` (n, d) and ``raw_states`` (n, d) are the decoder's states of the pairs' English and of
    their raw foreign text. Returns the metrics, and every answer given with the text
    it was given to.
    """
    say("retrieval")
    figures = _retrieval(taught, pairs, teacher, raw_states)
    say("answers")
    asked, answers = _answers(taught, pairs)
    texts = [pairs[e.pair_index].foreign for e in asked]
    say("passages")
    longer = passages(taught, source_pairs(pairs, taught.settings.stage_b.source))
    say("slot gain")
    gain = slot_gain(taught, asked[: taught.settings.evaluation.gain_examples])
    own = tokenise(taught.decoder.prompt_builder, asked, taught.settings.slots, find(taught.language))
    raw = [
        len(taught.decoder.prompt_builder.text_prompt(e.instruction, text))
        for e, text in zip(asked, texts, strict=True)
    ]
    metrics = {
        "retrieval": figures,
        "answers": score(answers),
        **longer,
        "fidelity": _fidelity(answers, texts, taught.language),
        "slot_gain": gain,
        "tokens": tokens(raw, [len(e.prompt) for e in own]),
    }
    return metrics, list(zip(texts, answers, strict=True))


def measure_apart(
    taught: LlinkPipeline,
    pairs: Sequence[Pair],
    teacher: npt.NDArray[np.float32],
    raw_states: npt.NDArray[np.float32],
) -> dict[str, Any]:
    """The figures that tell how it does on other text: retrieval, answers and translations, numbers kept."""
    asked, answers = _answers(taught, pairs)
    texts = [pairs[e.pair_index].foreign for e in asked]
    return {
        "pairs": len(pairs),
        "retrieval": _retrieval(taught, pairs, teacher, raw_states),
        "answers": score(answers),
        "fidelity": _fidelity(answers, texts, taught.language),
    }


def _retrieval(
    taught: LlinkPipeline,
    pairs: Sequence[Pair],
    teacher: npt.NDArray[np.float32],
    raw_states: npt.NDArray[np.float32],
) -> dict[str, Any]:
    settings = taught.settings.evaluation
    count = min(settings.retrieval_pairs, len(pairs))
    read = [pair.foreign for pair in source_pairs(pairs[:count], taught.settings.stage_b.source)]
    normalise = taught.model.projector.normalise
    targets, base = (
        normalise(torch.from_numpy(states[:count]).to(taught.decoder.device)).float().cpu().numpy()
        for states in (teacher, raw_states)
    )
    found = {"base": base, **_vectors(taught, read, settings.batch_size)}
    return {name: retrieval(vectors, targets).as_dict() for name, vectors in found.items()}


def _answers(taught: LlinkPipeline, pairs: Sequence[Pair]) -> tuple[list[Example], list[Answer]]:
    """What is asked, of the text that stands in the prompt, and what is answered."""
    settings, shown = taught.settings.evaluation, source_pairs(pairs, taught.settings.stage_b.source)
    asked = evaluation_examples(shown, settings.answers, taught.settings.seed)
    asked += translation_examples(shown, settings.translations)
    # A pair is one text here as in training, whatever number of sentences stands in it.
    given = taught.answer_all([(e.instruction, e.segments) for e in asked])
    return asked, [
        Answer(e.kind, e.instruction, e.answer, text) for e, text in zip(asked, given, strict=True)
    ]


def _fidelity(answers: Sequence[Answer], texts: Sequence[str], code: str) -> dict[str, float | None]:
    """Numbers of translations against numbers of the foreign texts; other answers need not repeat them."""
    pairs = [
        (text, answer.given)
        for text, answer in zip(texts, answers, strict=True)
        if answer.kind == TRANSLATION_KIND
    ]
    return fidelity(pairs, find(code))


def _vectors(taught: LlinkPipeline, texts: Sequence[str], size: int) -> dict[str, npt.NDArray[np.float32]]:
    """What stands for each text in the decoder's latent space, (n, d_dec), by the system that made it.

    Projected vectors and mean slots; without slots, the adapted decoder's state after the raw text.
    """
    parts: dict[str, list[npt.NDArray[np.float32]]] = {}

    def keep(name: str, vectors: torch.Tensor) -> None:
        parts.setdefault(name, []).append(vectors.float().cpu().numpy())

    with torch.inference_mode(), track("vectors", "texts", len(texts)) as progress:
        for start in range(0, len(texts), size):
            progress.update(start)
            part = list(texts[start : start + size])
            if not taught.settings.slots.uses_slots:
                states = taught.decoder.teacher_states(part, adapted=True)
                keep("direct", taught.model.projector.normalise(states.to(taught.decoder.device)))
                continue
            sources = taught.sources(part)
            vectors = taught.model.project(sources)
            keep("stage_a", vectors)
            keep("stage_ab", taught.model.soft_slots(sources, vectors).mean())
    return {name: np.concatenate(vectors) for name, vectors in parts.items()}


def slot_gain(taught: LlinkPipeline, examples: Sequence[Example]) -> dict[str, float]:
    """Nats a token that slots are worth: loss with them ablated minus loss with them (METHOD: slot gain).

    ``zero`` puts zeros, ``shuffle`` the slots of another text, in their place.
    """
    if len(examples) < 2 or not taught.settings.slots.uses_slots:
        return {}
    sums = {"with": 0.0, "zero": 0.0, "shuffle": 0.0}
    predicted, language = 0, find(taught.language)
    size = max(2, taught.settings.evaluation.batch_size)
    parts = [examples[i : i + size] for i in range(0, len(examples), size)]
    with torch.inference_mode(), track("slot gain", "examples", len(examples)) as progress:
        for part in parts:
            progress.advance(len(part))
            if len(part) < 2:
                continue
            rows = tokenise(taught.decoder.prompt_builder, list(part), taught.settings.slots, language)
            prompts = collate([r.prompt for r in rows], [r.answer for r in rows]).to(taught.decoder.device)
            slots = taught.model.soft_slots(taught.sources([e.foreign for e in part]))
            variants = {
                "with": slots,
                "zero": slots.with_vectors(torch.zeros_like(slots.vectors)),
                "shuffle": slots.with_vectors(slots.vectors.roll(1, 0)),
            }
            for name, used in variants.items():
                logits = taught.model.decode(taught.model.embed(prompts, used), prompts.mask)
                sums[name] += float(losses.supervised(logits, prompts.labels)[0].sum())
            predicted += int((prompts.labels != IGNORED).sum())
    return {name: (sums[name] - sums["with"]) / predicted for name in ("zero", "shuffle")}

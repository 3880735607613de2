"""All figures of one pipeline on the held-out pairs of its run."""

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
from llink_ray.metrics.token_cost import token_cost
from llink_ray.models.llink import IGNORED, collate
from llink_ray.progress import track
from llink_ray.prompts.instructions import (
    Example,
    evaluation_examples,
    source_pairs,
    translation_examples,
)
from llink_ray.text.languages import find
from llink_ray.training import losses
from llink_ray.training.examples import tokenise

Say = Callable[[str], None]
Vectors = npt.NDArray[np.float32]


def measure(
    pipeline: LlinkPipeline,
    pairs: Sequence[Pair],
    teacher: Vectors,
    raw_states: Vectors,
    say: Say = lambda _: None,
) -> tuple[dict[str, Any], list[tuple[str, Answer]]]:
    """Retrieval, answers, numbers kept, slot gain and token cost.

    ``teacher`` (n, d) and ``raw_states`` (n, d) are the decoder's states of the pairs' English and of their
    raw foreign text. Returns the metrics, and every answer with the text that it is about.
    """
    say("retrieval")
    ranked = _retrieval(pipeline, pairs, teacher, raw_states)
    say("answers")
    examples, answers = _answers(pipeline, pairs)
    texts = [pairs[e.pair_index].foreign for e in examples]
    say("passages")
    longer = passages(pipeline, source_pairs(pairs, pipeline.settings.stage_b.source))
    say("slot gain")
    gain = slot_gain(pipeline, examples[: pipeline.settings.evaluation.gain_examples])
    prompt = pipeline.decoder.prompt_builder
    rows = tokenise(prompt, examples, pipeline.settings.slots, find(pipeline.language))
    raw = [len(prompt.text_prompt(e.instruction, text)) for e, text in zip(examples, texts, strict=True)]
    metrics = {
        "retrieval": ranked,
        "answers": score(answers),
        **longer,
        "fidelity": _fidelity(answers, texts, pipeline.language),
        "slot_gain": gain,
        "tokens": token_cost(raw, [len(row.prompt) for row in rows]),
    }
    return metrics, list(zip(texts, answers, strict=True))


def measure_unseen(
    pipeline: LlinkPipeline, pairs: Sequence[Pair], teacher: Vectors, raw_states: Vectors
) -> dict[str, Any]:
    """The figures that show how it does on other text: retrieval, answers and translations, numbers kept."""
    examples, answers = _answers(pipeline, pairs)
    texts = [pairs[e.pair_index].foreign for e in examples]
    return {
        "pairs": len(pairs),
        "retrieval": _retrieval(pipeline, pairs, teacher, raw_states),
        "answers": score(answers),
        "fidelity": _fidelity(answers, texts, pipeline.language),
    }


def _retrieval(
    pipeline: LlinkPipeline, pairs: Sequence[Pair], teacher: Vectors, raw_states: Vectors
) -> dict[str, Any]:
    settings = pipeline.settings.evaluation
    count = min(settings.retrieval_pairs, len(pairs))
    texts = [pair.foreign for pair in source_pairs(pairs[:count], pipeline.settings.stage_b.source)]
    normalise = pipeline.model.projector.normalise
    targets, base = (
        normalise(torch.from_numpy(states[:count]).to(pipeline.decoder.device)).float().cpu().numpy()
        for states in (teacher, raw_states)
    )
    vectors = {"base": base, **_vectors(pipeline, texts, settings.batch_size)}
    return {name: retrieval(queries, targets).as_dict() for name, queries in vectors.items()}


def _answers(pipeline: LlinkPipeline, pairs: Sequence[Pair]) -> tuple[list[Example], list[Answer]]:
    """The questions, about the text that stands in the prompt, and the pipeline's answers."""
    settings, shown = pipeline.settings.evaluation, source_pairs(pairs, pipeline.settings.stage_b.source)
    examples = evaluation_examples(shown, settings.answers, pipeline.settings.seed)
    examples += translation_examples(shown, settings.translations)
    # A pair is one text here as in training, however many sentences it has.
    texts = pipeline.answer_all([(e.instruction, e.segments) for e in examples])
    return examples, [
        Answer(e.kind, e.instruction, e.answer, text) for e, text in zip(examples, texts, strict=True)
    ]


def _fidelity(answers: Sequence[Answer], texts: Sequence[str], code: str) -> dict[str, float | None]:
    """Numbers of translations against numbers of the foreign texts; other answers need not repeat them."""
    pairs = [(text, a.given) for text, a in zip(texts, answers, strict=True) if a.kind == TRANSLATION_KIND]
    return fidelity(pairs, find(code))


def _vectors(pipeline: LlinkPipeline, texts: Sequence[str], size: int) -> dict[str, Vectors]:
    """Vectors of the texts in the decoder's latent space, (n, d_dec), by the system that makes them.

    Projected vectors and mean slots; without slots, the adapted decoder's state after the raw text.
    """
    parts: dict[str, list[torch.Tensor]] = {}
    with torch.inference_mode(), track("vectors", "texts", len(texts)) as progress:
        for start in range(0, len(texts), size):
            progress.update(start)
            batch = list(texts[start : start + size])
            if not pipeline.settings.slots.uses_slots:
                states = pipeline.decoder.teacher_states(batch, adapted=True)
                vectors = pipeline.model.projector.normalise(states.to(pipeline.decoder.device))
                parts.setdefault("direct", []).append(vectors.float().cpu())
                continue
            sources = pipeline.encode(batch)
            projected = pipeline.model.project(sources)
            slots = pipeline.model.soft_slots(sources, projected)
            parts.setdefault("stage_a", []).append(projected.float().cpu())
            parts.setdefault("stage_ab", []).append(pipeline.model.slots.summary(slots).float().cpu())
    return {name: torch.cat(vectors).numpy() for name, vectors in parts.items()}


def slot_gain(pipeline: LlinkPipeline, examples: Sequence[Example]) -> dict[str, float]:
    """Loss a token (nats) with the slots ablated minus the loss with them.

    ``zero`` puts zeros, ``shuffle`` the slots of another text, in their place.
    """
    if len(examples) < 2 or not pipeline.settings.slots.uses_slots:
        return {}
    sums = {"with": 0.0, "zero": 0.0, "shuffle": 0.0}
    predicted, language = 0, find(pipeline.language)
    size = max(2, pipeline.settings.evaluation.batch_size)
    with torch.inference_mode(), track("slot gain", "examples", len(examples)) as progress:
        for start in range(0, len(examples), size):
            part = list(examples[start : start + size])
            progress.advance(len(part))
            if len(part) < 2:
                continue
            rows = tokenise(pipeline.decoder.prompt_builder, part, pipeline.settings.slots, language)
            prompts = collate([r.prompt for r in rows], [r.answer for r in rows]).to(pipeline.decoder.device)
            slots = pipeline.model.soft_slots(pipeline.encode([e.foreign for e in part]))
            variants = {
                "with": slots,
                "zero": slots.with_vectors(torch.zeros_like(slots.vectors)),
                "shuffle": slots.with_vectors(slots.vectors.roll(1, 0)),
            }
            for name, variant in variants.items():
                embedded = pipeline.model.embed(prompts, variant)
                logits = pipeline.model.decode(embedded, prompts.mask, losses.predicting(prompts.labels))
                sums[name] += float(losses.supervised(logits, prompts.labels)[0].sum())
            predicted += int((prompts.labels != IGNORED).sum())
    return {name: (sums[name] - sums["with"]) / predicted for name in ("zero", "shuffle")}

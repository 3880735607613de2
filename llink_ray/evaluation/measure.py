"""All figures of one taught decoder on held-out pairs; models in, a metrics dict out, no Ray."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from llink_ray.corpus.pair import Pair
from llink_ray.evaluation.answers import Answer, score
from llink_ray.evaluation.cost import tokens
from llink_ray.evaluation.fidelity import fidelity
from llink_ray.evaluation.passages import passages
from llink_ray.evaluation.retrieval import retrieval
from llink_ray.instructions import TRANSLATE_KIND, Example, evaluation_examples, translation_examples
from llink_ray.languages import find
from llink_ray.models.llink import IGNORED, collate
from llink_ray.models.slots import NoSlots
from llink_ray.taught import Taught
from llink_ray.training import losses
from llink_ray.training.examples import tokenise

Say = Callable[[str], None]


def measure(
    taught: Taught,
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
    settings = taught.settings.evaluation
    say("retrieval")
    count = min(settings.retrieval_pairs, len(pairs))
    foreign = [pair.foreign for pair in pairs[:count]]
    found = {"base": raw_states[:count], **_vectors(taught, foreign, settings.batch_size)}
    figures = {name: retrieval(vectors, teacher[:count]).as_dict() for name, vectors in found.items()}
    say("answers")
    asked = evaluation_examples(pairs, settings.answers, taught.settings.seed)
    asked += translation_examples(pairs, settings.translations)
    # A pair is one text here as in training, whatever number of sentences stands in it.
    given = taught.answer_all([(e.instruction, e.parts) for e in asked])
    answers = [Answer(e.kind, e.instruction, e.answer, text) for e, text in zip(asked, given, strict=True)]
    say("passages")
    longer = passages(taught, pairs)
    say("slot gain")
    gain = slot_gain(taught, asked[: settings.gain_examples])
    own = tokenise(taught.decoder.prompt, asked, taught.settings.slots, find(taught.language))
    raw = [len(taught.decoder.prompt.raw(e.instruction, e.foreign)) for e in asked]
    metrics = {
        "retrieval": figures,
        "answers": score(answers),
        **longer,
        "fidelity": _fidelity(answers, asked, taught.language),
        "slot_gain": gain,
        "tokens": tokens(raw, [len(e.prompt) for e in own]),
    }
    return metrics, [(e.foreign, answer) for e, answer in zip(asked, answers, strict=True)]


def _fidelity(answers: Sequence[Answer], asked: Sequence[Example], code: str) -> dict[str, float | None]:
    """Numbers of translations against numbers of their sources; other answers need not repeat them."""
    pairs = [
        (example.foreign, answer.given)
        for example, answer in zip(asked, answers, strict=True)
        if answer.kind == TRANSLATE_KIND
    ]
    return fidelity(pairs, find(code))


def _vectors(taught: Taught, texts: Sequence[str], size: int) -> dict[str, npt.NDArray[np.float32]]:
    """What stands for each text in the decoder's latent space, (n, d_dec), by the system that made it.

    Projected vectors and mean slots; without slots, the adapted decoder's state after the raw text.
    """
    parts: dict[str, list[npt.NDArray[np.float32]]] = {}

    def keep(name: str, vectors: torch.Tensor) -> None:
        parts.setdefault(name, []).append(vectors.float().cpu().numpy())

    with torch.inference_mode():
        for start in range(0, len(texts), size):
            part = list(texts[start : start + size])
            if isinstance(taught.model.slots, NoSlots):
                keep("direct", taught.decoder.teacher_states(part, adapted=True))
                continue
            sources = taught.sources(part)
            vectors = taught.model.project(sources)
            keep("stage_a", vectors)
            keep("stage_ab", taught.model.soft_slots(sources, vectors).mean(1))
    return {name: np.concatenate(vectors) for name, vectors in parts.items()}


def slot_gain(taught: Taught, examples: Sequence[Example]) -> dict[str, float]:
    """Nats a token that slots are worth: loss with them ablated minus loss with them (METHOD: slot gain).

    ``zero`` puts zeros, ``shuffle`` the slots of another text, in their place.
    """
    if len(examples) < 2 or isinstance(taught.model.slots, NoSlots):
        return {}
    sums = {"with": 0.0, "zero": 0.0, "shuffle": 0.0}
    predicted, language = 0, find(taught.language)
    size = max(2, taught.settings.evaluation.batch_size)
    parts = [examples[i : i + size] for i in range(0, len(examples), size)]
    with torch.inference_mode():
        for part in parts:
            if len(part) < 2:
                continue
            rows = tokenise(taught.decoder.prompt, list(part), taught.settings.slots, language)
            prompts = collate([r.prompt for r in rows], [r.answer for r in rows]).to(taught.decoder.device)
            slots = taught.model.soft_slots(taught.sources([e.foreign for e in part]))
            variants = {"with": slots, "zero": torch.zeros_like(slots), "shuffle": slots.roll(1, 0)}
            for name, used in variants.items():
                logits = taught.model.decode(taught.model.embed(prompts, used), prompts.mask)
                sums[name] += float(losses.supervised(logits, prompts.labels)[0].sum())
            predicted += int((prompts.labels != IGNORED).sum())
    return {name: (sums[name] - sums["with"]) / predicted for name in ("zero", "shuffle")}

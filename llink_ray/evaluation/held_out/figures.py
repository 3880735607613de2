"""All figures of all systems, as the statistics that intervals are computed from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from llink_ray.evaluation.batches import by_length
from llink_ray.evaluation.held_out.measure import Measurement
from llink_ray.evaluation.held_out.settings import Scoring
from llink_ray.evaluation.held_out.systems import FrozenModels, System, device, load_encoder
from llink_ray.evaluation.held_out.translation import FigureStatistics, mean_of, numbers_kept, quality
from llink_ray.metrics.retrieval import Ranks, cosines, rank
from llink_ray.models.encoder import Encoder
from llink_ray.settings import EncoderSettings


@dataclass(frozen=True)
class Figure:
    """One figure of several systems over the same examples."""

    name: str
    measure: str
    pair_indices: Sequence[int]
    """Of the pairs, one for each example."""
    systems: Mapping[str, FigureStatistics]
    chance: float | None = None
    """Of a blind guess."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """How it was scored; further figures without intervals."""
    has_gap: bool = True
    """Whether floor and ceiling are compared."""
    by_source: bool = False
    """Whether it is reported by source of the text as well."""


def collect(
    measurement: Measurement, systems: Sequence[System], encoders: Mapping[str, FrozenModels]
) -> tuple[list[Figure], dict[str, list[str]]]:
    """Every figure, and the translations by system.

    Each system is loaded once: all of its answers are computed before the next. ``encoders``: name -> models
    whose encoder's own retrieval is measured.
    """
    tasks, kinds = measurement.settings.tasks, list(measurement.choices)
    correct: dict[str, dict[str, list[float]]] = {kind: {} for kind in kinds}
    ranks: dict[str, Ranks] = {}
    answers: dict[str, list[str]] = {}
    tokens: dict[str, list[int]] = {}
    for system in systems:
        if "retrieval" in tasks and system.role not in ("trained_ceiling", "adapted"):
            ranks[system.name] = measurement.ranks(system)
        if "translation" in tasks:
            answers[system.name] = measurement.answers(system)
        for kind in kinds:
            correct[kind][system.name] = measurement.correct(system, kind, scoring_of(measurement, kind))
        if "tokens" in tasks:
            tokens[system.name] = measurement.prompt_tokens(system)
    if "retrieval" in tasks:
        ranks |= {name: _encoder_ranks(measurement, name, models) for name, models in encoders.items()}
    figures = [
        *_retrieval(ranks),
        *_translation(measurement, answers),
        *_choices(measurement, correct),
        *_tokens(tokens),
    ]
    return figures, answers


def scoring_of(measurement: Measurement, kind: str) -> Scoring:
    """How choices of a kind are scored: by the settings of its task."""
    scoring: Scoring = getattr(measurement.settings, kind.partition(":")[0])
    return scoring


def _retrieval(ranks: Mapping[str, Ranks]) -> Iterator[Figure]:
    if ranks:
        count = len(next(iter(ranks.values())).above)
        systems = {name: mean_of(part.first().tolist()) for name, part in ranks.items()}
        details = {"all": {name: part.summary().as_dict() for name, part in ranks.items()}}
        yield Figure("retrieval", "R@1", range(count), systems, 1 / count, details, by_source=True)


def _translation(measurement: Measurement, answers: Mapping[str, list[str]]) -> Iterator[Figure]:
    if not answers:
        return
    references, indices = (
        [pair.english for pair in measurement.translated],
        range(len(measurement.translated)),
    )
    qualities = {name: quality(texts, references) for name, texts in answers.items()}
    for measure in ("chrf++", "bleu"):
        systems = {name: part[measure] for name, part in qualities.items()}
        details = {"signature": next(iter(systems.values())).signature}
        yield Figure(f"translation:{measure}", measure, indices, systems, None, details, by_source=True)
    if model := measurement.settings.metric:
        systems = _cosines(measurement, model, answers, references)
        yield Figure("translation:cosine", "cosine", indices, systems, None, {"model": model}, by_source=True)
    numbers = {name: numbers_kept(texts, references) for name, texts in answers.items()}
    if all(numbers.values()):
        systems = {name: part for name, part in numbers.items() if part is not None}
        yield Figure("translation:numbers", "F1 of numbers", indices, systems)


def _choices(measurement: Measurement, correct: Mapping[str, Mapping[str, list[float]]]) -> Iterator[Figure]:
    for kind, by_system in correct.items():
        choices = measurement.choices[kind]
        chance = float(np.mean([choice.chance for choice in choices]))
        systems = {name: mean_of(values) for name, values in by_system.items()}
        details = {"scoring": scoring_of(measurement, kind).model_dump()}
        yield Figure(kind, "accuracy", [choice.pair_index for choice in choices], systems, chance, details)


def _tokens(tokens: Mapping[str, list[int]]) -> Iterator[Figure]:
    if tokens:
        systems = {name: mean_of([float(count) for count in counts]) for name, counts in tokens.items()}
        indices = range(len(next(iter(tokens.values()))))
        yield Figure("prompt_tokens", "tokens", indices, systems, has_gap=False)


def _encoder_ranks(measurement: Measurement, name: str, models: FrozenModels) -> Ranks:
    """The encoder's own vectors of the foreign text among its own of the English, on the same pairs."""
    pairs, size = measurement.retrieved, measurement.settings.batch_size

    def compute() -> Ranks:
        measurement.say(f"{name}: its own retrieval among {len(pairs)}")
        encoder = measurement.models.get(
            f"encoder {models.encoder_fingerprint}", lambda: load_encoder(models)
        )
        foreign, english = ([getattr(p, side) for p in pairs] for side in ("foreign", "english"))
        return rank(_vectors(encoder, foreign, size), _vectors(encoder, english, size))

    settings = models.encoder.model_dump(exclude={"model", "revision", "layers"})
    texts = [[pair.foreign, pair.english] for pair in pairs]
    return measurement.cached_ranks(["encoder rank", models.encoder_fingerprint, settings, texts], compute)


def _cosines(
    measurement: Measurement, model: str, answers: Mapping[str, list[str]], references: Sequence[str]
) -> dict[str, FigureStatistics]:
    """Of each answer with its reference, by any sentence-transformers model."""
    size = measurement.settings.batch_size

    def load() -> Encoder:
        return Encoder.load(EncoderSettings(model=model, max_characters=10_000), device())

    statistics = {}
    for name, texts in answers.items():

        def compute(name: str = name, texts: Sequence[str] = texts) -> list[float]:
            measurement.say(f"{name}: cosine to the references")
            encoder = measurement.models.get(f"metric {model}", load)
            return cosines(_vectors(encoder, texts, size), _vectors(encoder, references, size))

        key = ["cosine", model, list(texts), list(references)]
        statistics[name] = mean_of(measurement.cache.get(key, compute))
    return statistics


def _vectors(encoder: Encoder, texts: Sequence[str], size: int) -> npt.NDArray[np.float32]:
    """(n, d_enc)."""
    vectors = np.zeros((len(texts), encoder.dim), np.float32)
    for batch in by_length(texts, size):
        vectors[batch] = encoder.encode([texts[i] for i in batch]).vectors.numpy()
    return vectors

"""All figures of all systems, in the form that intervals and shares are taken of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from llink_ray.evaluation.real.measure import Measurement
from llink_ray.evaluation.real.ranking import Ranked, cosines, ranked
from llink_ray.evaluation.real.scorer import by_length
from llink_ray.evaluation.real.settings import Scoring
from llink_ray.evaluation.real.systems import Models, System, device, encoder_of
from llink_ray.evaluation.real.translating import Measured, mean_of, numbers_kept, quality
from llink_ray.models.encoder import Encoder
from llink_ray.settings import EncoderSettings


@dataclass(frozen=True)
class Figure:
    """One figure of several systems over the same examples."""

    name: str
    measure: str
    places: Sequence[int]
    """Of the pairs, one for each example."""
    systems: Mapping[str, Measured]
    chance: float | None = None
    """What a blind guess reaches."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """How it was scored; further figures without intervals."""
    compared: bool = True
    """Whether floor and ceiling mean anything here."""
    by_source: bool = False
    """Whether it is told by source of the text as well."""


def collect(
    measurement: Measurement, systems: Sequence[System], encoders: Mapping[str, Models]
) -> tuple[list[Figure], dict[str, list[str]]]:
    """Every figure, and the translations by system.

    Systems are gone through one by one, so that each is loaded once; figures are made of what they said.
    ``encoders``: name -> models whose encoder's own retrieval is told.
    """
    tasks, kinds = measurement.settings.tasks, list(measurement.choices)
    right: dict[str, dict[str, list[float]]] = {kind: {} for kind in kinds}
    ranks: dict[str, Ranked] = {}
    answers: dict[str, list[str]] = {}
    tokens: dict[str, list[int]] = {}
    for system in systems:
        if "retrieval" in tasks and system.role != "trained_ceiling":
            ranks[system.name] = measurement.ranked(system)
        if "translation" in tasks:
            answers[system.name] = measurement.answers(system)
        for kind in kinds:
            right[kind][system.name] = measurement.right(system, kind, scoring_of(measurement, kind))
        if "tokens" in tasks:
            tokens[system.name] = measurement.prompt_tokens(system)
    if "retrieval" in tasks:
        ranks |= {name: _encoder_rank(measurement, name, models) for name, models in encoders.items()}
    figures = [
        *_retrieval(ranks),
        *_translation(measurement, answers),
        *_choices(measurement, right),
        *_tokens(tokens),
    ]
    return figures, answers


def scoring_of(measurement: Measurement, kind: str) -> Scoring:
    """How choices of a kind are scored: by the settings of its task."""
    how: Scoring = getattr(measurement.settings, kind.partition(":")[0])
    return how


def _retrieval(ranks: Mapping[str, Ranked]) -> Iterator[Figure]:
    if ranks:
        count = len(next(iter(ranks.values())).above)
        systems = {name: mean_of(found.first().tolist()) for name, found in ranks.items()}
        more = {name: found.figures for name, found in ranks.items()}
        yield Figure("retrieval", "R@1", range(count), systems, 1 / count, {"all": more}, by_source=True)


def _translation(measurement: Measurement, answers: Mapping[str, list[str]]) -> Iterator[Figure]:
    if not answers:
        return
    pairs = measurement.translated
    references, places = [pair.english for pair in pairs], range(len(pairs))
    found = {name: quality(given, references) for name, given in answers.items()}
    for measure in ("chrf++", "bleu"):
        systems = {name: told[measure] for name, told in found.items()}
        about = {"signature": next(iter(systems.values())).signature}
        yield Figure(f"translation:{measure}", measure, places, systems, None, about, by_source=True)
    if measurement.settings.metric:
        model = measurement.settings.metric
        systems = _cosines(measurement, model, answers, references)
        yield Figure("translation:cosine", "cosine", places, systems, None, {"model": model}, by_source=True)
    kept = {name: numbers_kept(given, references) for name, given in answers.items()}
    if all(kept.values()):
        systems = {name: told for name, told in kept.items() if told is not None}
        yield Figure("translation:numbers", "F1 of numbers", places, systems)


def _choices(measurement: Measurement, right: Mapping[str, Mapping[str, list[float]]]) -> Iterator[Figure]:
    for kind, by_system in right.items():
        choices = measurement.choices[kind]
        chance = float(np.mean([choice.chance for choice in choices]))
        systems = {name: mean_of(found) for name, found in by_system.items()}
        about = {"scoring": scoring_of(measurement, kind).model_dump()}
        yield Figure(kind, "accuracy", [choice.place for choice in choices], systems, chance, about)


def _tokens(tokens: Mapping[str, list[int]]) -> Iterator[Figure]:
    if tokens:
        systems = {name: mean_of([float(n) for n in found]) for name, found in tokens.items()}
        places = range(len(next(iter(tokens.values()))))
        yield Figure("prompt_tokens", "tokens", places, systems, compared=False)


def _encoder_rank(measurement: Measurement, name: str, models: Models) -> Ranked:
    """The encoder's own vectors of the foreign text among its own of the English, on the same pairs."""
    pairs, size = measurement.retrieved, measurement.settings.batch_size

    def compute() -> dict[str, Any]:
        measurement.say(f"{name}: its own retrieval among {len(pairs)}")
        encoder = measurement.holder.get(f"encoder {models.encoder_print}", lambda: encoder_of(models))
        foreign, english = ([getattr(p, side) for p in pairs] for side in ("foreign", "english"))
        return asdict(ranked(_vectors(encoder, foreign, size), _vectors(encoder, english, size)))

    settings = models.encoder.model_dump(exclude={"model", "revision", "layers"})
    texts = [[pair.foreign, pair.english] for pair in pairs]
    key = ["encoder rank", models.encoder_print, settings, texts]
    return Ranked(**measurement.kept.get(key, compute))


def _cosines(
    measurement: Measurement, model: str, answers: Mapping[str, list[str]], references: Sequence[str]
) -> dict[str, Measured]:
    """Of each answer with its reference, by a sentence-transformers model that need know nothing of ours."""
    size = measurement.settings.batch_size

    def load() -> Encoder:
        return Encoder.load(EncoderSettings(model=model, max_characters=10_000), device())

    found = {}
    for name, given in answers.items():

        def compute(name: str = name, given: Sequence[str] = given) -> list[float]:
            measurement.say(f"{name}: cosine to the references")
            encoder = measurement.holder.get(f"metric {model}", load)
            return cosines(_vectors(encoder, given, size), _vectors(encoder, references, size))

        key = ["cosine", model, list(given), list(references)]
        found[name] = mean_of(measurement.kept.get(key, compute))
    return found


def _vectors(encoder: Encoder, texts: Sequence[str], size: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(n, d_enc)."""
    found = np.zeros((len(texts), encoder.dim), np.float32)
    for part in by_length(texts, size):
        found[part] = encoder.encode([texts[i] for i in part]).vectors.numpy()
    return found

"""From a request to the systems that are compared, refused in one sentence where that cannot be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llink_ray.bundles.manifest import BundleInfo
from llink_ray.corpus.pair import Pair
from llink_ray.corpus.seen import FILE as TRAINING_TEXT
from llink_ray.corpus.seen import SeenText
from llink_ray.errors import LlinkError
from llink_ray.evaluation.held_out.settings import MeasureSettings
from llink_ray.evaluation.held_out.systems import (
    FrozenModels,
    System,
    bundle_models,
    bundle_names,
    bundle_system,
    english_with_adapters,
    models_of,
    untrained_models,
    untrained_systems,
)
from llink_ray.prompts.instructions import TRANSLATE_INSTRUCTION
from llink_ray.settings import Settings, configure
from llink_ray.text.languages import find


@dataclass(frozen=True)
class HeldOutRequest:
    """Options of the command line."""

    corpus: str | None
    """Held-out text; whether it is held out is for the caller to know."""
    bundles: Sequence[str] = ()
    languages: str = ""
    untrained: bool = False
    encoder: str | None = None
    decoder: str | None = None
    preset: str | None = None
    settings_file: str | None = None
    assignments: Sequence[str] = ()
    """Settings of the models, where no bundle has them."""
    measure: Sequence[str] = ()
    """``KEY=VALUE`` of :class:`MeasureSettings`."""
    limit: int | None = None
    output: str | None = None


@dataclass(frozen=True)
class MeasurementPlan:
    """What is compared."""

    models: FrozenModels
    systems: Sequence[System]
    """Floor and ceiling first."""
    encoders: Mapping[str, FrozenModels]
    """Name -> models whose encoder's own retrieval is measured."""
    seen: Mapping[str, SeenText | None] = field(default_factory=dict)
    """Bundle -> its training text; None where it does not carry it."""


def make_plan(request: HeldOutRequest) -> MeasurementPlan:
    """What a request asks for.

    Raises:
        LlinkError: the request cannot be carried out.
    """
    if request.corpus is None:
        raise LlinkError("there is nothing to measure on: give --corpus FILE with text that was held out")
    if request.untrained and request.bundles:
        raise LlinkError("--untrained measures no bundle: leave out --untrained, or --bundle")
    if not request.bundles:
        return _untrained(request)
    if request.preset or request.settings_file or request.assignments:
        raise LlinkError("a bundle has its settings: leave out --preset, --settings and --set")
    infos = bundle_models(request.bundles, request.encoder, request.decoder)
    language = find(infos[0].language)
    if request.languages and find(request.languages) != language:
        raise LlinkError(
            f"bundle {request.bundles[0]} is for {language.name}: leave out --lang, or name that one"
        )
    names = bundle_names(request.bundles)
    models = [models_of(info, request.encoder, request.decoder) for info in infos]
    encoders = {f"{m.encoder_fingerprint} {m.encoder.model_dump_json(exclude={'model'})}": m for m in models}
    bundles = [
        _systems(folder, name, info, model)
        for folder, name, info, model in zip(request.bundles, names, infos, models, strict=True)
    ]
    return MeasurementPlan(
        models[0],
        [*untrained_systems(models[0]), *(system for both in bundles for system in both)],
        _named(list(encoders.values())),
        {
            name: SeenText.load(Path(folder)) if TRAINING_TEXT in info.files else None
            for name, folder, info in zip(names, request.bundles, infos, strict=True)
        },
    )


def _systems(folder: str, name: str, info: BundleInfo, models: FrozenModels) -> list[System]:
    """A bundle and, where it reads slots, its adapters on English text."""
    systems = [bundle_system(folder, name, info, models)]
    if Settings.model_validate(info.settings).slots.uses_slots:
        systems.append(english_with_adapters(folder, name, info, models))
    return systems


def _untrained(request: HeldOutRequest) -> MeasurementPlan:
    if not request.languages.strip():
        raise LlinkError("no language is named: give --lang, as there is no bundle that says it")
    language = find(request.languages)
    layers = configure.layers(request.preset or "real", request.settings_file, list(request.assignments))
    names = {"encoder": request.encoder, "decoder": request.decoder}
    overrides = {part: {"model": model} for part, model in names.items() if model}
    models = untrained_models(language, configure.resolve(*layers, overrides))
    return MeasurementPlan(models, untrained_systems(models), _named([models]))


def _named(encoders: Sequence[FrozenModels]) -> dict[str, FrozenModels]:
    """``encoder``, or ``encoder 1``, ``encoder 2`` where bundles have different ones."""
    if len(encoders) == 1:
        return {"encoder": encoders[0]}
    return {f"encoder {i}": models for i, models in enumerate(encoders, 1)}


def context_filter(models: FrozenModels, settings: MeasureSettings) -> Callable[[Pair], bool]:
    """Whether a pair's raw text fits into the decoder's context, with instruction and answer."""
    from transformers import AutoConfig

    from llink_ray.models.decoder import load_tokenizer
    from llink_ray.models.locate import explain_errors, locate
    from llink_ray.prompts.builder import PromptBuilder

    section = models.decoder
    with explain_errors(section.model, "decoder"):
        config = AutoConfig.from_pretrained(locate(section.model, "decoder"), revision=section.revision)
    limit = getattr(config.get_text_config(), "max_position_embeddings", None)
    if limit is None:
        return lambda _: True
    prompt = PromptBuilder(load_tokenizer(section), section.system)

    def fits(pair: Pair) -> bool:
        instructions = [TRANSLATE_INSTRUCTION, *(q.instruction for q in pair.questions if q.choices)]
        answer = max(settings.max_new_tokens, len(prompt.token_ids(pair.english)) + 1)
        return len(prompt.text_prompt(max(instructions, key=len), pair.foreign)) + answer <= int(limit)

    return fits

"""What is compared on which text: from a request to systems, refused in one sentence where it cannot be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llink_ray.corpus.pair import Pair
from llink_ray.corpus.seen import FILE as TRAINING_TEXT
from llink_ray.corpus.seen import SeenText
from llink_ray.errors import LlinkError
from llink_ray.evaluation.real.settings import MeasureSettings
from llink_ray.evaluation.real.systems import (
    Models,
    System,
    bundle_models,
    bundle_names,
    models_of,
    taught,
    untouched,
    untrained_models,
)
from llink_ray.prompts.instructions import TRANSLATE_INSTRUCTION
from llink_ray.settings import configure
from llink_ray.text.languages import find


@dataclass(frozen=True)
class HeldOutRequest:
    """What the command line asked for."""

    corpus: str | None
    """Held-out text; that it is held out is the caller's to know."""
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
class Contest:
    """What is compared on which text."""

    models: Models
    systems: Sequence[System]
    encoders: Mapping[str, Models]
    seen: Mapping[str, SeenText | None] = field(default_factory=dict)


def compared(asked: HeldOutRequest) -> Contest:
    """What is compared, refused where it cannot be.

    Raises:
        LlinkError: in one sentence.
    """
    if asked.corpus is None:
        raise LlinkError("there is nothing to measure on: give --corpus FILE with text that was held out")
    if asked.untrained and asked.bundles:
        raise LlinkError("--untrained measures no bundle: leave out --untrained, or --bundle")
    if not asked.bundles:
        return _untrained(asked)
    if asked.preset or asked.settings_file or asked.assignments:
        raise LlinkError("a bundle has its settings: leave out --preset, --settings and --set")
    infos = bundle_models(asked.bundles, asked.encoder, asked.decoder)
    language = find(infos[0].language)
    if asked.languages and find(asked.languages) != language:
        raise LlinkError(
            f"bundle {asked.bundles[0]} is for {language.name}: leave out --lang, or name that one"
        )
    names = bundle_names(asked.bundles)
    models = [models_of(info, asked.encoder, asked.decoder) for info in infos]
    encoders = {f"{m.encoder_print} {m.encoder.model_dump_json(exclude={'model'})}": m for m in models}
    own = [
        taught(folder, name, info, model)
        for folder, name, info, model in zip(asked.bundles, names, infos, models, strict=True)
    ]
    return Contest(
        models[0],
        [*untouched(models[0]), *own],
        _named(list(encoders.values())),
        {
            name: SeenText.load(Path(folder)) if TRAINING_TEXT in info.files else None
            for name, folder, info in zip(names, asked.bundles, infos, strict=True)
        },
    )


def _untrained(asked: HeldOutRequest) -> Contest:
    if not asked.languages.strip():
        raise LlinkError("no language is named: give --lang, as there is no bundle that says it")
    language = find(asked.languages)
    layers = configure.layers(asked.preset or "real", asked.settings_file, list(asked.assignments))
    named = {
        part: {"model": model}
        for part, model in (("encoder", asked.encoder), ("decoder", asked.decoder))
        if model
    }
    models = untrained_models(language, configure.resolve(*layers, named))
    return Contest(models, untouched(models), _named([models]))


def _named(encoders: Sequence[Models]) -> dict[str, Models]:
    """``encoder``, or ``encoder 1``, ``encoder 2`` where bundles have different ones."""
    if len(encoders) == 1:
        return {"encoder": encoders[0]}
    return {f"encoder {i}": models for i, models in enumerate(encoders, 1)}


def fitting(models: Models, settings: MeasureSettings) -> Callable[[Pair], bool]:
    """Whether a pair's raw text fits into the decoder's context, with what is asked and answered."""
    from transformers import AutoConfig

    from llink_ray.models.decoder import load_tokenizer
    from llink_ray.models.locate import explained, locate
    from llink_ray.prompts.builder import PromptBuilder

    section = models.decoder
    with explained(section.model, "decoder"):
        config = AutoConfig.from_pretrained(locate(section.model, "decoder"), revision=section.revision)
    limit = getattr(config.get_text_config(), "max_position_embeddings", None)
    if limit is None:
        return lambda _: True
    prompt = PromptBuilder(load_tokenizer(section))

    def fits(pair: Pair) -> bool:
        asked = max(
            (q.instruction for q in pair.questions if q.choices), key=len, default=TRANSLATE_INSTRUCTION
        )
        longest = max((asked, TRANSLATE_INSTRUCTION), key=len)
        behind = max(settings.max_new_tokens, len(prompt.token_ids(pair.english)) + 1)
        return len(prompt.text_prompt(longest, pair.foreign)) + behind <= int(limit)

    return fits

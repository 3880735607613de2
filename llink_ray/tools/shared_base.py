"""Makes the shared base of a pair of models: ``make base TEXT=folder``.

One projector, one set of slots and adapters for many languages at once: English read through the encoder as
if it were foreign, and the pairs of every language. A language that is then taught starts from it
(``--init-from``). The folders of text hold ``<code>.tsv`` or ``.jsonl`` files, as ``--corpus`` takes them.
Work is saved as it goes: the same command goes on where it was stopped, over days. The last line on stdout
is one JSON document.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from safetensors.torch import load_file, save_file

from llink_ray.bundles.base import MULTILINGUAL, load_modules, start_bundle
from llink_ray.bundles.bundle import read_bundle, write_bundle
from llink_ray.bundles.manifest import BundleInfo, ModelInfo, SlotsInfo, package_versions, project_commit
from llink_ray.bundles.model_card import base_card
from llink_ray.bundles.pipeline import save_weights
from llink_ray.corpus import Pair
from llink_ray.corpus.prepared import corpus_hash
from llink_ray.features import Features, FeatureSpec
from llink_ray.features.extract import extract
from llink_ray.features.spec import extraction_dtype
from llink_ray.models.decoder import Decoder
from llink_ray.models.llink import LlinkModel, new_slots, with_lora
from llink_ray.models.locate import fingerprint, weights_of
from llink_ray.models.precision import computes_bf16
from llink_ray.models.pretrained.acquire import ensure
from llink_ray.models.projector import Projector
from llink_ray.progress import progress_output, track
from llink_ray.settings import Settings, configure
from llink_ray.storage.atomic import write_atomic
from llink_ray.text.languages import DECODER_LANGUAGE
from llink_ray.text.normalisation import VERSION
from llink_ray.tools.base_text import BaseText, read_text, self_answers
from llink_ray.training.alignment_data import AlignmentData
from llink_ray.training.embedding_start import start_slots
from llink_ray.training.examples import ExampleSource, sentence_numbers
from llink_ray.training.stage_a import StageA, new_projector, prepare_alignment, validate
from llink_ray.training.stage_b import Objective, PlainEngine, StageB, parameter_groups


def foreign_sides(pairs: Sequence[Pair]) -> list[str]:
    """Their foreign texts."""
    return [pair.foreign for pair in pairs]


def english_sides(pairs: Sequence[Pair]) -> list[str]:
    """Their English texts."""
    return [pair.english for pair in pairs]


def features_of(text: BaseText, settings: Settings, store: str) -> dict[str, Features]:
    """Both sides by the encoder, the English by the teacher.

    Rows of the encoder's: the training pairs' foreign sides, their English ones, then those of the others.
    """
    prints = {
        part: fingerprint(section.model, section.revision, part)
        for part, section in (("encoder", settings.encoder), ("decoder", settings.decoder))
    }
    size, dtype = settings.features.shard_size, extraction_dtype(settings)
    english = english_sides([*text.train, *text.validation])
    both = tuple(
        side
        for part in (text.train, text.validation)
        for side in (*foreign_sides(part), *english_sides(part))
    )
    specs = {
        "encoded": FeatureSpec(
            "encoder+tokens", both, settings.encoder, prints["encoder"], size, dtype=dtype
        ),
        "teacher": FeatureSpec(
            "teacher", tuple(english), settings.decoder, prints["decoder"], size, dtype=dtype
        ),
    }
    result = extract(store, specs.values(), batch_tokens=settings.features.batch_tokens)
    return {name: result[spec] for name, spec in specs.items()}


def align(text: BaseText, features: dict[str, Features], settings: Settings, file: Path) -> Projector:
    """Stage A over all languages, or what it left in ``file``, or the projector of ``init_from``."""
    encoded, teacher = features["encoded"].vectors, features["teacher"].vectors
    projector = new_projector(encoded.shape[1], teacher.shape[1], settings)
    start = start_bundle(settings)
    if start is not None:
        load_modules(start, projector, None, None)
        return projector
    if file.is_file():
        projector.load_state_dict(load_file(file))
        return projector
    n, m = len(text.train), len(text.validation)
    foreign, english, states = (
        torch.from_numpy(rows[start : start + n])
        for rows, start in ((encoded, 0), (encoded, n), (teacher, 0))
    )
    held_out = torch.from_numpy(encoded[2 * n : 2 * n + m]), torch.from_numpy(teacher[n : n + m])
    data = AlignmentData(foreign, states, sentence_numbers(text.train))
    stage = StageA(
        projector,
        prepare_alignment(projector, data, settings.stage_a, english),
        settings.stage_a,
        settings.seed,
    )
    stage.record_validation(validate(projector, *held_out))
    every = settings.stage_a.planned_evaluation_interval(n)
    with track("Stage A", "steps", stage.steps) as progress:
        while not stage.done:
            stage.advance()
            progress.advance()
            if stage.step % every == 0:
                result = validate(projector, *held_out)
                stage.record_validation(result)
                progress.update(stage.step, note=f"R@1 {result.r1:.3f}")
    stage.keep_best()
    save_file({k: v.contiguous() for k, v in projector.state_dict().items()}, file)
    return projector


class BaseTraining:
    """Stage B over all languages and English, with checkpoints."""

    def __init__(
        self,
        text: BaseText,
        features: dict[str, Features],
        projector: Projector,
        settings: Settings,
        english_share: float,
    ) -> None:
        read = text.train[: round(english_share * len(text.train))]
        english = [replace(pair, foreign=pair.english, language=DECODER_LANGUAGE.code) for pair in read]
        bf16 = settings.deepspeed.bf16 if settings.deepspeed.bf16 is not None else computes_bf16()
        decoder = Decoder.load(settings.decoder, dtype=torch.bfloat16 if bf16 else None)
        decoder.prepare_training()
        self.decoder = decoder
        torch.manual_seed(settings.seed)
        tokens = features["encoded"].tokens
        slots = new_slots(decoder, settings, tokens.dim if tokens is not None else 0)
        self.model = LlinkModel(with_lora(decoder.model, settings.lora), projector, slots)
        stage = settings.stage_b
        pairs = [*text.train, *english]  # in the order of the features
        source = ExampleSource(pairs, decoder.prompt_builder, stage, settings.slots, settings.seed, None)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model, stage), betas=stage.betas, foreach=False
        )
        engine = PlainEngine(Objective(self.model, stage), self.optimizer, stage.clip)
        states = torch.from_numpy(features["teacher"].vectors[: len(text.train)])
        teacher = projector.normalise(states)
        teacher = torch.cat([teacher, teacher[: len(english)]])
        self.stage = StageB(
            engine, self.optimizer, source, features["encoded"], teacher, stage, torch.device("cpu")
        )

    def start(self, text: BaseText, features: dict[str, Features], settings: Settings) -> float:
        """What comes before the first step."""
        n, encoded = len(text.train), features["encoded"]
        decoder = self.decoder
        return start_slots(
            self.model.slots,
            decoder,
            settings.encoder,
            text.train,
            (encoded, range(n)),
            (encoded, range(n, 2 * n)),
            settings.stage_b.embedding_start,
            settings.seed,
        )

    def save(self, file: Path) -> None:
        """Trained weights in full precision, the optimizer's state and the step, all or nothing."""
        tensors = {"step": torch.tensor([self.stage.step])}
        for i, parameter in enumerate(self._parameters()):
            tensors[f"weight.{i}"] = parameter.detach().contiguous()
            for name, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"state.{i}.{name}"] = value.reshape(1) if value.dim() == 0 else value.contiguous()
        partial = file.with_suffix(".partial")
        save_file(tensors, partial)
        partial.replace(file)

    def take_weights(self) -> None:
        """Have the optimizer's copies follow weights that were loaded into the model."""
        engine = self.stage.engine
        assert isinstance(engine, PlainEngine)
        engine.read_weights()

    @torch.no_grad()
    def restore(self, file: Path) -> None:
        """Go on from what :meth:`save` wrote."""
        tensors = load_file(file)
        for i, parameter in enumerate(self._parameters()):
            parameter.copy_(tensors[f"weight.{i}"])
            prefix = f"state.{i}."
            self.optimizer.state[parameter] = {
                key.removeprefix(prefix): value.reshape(()) if key.endswith(".step") else value
                for key, value in tensors.items()
                if key.startswith(prefix)
            }
        engine = self.stage.engine
        assert isinstance(engine, PlainEngine)
        engine.write_back()
        self.stage.step = int(tensors["step"])

    def _parameters(self) -> Iterable[torch.Tensor]:
        return (p for group in self.optimizer.param_groups for p in group["params"])


def write(model: LlinkModel, text: BaseText, settings: Settings, output: Path, step: int, about: str) -> Path:
    """The base as a bundle in half precision; ``about`` is what its card says of the text."""
    start = start_bundle(settings)
    info = BundleInfo(
        language=MULTILINGUAL,
        language_name="many languages",
        encoder=_model_info(settings, "encoder", model.projector.mean.shape[0]),
        decoder=_model_info(settings, "decoder", model.projector.dim),
        slots=SlotsInfo(
            count=settings.slots.most_slots, variant=settings.slots.variant, numerals=settings.slots.numerals
        ),
        settings=settings.model_dump(mode="json"),
        corpus_hash=corpus_hash(text.train),
        seed=settings.seed,
        packages=package_versions(),
        commit=project_commit(),
        parent=read_bundle(start).digest if start else None,
        normalisation=VERSION,
    )
    training = {
        "steps": step,
        "examples": step * settings.stage_b.batch_size,
        "examples_before": _examples(start) if start else 0,
        "languages": text.counts,
        "text": about,
    }

    def fill(folder: Path) -> None:
        save_weights(folder, model.projector, model.slots, model.decoder)
        for file in folder.rglob("*.safetensors"):
            save_file({name: tensor.half() for name, tensor in load_file(file).items()}, file)
        (folder / "metrics.json").write_text(json.dumps({"base": training}, indent=1), encoding="utf-8")
        (folder / "README.md").write_text(base_card(info, training), encoding="utf-8")

    return write_bundle(output, info, fill)


def _examples(base: Path) -> int:
    """Examples that a base has seen, those of what it started from included; 0 of another bundle."""
    seen = json.loads((base / "metrics.json").read_text("utf-8")).get("base", {})
    return int(seen.get("examples", 0)) + int(seen.get("examples_before", 0))


def _model_info(settings: Settings, part: str, hidden_size: int) -> ModelInfo:
    section = settings.encoder if part == "encoder" else settings.decoder
    return ModelInfo(
        id=section.model,
        revision=section.revision,
        fingerprint=fingerprint(section.model, section.revision, part),
        hidden_size=hidden_size,
        weights=weights_of(section.model),
    )


def main(
    text: Annotated[list[Path], typer.Option(help="Folder of <code>.tsv or .jsonl; may be repeated.")],
    languages: Annotated[str, typer.Option(help="Codes, with commas between.")],
    output: Annotated[Path, typer.Option(help="Where the base is written.")],
    work: Annotated[Path, typer.Option(help="Features and checkpoints; kept between calls.")] = Path(
        "runs/base"
    ),
    pairs: Annotated[int, typer.Option(help="Most pairs of a language.")] = 4_000,
    questions: Annotated[int, typer.Option(help="Pairs that also get a question.")] = 10_000,
    english: Annotated[float, typer.Option(help="Share of the pairs whose English is read, too.")] = 1.0,
    preset: Annotated[str, typer.Option(help="Recipe to start from.")] = "small",
    assign: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, any setting.")] = None,
    threads: Annotated[int, typer.Option(help="Torch threads.")] = 2,
    about: Annotated[str, typer.Option(help="Where the text is from, and its licences, for the card.")] = "",
    minutes: Annotated[float | None, typer.Option(help="Stop after so long; call again to go on.")] = None,
) -> None:
    """Train the shared base, or go on with it."""
    ends = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    torch.set_num_threads(threads)
    settings = configure.resolve(*configure.layers(preset, None, assign or []))

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    ensure(settings, say)
    work.mkdir(parents=True, exist_ok=True)
    _require_same(
        work / "recipe.json",
        {
            "settings": settings.model_dump(mode="json"),
            "pairs": pairs,
            "questions": questions,
            "english": english,
            "languages": languages,
            "text": [str(f.resolve()) for f in text],
        },
    )
    with progress_output(say):
        base_text = read_text(text, languages.split(","), pairs, settings)
        say(f"training pairs: {base_text.counts}")
        features = features_of(base_text, settings, str(work / "features"))
        base_text = replace(
            base_text, train=self_answers(base_text.train, settings, questions, work / "answers.json")
        )
        projector = align(base_text, features, settings, work / "projector.safetensors")
        training = BaseTraining(base_text, features, projector, settings, english)
        stage, checkpoint = training.stage, work / "stage_b.safetensors"
        if checkpoint.is_file():
            training.restore(checkpoint)
        elif (start := start_bundle(settings)) is not None:
            load_modules(start, None, training.model.slots, training.model.decoder)
            training.take_weights()
        elif settings.starts_from_embeddings:
            loss = training.start(base_text, features, settings)
            say(f"the slots start from the decoder's embeddings; loss {loss:.3f}")
        with track("Stage B", "steps", settings.stage_b.steps) as progress:
            progress.resume_at(stage.step)
            loss = 0.0
            while not stage.done and time.monotonic() < ends:
                figures = stage.reduce(stage.advance())
                loss = figures["loss"] if not loss else 0.98 * loss + 0.02 * figures["loss"]
                progress.update(stage.step, note=f"loss {loss:.3f}")
                if stage.step % settings.checkpoint.every_steps == 0:
                    training.save(checkpoint)
        training.save(checkpoint)
        write(training.model, base_text, settings, output, stage.step, about)
    size = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
    document: dict[str, Any] = {
        "job": "base",
        "output": str(output),
        "bytes": size,
        "steps": stage.step,
        "of": settings.stage_b.steps,
        "loss": round(loss, 4),
        "languages": base_text.counts,
    }
    print(json.dumps(document, ensure_ascii=False), flush=True)


def _require_same(file: Path, recipe: dict[str, Any]) -> None:
    """A folder of work belongs to one recipe."""
    if file.is_file():
        if json.loads(file.read_text("utf-8")) != recipe:
            raise typer.BadParameter(f"{file.parent} holds the work of another recipe: name another --work")
        return
    write_atomic(file, json.dumps(recipe, indent=1))


if __name__ == "__main__":
    typer.run(main)

"""The demo on real models: the shared base answers, then one language is taught from it."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from llink_ray.bundles.base import SENTENCES, as_language, start_bundle
from llink_ray.bundles.bundle import read_bundle
from llink_ray.bundles.pipeline import LlinkPipeline, load
from llink_ray.bundles.registry import Registry
from llink_ray.cluster.run_directory import RunDir
from llink_ray.corpus.pair import TRANSLATION_KIND, Pair
from llink_ray.errors import LlinkError
from llink_ray.metrics.answers import Answer, chrf
from llink_ray.models.pretrained.acquire import ensure
from llink_ray.prompts.instructions import TRANSLATE_INSTRUCTION
from llink_ray.settings import configure
from llink_ray.text.languages import find

PRESET = "small"
QUESTION = "What is this text about?"
COMPARED = 64
"""Held-out sentences that are translated before and after."""
SHOWN = 3
LONGEST_ANSWER = 48


@dataclass(frozen=True)
class DemoRequest:
    """What the command line asked for."""

    language: str
    corpus: str | None
    output: Path
    assignments: list[str]


def say(text: str) -> None:
    """Print to stderr; stdout is for the last line."""
    print(text, file=sys.stderr, flush=True)


def run(request: DemoRequest) -> dict[str, Any]:
    """Show the base, publish it, teach a language where a corpus is given.

    Raises:
        LlinkError: a language without a corpus or the reverse, or no base in this package.
        JobFailed: the models cannot be had, or training failed.
    """
    started = time.monotonic()
    if bool(request.language) != bool(request.corpus):
        raise LlinkError(
            "teaching takes both --lang and --corpus: a file of pairs, TSV with columns foreign and english "
            "or JSONL; OPUS (opus.nlpl.eu) and Tatoeba have open ones"
        )
    settings = configure.resolve(*configure.layers(PRESET, None, [*request.assignments, "init_from=base"]))
    base = start_bundle(settings)
    assert base is not None
    ensure(settings, say)
    text: dict[str, list[tuple[str, str]]] = yaml.safe_load(SENTENCES.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        pipeline = load(as_language(base, find(next(iter(text))), Path(folder) / "bundle"))
    answers = _show(pipeline, text, started)
    document: dict[str, Any] = {
        "job": "demo-real",
        "seconds_to_first_answer": round(answers[0]["seconds"], 1),
        "answers": answers,
        "published": _publish(base, list(text), request.output),
    }
    if request.corpus:
        document["taught"] = _teach(request, pipeline)
    else:
        say(
            "\nTeach a language from here: make demo-real LANG_=nepali CORPUS=pairs.tsv, a file with columns "
            "foreign and english (OPUS and Tatoeba have open ones)."
        )
    return document | {"seconds": round(time.monotonic() - started, 1)}


def _show(
    pipeline: LlinkPipeline, text: dict[str, list[tuple[str, str]]], started: float
) -> list[dict[str, Any]]:
    shown = []
    for code, pairs in text.items():
        pipeline.language = code
        say(f"\n{find(code).name}")
        for i, (foreign, english) in enumerate(pairs):
            answer = {
                "language": code,
                "text": foreign,
                "english": english,
                "translation": pipeline.answer_all([(TRANSLATE_INSTRUCTION, foreign)], 1, LONGEST_ANSWER)[0],
                "seconds": time.monotonic() - started,
            }
            say(f"  {foreign}\n    translated  {answer['translation']}\n    a person's  {english}")
            if i == 0:
                answer["about"] = pipeline.answer_all([(QUESTION, foreign)], 1, LONGEST_ANSWER)[0]
                say(f"    {QUESTION}  →  {answer['about']}")
            shown.append(answer)
    return shown


def _publish(base: Path, codes: list[str], output: Path) -> list[str]:
    """Publish the base for languages that have no bundle yet; a registry serves one decoder."""
    registry = Registry(output / "registry")
    versions = registry.list()
    decoders = {registry.info(version).decoder.fingerprint for version in versions if version.current}
    if decoders - {read_bundle(base).decoder.fingerprint}:
        say(f"\nnot published: {output / 'registry'} serves another decoder; name another --output")
        return []
    published = []
    for code in codes:
        if any(version.language == code for version in versions):
            continue
        with tempfile.TemporaryDirectory() as folder:
            bundle = as_language(base, find(code), Path(folder) / "bundle")
            published.append(registry.publish(bundle).folder)
    if published:
        say(f"\npublished {', '.join(published)}: `make chat` talks to them")
    return published


def _teach(request: DemoRequest, before: LlinkPipeline) -> dict[str, Any]:
    from llink_ray.cluster.job import Request
    from llink_ray.cluster.job import run as train

    language = find(request.language)
    trained = train(
        Request(
            languages=request.language,
            preset=PRESET,
            assignments=[
                "init_from=base",
                f"corpus.path={Path(str(request.corpus)).absolute()}",
                *request.assignments,
            ],
            output=str(request.output),
        )
    )
    pairs = RunDir(Path(trained["run_dir"])).read_pairs("test")[:COMPARED]
    before.language = language.code
    first = _translations(before, pairs)
    second = _translations(load(trained["bundle"]), pairs)
    figures = {name: round(chrf(answers)[0], 1) for name, answers in (("before", first), ("after", second))}
    counts = f"{figures['before']} before teaching, {figures['after']} after"
    say(f"\n{language.name}, {len(pairs)} held-out sentences: chrF {counts}")
    for old, new, pair in list(zip(first, second, pairs, strict=True))[:SHOWN]:
        say(f"  {pair.foreign}\n    before      {old.given}\n    after       {new.given}")
        say(f"    a person's  {pair.english}")
    return {
        "language": language.code,
        "run_dir": trained["run_dir"],
        "chrf": figures,
        "sentences": len(pairs),
    }


def _translations(pipeline: LlinkPipeline, pairs: list[Pair]) -> list[Answer]:
    given = pipeline.answer_all([(TRANSLATE_INSTRUCTION, pair.foreign) for pair in pairs])
    return [
        Answer(TRANSLATION_KIND, TRANSLATE_INSTRUCTION, pair.english, answer)
        for pair, answer in zip(pairs, given, strict=True)
    ]

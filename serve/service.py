"""What the API does, without HTTP: from messages to an answer, by language."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from llink_ray.bundles.registry import Registry
from llink_ray.engine import Answer, SamplingParams, StreamEvent
from llink_ray.engine.echo_prompt import EchoPrompt, RawTextPrompt
from llink_ray.errors import LlinkError, TooLong
from llink_ray.prompts.builder import PromptBuilder
from llink_ray.prompts.conversation import Conversation, ConversationParser, LanguageSpan, SlotRegion
from llink_ray.prompts.message import TEXT_PLACEHOLDER
from llink_ray.settings import DecoderSettings
from llink_ray.storage.redact import model_name
from llink_ray.text.languages import find, language_of
from llink_ray.text.normalisation import visible
from serve.backend import Backend
from serve.catalog import RETRYABLE, Catalog, ServedLanguage
from serve.echo import echoed
from serve.grounding import in_words, unlike_training
from serve.metrics import Metrics
from serve.rpc_types import EncodedText, GenerationRequest
from serve.settings import ServeSettings
from serve.shutdown import GracefulShutdown

_log = logging.getLogger("llink_ray.serve")
AUTO = "llink"
"""The model that finds the language by itself; ``llink:bo`` is Tibetan, whatever the text looks like."""


class NoSuchModel(LlinkError):
    """A model that is not served."""


@dataclass(frozen=True)
class ModelSelection:
    """What a model's name asks for."""

    model: str
    """The one name that it is counted under: people write a language in many ways."""
    taught: dict[str, ServedLanguage]
    """Languages that may be read, by code; none for the base."""
    forced: str | None = None
    """Language that everything foreign is read as."""


@dataclass(frozen=True)
class Notice:
    """Something that was done otherwise than it was asked for."""

    code: str
    """For programs."""
    message: str


_SYSTEM_LEFT_OUT = Notice(
    "system_left_out",
    "system texts were not shown to the decoder, since no bundle is trained with them and answers get worse: "
    "say what you want in the message itself",
)


@dataclass(frozen=True)
class PreparedRequest:
    """A request that was understood."""

    model: str
    """As ``ModelSelection.model``."""
    layout: Conversation
    ask: GenerationRequest
    """Without its slots yet."""
    used: dict[str, ServedLanguage]
    """Bundles that read or speak, by code."""
    raw_tokens: int
    """Prompt tokens with the text itself in it."""
    notices: tuple[Notice, ...] = ()
    order: tuple[int, ...] = ()
    """Which sentence of the layout stands where: chat formats may move a message."""
    echo_prompt: EchoPrompt | None = None
    """Tokens of a text that is given back."""
    most: int = 0
    """Tokens that may follow it."""


@dataclass(frozen=True)
class ResponseMetadata:
    """What is said about an answer beside it: the extension ``llink``."""

    plan: PreparedRequest
    hits: int
    grounding: float | None = None
    characters: tuple[int, ...] | None = None
    """Read of each sentence."""
    outside: tuple[bool | None, ...] = ()
    """Whether each sentence is unlike its bundle's training text; None where the bundle cannot tell."""

    def extension(self) -> dict[str, Any]:
        """As JSON."""
        plan = self.plan
        cut = self._cut()
        outside = self._outside()
        notices = [*plan.notices, *([text_cut(cut, "stretches")] if any(cut) else ())]
        if far := sum(filter(None, outside)):
            notices.append(Notice("outside_training", unlike_training(far, len(plan.layout.sentences))))
        found: dict[str, Any] = {
            "spans": [
                {**_span(span, plan.used), "cut_characters": gone, "outside": count}
                for span, gone, count in zip(plan.layout.spans, cut, outside, strict=True)
            ],
            "sentences": len(plan.layout.sentences),
            "slots": 0 if plan.ask.slots is None else len(plan.ask.slots),
            "slot_cache_hits": self.hits,
            "prompt_tokens": len(plan.ask.ids),
            "prompt_tokens_raw": plan.raw_tokens,
            "adapter": plan.layout.adapter,
            "bundles": {
                code: {"version": one.ref.version, "digest": one.ref.digest}
                for code, one in plan.used.items()
            },
            "instruction_added": plan.layout.instruction_added,
            "notices": [{"code": one.code, "message": one.message} for one in notices],
        }
        if self.grounding is not None:
            found["grounding"] = {
                "nats": round(self.grounding, 4),
                "sentence": in_words(
                    self.grounding, any(span.numerals for span in plan.layout.spans), any(outside)
                ),
            }
        return found

    def _outside(self) -> list[int | None]:
        """Sentences of each span that are unlike the training text; None where that is not known."""
        left, counts = iter(self.outside), list[int | None]()
        for span in self.plan.layout.spans:
            outside = list(islice(left, span.slot_groups))
            counts.append(None if None in outside else sum(map(bool, outside)))
        return counts

    def _cut(self) -> list[int]:
        """Characters of each span that the encoder does not read."""
        layout = self.plan.layout
        if self.characters is None:
            return [0] * len(layout.spans)
        left = (
            max(0, len(sentence.text.rstrip()) - read)
            for sentence, read in zip(layout.sentences, self.characters, strict=True)
        )
        return [sum(islice(left, span.slot_groups)) for span in layout.spans]


def text_cut(gone: Sequence[int], what: str) -> Notice:
    """That of some texts only the beginning was read."""
    return Notice(
        "text_cut",
        f"the last {sum(gone)} characters of {sum(map(bool, gone))} {what} were not read, being more than is "
        "read at once: send shorter texts",
    )


def named(code: str | None) -> dict[str, Any]:
    """What a span says of its language."""
    language = language_of(code)
    return {
        "language": code,
        "name": language.name if language else None,
        "own_name": language.own_name if language else None,
        "direction": language.direction if language else "ltr",
    }


def _span(span: LanguageSpan, used: dict[str, ServedLanguage]) -> dict[str, Any]:
    return {
        **named(span.language),
        "message": span.message,
        "start": span.start,
        "end": span.end,
        "confidence": span.confidence,
        "served": span.language in used,
        "sentences": len(span.sentences),
        "slots": sum(sentence.slot_count for sentence in span.sentences),
        "numerals": span.numerals,
    }


class Service:
    """Languages, prompts and models together; what every endpoint works with."""

    def __init__(
        self,
        settings: ServeSettings,
        backend: Backend,
        encoders: Sequence[str],
        prompt: PromptBuilder,
        decoder: DecoderSettings,
    ) -> None:
        self.settings, self.backend, self.prompt = settings, backend, prompt
        self.decoder = decoder
        self.base = settings.base_name or model_name(decoder.model)
        self.encoders = list(encoders)
        self.metrics = Metrics()
        self.catalog = Catalog(
            Registry(settings.registry), backend, dict.fromkeys(encoders), self.metrics.bundle
        )
        self.stopping = GracefulShutdown()
        self.answered = False
        """Whether the models answered once: ready."""

    async def run(self) -> None:
        """Follow the registry and be ready once the models have answered; until cancelled."""
        following = asyncio.create_task(self.catalog.follow(self.settings.poll_seconds))
        try:
            while not self.answered:
                await asyncio.sleep(0.05)
                if self.catalog.looked:
                    await self._try()
            await following
        finally:
            following.cancel()

    async def _try(self) -> None:
        """One token of the base, and one text read in every language."""
        try:
            plan = await self.plan([("user", "Hello")], self.base, SamplingParams(max_tokens=1))
            await self.backend.answer(plan.ask)
            for taught in self.catalog.taught.values():
                await self._try_language(taught)
        except LlinkError:
            await asyncio.sleep(1.0)
        else:
            self.answered = True

    async def _try_language(self, taught: ServedLanguage) -> None:
        """One that reads nothing must not keep the others from being served."""
        try:
            await self.backend.read(taught.encoder, [(taught.ref, taught.language.own_name)])
        except RETRYABLE:
            raise
        except LlinkError as error:
            _log.error("%s %s cannot be read with: %s", taught.ref.language, taught.ref.version, error)

    async def chosen(self, model: str) -> ModelSelection:
        """What a model's name asks for: ``llink``, ``llink:bo``, ``llink:bo@v0001``, or the base by its name.

        Raises:
            NoSuchModel: nothing of that name.
        """
        taught = self.catalog.taught
        if model == self.base:
            return ModelSelection(model, {})
        if model == AUTO:
            return ModelSelection(model, taught)
        family, colon, rest = model.partition(":")
        name, at, version = rest.partition("@")
        if family != AUTO or not colon:
            raise NoSuchModel(f"there is no model {model!r} here: GET /v1/models lists those there are")
        try:
            code = find(name).code
            if at:
                pinned = await self.catalog.pinned(code, version)
                return ModelSelection(f"{AUTO}:{code}", {**taught, code: pinned}, code)
        except RETRYABLE:
            raise
        except LlinkError as error:
            raise NoSuchModel(f"model {model!r}: {error}") from None
        if code not in taught:
            served = ", ".join(f"{AUTO}:{known}" for known in taught) or "none yet"
            raise NoSuchModel(
                f"model {model!r}: {find(name).name} is not taught here (there are: {served}). "
                f"Teach it: python jobs/train.py --lang={code}"
            )
        return ModelSelection(f"{AUTO}:{code}", taught, code)

    async def plan(
        self,
        messages: Sequence[tuple[str, str]],
        model: str,
        sampling: SamplingParams,
        *,
        seconds: float | None = None,
        grounding: bool = False,
        instruction: str | None = None,
        echo: int | None = None,
    ) -> PreparedRequest:
        """Understand a request; nothing is asked of the models yet.

        ``echo``: the one message is a text that is read as it stands and given back, with at most so many
        tokens more.

        Raises:
            NoSuchModel: as ``chosen``.
            LanguageNotServed: text in a language that is not served.
            TooLong: more than fits.
        """
        chosen = await self.chosen(model)
        parser = ConversationParser(
            {code: bundle.settings.slots for code, bundle in chosen.taught.items()},
            chosen.forced,
            "text" if self.settings.unknown_language == "base" else "refuse",
            {code: bundle.info.normalisation for code, bundle in chosen.taught.items()},
        )
        regions: tuple[SlotRegion, ...] = ()
        spelling = None if echo is None else RawTextPrompt(self.prompt, messages[0][1])
        if spelling is not None and model == self.base:
            layout = Conversation(tuple(messages), tuple(messages))
        elif spelling is not None:
            layout, regions = parser.parse_text(messages[0][1], spelling.segments)
        elif model == self.base:
            plain = tuple((role, visible(text.replace(TEXT_PLACEHOLDER, " "))) for role, text in messages)
            layout = Conversation(plain, plain)
        else:
            layout = parser.parse(messages, instruction)
        notices: tuple[Notice, ...] = ()
        if layout.adapter and self.settings.system_texts == "leave_out":
            whole, layout = layout, layout.without_system()
            if layout is not whole:
                notices = (_SYSTEM_LEFT_OUT,)
        most = self.settings.limits.sentences
        if len(layout.sentences) > most:
            raise TooLong(
                f"the conversation has {len(layout.sentences)} foreign sentences, and {most} fit: start it "
                "anew, or send less of it"
            )
        codes = {sentence.language for sentence in layout.sentences} | {layout.adapter} - {None}
        used = {code: chosen.taught[code] for code in sorted(c for c in codes if c)}
        slot_counts = [sentence.slot_count for sentence in layout.sentences]
        adapter = used[layout.adapter].ref if layout.adapter else None
        if spelling is not None:
            echo_prompt = spelling.fed(regions, slot_counts)
            ask = GenerationRequest(echo_prompt.ids, None, adapter, sampling, seconds)
            every = tuple(range(len(slot_counts)))
            return PreparedRequest(
                chosen.model,
                layout,
                ask,
                used,
                len(echo_prompt.listed),
                notices,
                every,
                echo_prompt,
                echo or 0,
            )
        built = self.prompt.build(layout.messages, slot_counts)
        raw = built if layout.raw_messages == layout.messages else self.prompt.build(layout.raw_messages)
        ask = GenerationRequest(tuple(built.ids), None, adapter, sampling, seconds, grounding)
        return PreparedRequest(chosen.model, layout, ask, used, len(raw.ids), notices, built.order)

    async def read(self, plan: PreparedRequest) -> ResponseMetadata:
        """The plan with its slots, how many texts were in the cache, and how much of each was read."""
        wanted = plan.layout.sentences
        if not wanted:
            return ResponseMetadata(plan, 0)
        made: dict[int, EncodedText] = {}
        hits = 0
        by_encoder: dict[str, list[int]] = {}
        for place, sentence in enumerate(wanted):
            by_encoder.setdefault(plan.used[sentence.language].encoder, []).append(place)
        for encoder, places in by_encoder.items():
            texts = [(plan.used[wanted[i].language].ref, wanted[i].text) for i in places]
            found = await self.backend.read(encoder, texts)
            made.update(zip(places, found.texts, strict=True))
            hits += found.hits
        self.metrics.read(len(wanted), hits)
        rows = np.concatenate([made[i].slots for i in plan.order])
        read = tuple(made[i].characters for i in range(len(wanted)))
        outside = tuple(made[i].outside for i in range(len(wanted)))
        return ResponseMetadata(
            replace(plan, ask=replace(plan.ask, slots=rows)), hits, characters=read, outside=outside
        )

    async def answer(self, plan: PreparedRequest) -> tuple[Answer, ResponseMetadata]:
        """The whole answer.

        Raises:
            LlinkError: as the backend.
        """
        told = await self.read(plan)
        if plan.echo_prompt is not None:
            return await echoed(self, told, plan.echo_prompt), told
        answer, grounding = await self.backend.answer(told.plan.ask)
        return answer, replace(told, grounding=grounding)

    async def stream(self, plan: PreparedRequest) -> AsyncGenerator[StreamEvent | ResponseMetadata, None]:
        """The answer as it comes; ``ResponseMetadata`` last, behind the event that ends it.

        Raises:
            LlinkError: as the backend.
        """
        told = await self.read(plan)
        plan = told.plan
        text = list[str]()
        async with aclosing(self.backend.stream(plan.ask)) as events:
            async for event in events:
                text.append(event.text)
                yield event
        grounding = None
        if plan.ask.grounding:
            grounding = await self.backend.grounding(plan.ask, "".join(text))
        yield replace(told, grounding=grounding)

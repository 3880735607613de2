"""The service without HTTP: from messages to an answer, in any served language."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

import numpy as np

from llink_ray.bundles.registry import Registry
from llink_ray.engine import Answer, SamplingParams, StreamEvent
from llink_ray.errors import LlinkError, TooLong
from llink_ray.prompts.builder import PromptBuilder
from llink_ray.prompts.conversation import Conversation, ConversationParser, SlotRegion
from llink_ray.prompts.message import TEXT_PLACEHOLDER
from llink_ray.settings import DecoderSettings
from llink_ray.storage.redact import model_name
from llink_ray.text.languages import find
from llink_ray.text.normalisation import visible
from serve.backend import Backend
from serve.catalog import RETRYABLE, Catalog, ServedLanguage
from serve.echo import echoed
from serve.echo_prompt import RawTextPrompt
from serve.metadata import SYSTEM_LEFT_OUT, PreparedRequest, ResponseMetadata
from serve.metrics import Metrics
from serve.responses import Notice
from serve.rpc_types import EncodedText, GenerationRequest
from serve.settings import ServeSettings
from serve.shutdown import GracefulShutdown

_log = logging.getLogger("llink_ray.serve")
AUTO = "llink"
"""The model that detects the language; ``llink:bo`` reads all foreign text as Tibetan."""


class ModelNotFound(LlinkError):
    """A model that is not served."""


@dataclass(frozen=True)
class ModelSelection:
    """What a model's name asks for."""

    model: str
    """Canonical name: languages may be written in many ways."""
    languages: dict[str, ServedLanguage]
    """Languages whose bundles may be used, by code; none for the base model."""
    forced: str | None = None
    """Code of the language that all foreign text is read as."""


class Service:
    """Languages, prompts and models together; every endpoint works with it."""

    def __init__(
        self,
        settings: ServeSettings,
        backend: Backend,
        encoders: Sequence[str],
        prompt_builder: PromptBuilder,
        decoder: DecoderSettings,
    ) -> None:
        self.settings, self.backend, self.prompt_builder, self.decoder = (
            settings,
            backend,
            prompt_builder,
            decoder,
        )
        self.base = settings.base_name or model_name(decoder.model)
        self.encoders = list(encoders)
        self.metrics = Metrics()
        self.catalog = Catalog(Registry(settings.registry), backend, encoders, self.metrics.bundle_load)
        self.shutdown = GracefulShutdown()
        self.ready = False
        """Whether the models have answered once."""

    async def run(self) -> None:
        """Watch the registry and warm up; until cancelled."""
        watching = asyncio.create_task(self.catalog.watch(self.settings.poll_seconds))
        try:
            while not self.ready:
                await asyncio.sleep(0.05)
                if self.catalog.loaded:
                    await self._warm_up()
            await watching
        finally:
            watching.cancel()

    async def _warm_up(self) -> None:
        """Generate one token with the base and encode one text in every language."""
        try:
            request = await self.prepare([("user", "Hello")], self.base, SamplingParams(max_tokens=1))
            await self.backend.answer(request.generation)
            for served in self.catalog.languages.values():
                await self._warm_up_language(served)
        except LlinkError:
            await asyncio.sleep(1.0)
        else:
            self.ready = True

    async def _warm_up_language(self, served: ServedLanguage) -> None:
        """A bundle that cannot encode must not keep the others from being served."""
        try:
            await self.backend.read(served.encoder, [(served.ref, served.language.own_name)])
        except RETRYABLE:
            raise
        except LlinkError as error:
            _log.error("%s %s cannot be read with: %s", served.ref.language, served.ref.version, error)

    async def select_model(self, model: str) -> ModelSelection:
        """Resolve ``llink``, ``llink:bo``, ``llink:bo@v0001`` or the base model's name.

        Raises:
            ModelNotFound: no such model.
        """
        languages = self.catalog.languages
        if model == self.base:
            return ModelSelection(model, {})
        if model == AUTO:
            return ModelSelection(model, languages)
        family, colon, rest = model.partition(":")
        name, at, version = rest.partition("@")
        if family != AUTO or not colon:
            raise ModelNotFound(f"there is no model {model!r} here: GET /v1/models lists those there are")
        try:
            code = find(name).code
            if at:
                languages = {**languages, code: await self.catalog.pinned(code, version)}
        except RETRYABLE:
            raise
        except LlinkError as error:
            raise ModelNotFound(f"model {model!r}: {error}") from None
        if code not in languages:
            available = ", ".join(f"{AUTO}:{served}" for served in languages) or "none yet"
            raise ModelNotFound(
                f"model {model!r}: {find(name).name} is not taught here (there are: {available}). "
                f"Teach it: python jobs/train.py --lang={code}"
            )
        return ModelSelection(f"{AUTO}:{code}", languages, code)

    async def prepare(
        self,
        messages: Sequence[tuple[str, str]],
        model: str,
        sampling: SamplingParams,
        *,
        seconds: float | None = None,
        grounding: bool = False,
        instruction: str | None = None,
        echo_max_tokens: int | None = None,
    ) -> PreparedRequest:
        """Detect languages and build the prompt; the models are not called yet.

        Args:
            messages: (role, text) of each.
            model: its name.
            sampling: how to generate.
            seconds: deadline.
            grounding: also measure grounding.
            instruction: put before a message of foreign text alone.
            echo_max_tokens: the one message is a text that is read as it stands and returned, with at most so
                many tokens after it.

        Raises:
            ModelNotFound: no such model.
            LanguageNotServed: text in a language that has no bundle.
            TooLong: more than fits.
        """
        selection = await self.select_model(model)
        parser = ConversationParser(
            {code: served.settings.slots for code, served in selection.languages.items()},
            selection.forced,
            "text" if self.settings.unknown_language == "base" else "refuse",
            {code: served.info.normalisation for code, served in selection.languages.items()},
        )
        raw_text = None if echo_max_tokens is None else RawTextPrompt(self.prompt_builder, messages[0][1])
        regions: tuple[SlotRegion, ...] = ()
        if model == self.base:
            turns = tuple(messages)
            if raw_text is None:
                turns = tuple((role, visible(text.replace(TEXT_PLACEHOLDER, " "))) for role, text in messages)
            conversation = Conversation(turns, turns)
        elif raw_text is not None:
            conversation, regions = parser.parse_text(messages[0][1], raw_text.segments)
        else:
            conversation = parser.parse(messages, instruction)
        notices: tuple[Notice, ...] = ()
        if conversation.adapter and self.settings.system_texts == "leave_out":
            complete, conversation = conversation, conversation.without_system()
            notices = () if conversation is complete else (SYSTEM_LEFT_OUT,)
        limit = self.settings.limits.sentences
        if len(conversation.sentences) > limit:
            raise TooLong(
                f"the conversation has {len(conversation.sentences)} foreign sentences, and {limit} fit: "
                "start it anew, or send less of it"
            )
        codes = {sentence.language for sentence in conversation.sentences} | {conversation.adapter}
        bundles = {code: selection.languages[code] for code in sorted(filter(None, codes))}
        slot_counts = [sentence.slot_count for sentence in conversation.sentences]
        adapter = bundles[conversation.adapter].ref if conversation.adapter else None
        if raw_text is not None:
            echo = raw_text.with_slots(regions, slot_counts)
            return PreparedRequest(
                selection.model,
                conversation,
                GenerationRequest(echo.ids, None, adapter, sampling, seconds),
                bundles,
                len(echo.text_tokens),
                notices,
                tuple(range(len(slot_counts))),
                echo,
                echo_max_tokens or 0,
            )
        built = self.prompt_builder.build(conversation.messages, slot_counts)
        raw = built
        if conversation.raw_messages != conversation.messages:
            raw = self.prompt_builder.build(conversation.raw_messages)
        generation = GenerationRequest(tuple(built.ids), None, adapter, sampling, seconds, grounding)
        return PreparedRequest(
            selection.model, conversation, generation, bundles, len(raw.ids), notices, built.order
        )

    async def encode(self, request: PreparedRequest) -> ResponseMetadata:
        """Fill in the slots of a request."""
        sentences = request.conversation.sentences
        if not sentences:
            return ResponseMetadata(request, 0)
        by_encoder: dict[str, list[int]] = {}
        for index, sentence in enumerate(sentences):
            by_encoder.setdefault(request.bundles[sentence.language].encoder, []).append(index)
        encoded: dict[int, EncodedText] = {}
        hits = 0
        for encoder, indices in by_encoder.items():
            texts = [(request.bundles[sentences[i].language].ref, sentences[i].text) for i in indices]
            batch = await self.backend.read(encoder, texts)
            encoded.update(zip(indices, batch.texts, strict=True))
            hits += batch.cache_hits
        self.metrics.slot_cache(len(sentences), hits)
        slots = np.concatenate([encoded[i].slots for i in request.sentence_order])
        in_order = [encoded[i] for i in range(len(sentences))]
        return ResponseMetadata(
            replace(request, generation=replace(request.generation, slots=slots)),
            hits,
            characters_read=tuple(text.characters_read for text in in_order),
            out_of_domain=tuple(text.out_of_domain for text in in_order),
        )

    async def answer(self, request: PreparedRequest) -> tuple[Answer, ResponseMetadata]:
        """The whole answer.

        Raises:
            LlinkError: as the backend.
        """
        metadata = await self.encode(request)
        if request.echo is not None:
            return await echoed(self, metadata, request.echo), metadata
        answer, grounding = await self.backend.answer(metadata.request.generation)
        return answer, replace(metadata, grounding=grounding)

    async def stream(self, request: PreparedRequest) -> AsyncGenerator[StreamEvent | ResponseMetadata, None]:
        """Events of the answer, and ``ResponseMetadata`` after the last.

        Raises:
            LlinkError: as the backend.
        """
        metadata = await self.encode(request)
        generation = metadata.request.generation
        text = ""
        async with aclosing(self.backend.stream(generation)) as events:
            async for event in events:
                text += event.text
                yield event
        grounding = await self.backend.grounding(generation, text) if generation.grounding else None
        yield replace(metadata, grounding=grounding)

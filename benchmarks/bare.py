"""The service's own parts in this process, without HTTP or Ray: what the API is measured against."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import repository  # noqa: F401
from starlette.responses import JSONResponse

from llink_ray.bundles.registry import Registry
from llink_ray.engine import Answer, EngineLimits, EngineRequest, PromptInput, SamplingParams
from llink_ray.engine.factory import create_engine
from llink_ray.models.decoder import load_tokenizer
from llink_ray.prompts.builder import PromptBuilder
from serve.backend import LocalBackend
from serve.base_models import current_bundles, required_models
from serve.decoder_server import DecoderServer
from serve.encoder_server import EncoderServer
from serve.formatters import ChatFormatter
from serve.metadata import PreparedRequest, ResponseMetadata
from serve.protocol import ChatRequest
from serve.service import Service
from serve.settings import ServeSettings
from serve.validation import check_chat

T = TypeVar("T")


class Bare:
    """Reader, engine and planning, step by step."""

    def __init__(self, settings: ServeSettings) -> None:
        decoder, encoders = required_models(
            current_bundles(Registry(settings.registry)), settings.decoder, settings.encoders
        )
        self._settings = settings
        encoder_servers = {
            name: EncoderServer(one, settings.registry, settings.cache_bytes)
            for name, one in encoders.items()
        }
        self.encoder = next(iter(encoder_servers))
        prompts = PromptBuilder(load_tokenizer(decoder))
        self.engine = create_engine(decoder, EngineLimits(**settings.engine.model_dump()))
        self.decoder_server = DecoderServer(self.engine, prompts, settings.registry)
        backend = LocalBackend(encoder_servers, self.decoder_server)
        self.service = Service(settings, backend, list(encoder_servers), prompts, decoder)
        self._loop = asyncio.new_event_loop()
        self.wait(self.service.catalog.refresh())

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Its outcome."""
        return self._loop.run_until_complete(work)

    def prepare(self, body: bytes) -> tuple[ChatRequest, PreparedRequest]:
        """From the request's bytes to its prompt: validation, languages, prompt."""
        request = ChatRequest.model_validate_json(body)
        check_chat(request, self._settings.limits)
        sampling = SamplingParams(max_tokens=request.token_limit or 1)
        return request, self.wait(self.service.prepare(request.turns, request.model, sampling))

    def encode(self, prepared: PreparedRequest) -> PreparedRequest:
        """With its slots."""
        return self.wait(self.service.encode(prepared)).request

    def request(self, prepared: PreparedRequest) -> EngineRequest:
        """As the engine takes it."""
        ask = prepared.generation
        if ask.adapter is not None:
            self.wait(self.decoder_server.prepare(ask.adapter))
        adapter = ask.adapter.name if ask.adapter else None
        return EngineRequest(PromptInput(ask.ids, ask.slots), adapter, ask.sampling, ask.seconds)

    def answer(self, request: EngineRequest) -> Answer:
        """The engine alone."""
        return self.engine.submit(request).result(60)

    def response(self, prepared: PreparedRequest, answer: Answer) -> bytes:
        """The response's body."""
        formatter = ChatFormatter(prepared.model, False)
        body = formatter.response([(answer, ResponseMetadata(prepared, 0))])
        return bytes(JSONResponse(body.model_dump()).body)

    def stop(self) -> None:
        """The decoding thread, too."""
        self.engine.stop()
        self._loop.close()


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Outcome and milliseconds."""
    begun = time.perf_counter()
    outcome = work()
    return outcome, 1e3 * (time.perf_counter() - begun)

"""Calls of the models, in this process or through Ray Serve's deployment handles."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from llink_ray.engine import Answer, StreamEvent, TokenLogprob
from llink_ray.errors import LlinkError
from serve.decoder_server import DecoderServer
from serve.encoder_server import BundleText, EncoderServer
from serve.rpc_types import BundleRef, DecoderStats, EmbeddingBatch, EncodedBatch, Floats, GenerationRequest

T = TypeVar("T", covariant=True)
_ATTEMPTS = 5
_BACKOFF = 0.2
"""Seconds before the second attempt; doubled with each."""


class DeploymentResponse(Protocol[T]):
    """What a call of a deployment handle returns."""

    def __await__(self) -> Generator[Any, None, T]:
        """The call's result."""

    def cancel(self) -> object:
        """Cancel the call in its replica."""


class Overloaded(LlinkError):
    """More concurrent requests than the deployments take."""

    exit_code = 1


class ReplicaLost(LlinkError):
    """A replica went away during a call, and so did those that it was repeated on."""

    exit_code = 1


class Backend(Protocol):
    """Calls raise LlinkError, ``QueueFull`` among them, Overloaded or ReplicaLost."""

    async def prepare(self, encoder: str, ref: BundleRef) -> None:
        """Load a bundle in the encoder's and in the decoder's deployment."""

    async def read(self, encoder: str, texts: Sequence[BundleText]) -> EncodedBatch:
        """Slots of texts."""

    async def project(self, encoder: str, texts: Sequence[BundleText]) -> EmbeddingBatch:
        """Vectors of foreign texts in the decoder's space."""

    async def vectors(self, encoder: str, texts: Sequence[str]) -> EmbeddingBatch:
        """The encoder's own vectors."""

    async def teacher_states(self, texts: Sequence[str], ref: BundleRef | None) -> Floats:
        """The decoder's own vectors of English texts, comparable with a bundle's of foreign ones."""

    async def answer(self, ask: GenerationRequest) -> tuple[Answer, float | None]:
        """A whole answer and its grounding; repeated on another replica if one goes away."""

    def stream(self, ask: GenerationRequest) -> AsyncGenerator[StreamEvent, None]:
        """Events of an answer; repeated on another replica only before the first."""

    async def grounding(self, ask: GenerationRequest, text: str) -> float | None:
        """See ``DecoderServer.grounding``."""

    async def prompt_logprobs(self, ask: GenerationRequest) -> list[TokenLogprob | None]:
        """See ``DecoderServer.prompt_logprobs``."""

    async def load(self) -> DecoderStats:
        """Counters of a decoder replica."""


class LocalBackend:
    """The deployments' objects, in this process."""

    def __init__(self, encoder_servers: Mapping[str, EncoderServer], decoder_server: DecoderServer) -> None:
        self.encoder_servers, self.decoder_server = encoder_servers, decoder_server

    async def prepare(self, encoder: str, ref: BundleRef) -> None:
        await self.encoder_servers[encoder].prepare(ref)
        await self.decoder_server.prepare(ref)

    async def read(self, encoder: str, texts: Sequence[BundleText]) -> EncodedBatch:
        return await self.encoder_servers[encoder].read(texts)

    async def project(self, encoder: str, texts: Sequence[BundleText]) -> EmbeddingBatch:
        return await self.encoder_servers[encoder].project(texts)

    async def vectors(self, encoder: str, texts: Sequence[str]) -> EmbeddingBatch:
        return await self.encoder_servers[encoder].vectors(texts)

    async def teacher_states(self, texts: Sequence[str], ref: BundleRef | None) -> Floats:
        return await self.decoder_server.teacher_states(texts, ref)

    async def answer(self, ask: GenerationRequest) -> tuple[Answer, float | None]:
        return await self.decoder_server.answer(ask)

    def stream(self, ask: GenerationRequest) -> AsyncGenerator[StreamEvent, None]:
        return self.decoder_server.stream(ask)

    async def grounding(self, ask: GenerationRequest, text: str) -> float | None:
        return await self.decoder_server.grounding(ask, text)

    async def prompt_logprobs(self, ask: GenerationRequest) -> list[TokenLogprob | None]:
        return await self.decoder_server.prompt_logprobs(ask)

    async def load(self) -> DecoderStats:
        return self.decoder_server.load()


class RayBackend:
    """Deployment handles of Ray Serve."""

    def __init__(self, encoder_servers: Mapping[str, Any], decoder_server: Any) -> None:
        self._encoder_servers, self._decoder_server = encoder_servers, decoder_server

    async def prepare(self, encoder: str, ref: BundleRef) -> None:
        await asyncio.gather(
            with_retries(lambda: self._encoder_servers[encoder].prepare.remote(ref)),
            with_retries(lambda: self._decoder_server.prepare.remote(ref)),
        )

    async def read(self, encoder: str, texts: Sequence[BundleText]) -> EncodedBatch:
        return await with_retries(lambda: self._encoder_servers[encoder].read.remote(texts))

    async def project(self, encoder: str, texts: Sequence[BundleText]) -> EmbeddingBatch:
        return await with_retries(lambda: self._encoder_servers[encoder].project.remote(texts))

    async def vectors(self, encoder: str, texts: Sequence[str]) -> EmbeddingBatch:
        return await with_retries(lambda: self._encoder_servers[encoder].vectors.remote(texts))

    async def teacher_states(self, texts: Sequence[str], ref: BundleRef | None) -> Floats:
        return await with_retries(lambda: self._decoder_server.teacher_states.remote(texts, ref))

    async def answer(self, ask: GenerationRequest) -> tuple[Answer, float | None]:
        return await with_retries(lambda: self._decoder_server.answer.remote(ask))

    async def stream(self, ask: GenerationRequest) -> AsyncGenerator[StreamEvent, None]:
        for attempt in range(_ATTEMPTS):
            started = ended = False
            events = self._decoder_server.stream.options(stream=True).remote(ask)
            try:
                async for event in events:
                    started = True
                    ended = event.finish is not None
                    yield event
                return
            except Exception as error:
                translated, ended = translate(error), True
                if started or attempt == _ATTEMPTS - 1 or not isinstance(translated, ReplicaLost):
                    raise translated from None
            finally:
                if not ended:
                    events.cancel()  # the listener has gone: free its place in the batch at once
            await asyncio.sleep(_backoff(attempt))

    async def grounding(self, ask: GenerationRequest, text: str) -> float | None:
        return await with_retries(lambda: self._decoder_server.grounding.remote(ask, text))

    async def prompt_logprobs(self, ask: GenerationRequest) -> list[TokenLogprob | None]:
        return await with_retries(lambda: self._decoder_server.prompt_logprobs.remote(ask))

    async def load(self) -> DecoderStats:
        return await with_retries(lambda: self._decoder_server.load.remote())


async def with_retries(call: Callable[[], DeploymentResponse[T]]) -> T:
    """The result of a call, repeated on another replica where one went away during it.

    A cancelled wait cancels the call in its replica, which Ray does not do by itself.

    Raises:
        LlinkError: as the replica did; Overloaded; ReplicaLost.
    """
    for attempt in range(_ATTEMPTS):
        response = call()
        try:
            return await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        except Exception as error:
            translated = translate(error)
            if attempt == _ATTEMPTS - 1 or not isinstance(translated, ReplicaLost):
                raise translated from None
        await asyncio.sleep(_backoff(attempt))
    raise AssertionError("the last attempt returns or raises")


def _backoff(attempt: int) -> float:
    return _BACKOFF * 2.0**attempt * random.uniform(0.8, 1.2)


def translate(error: Exception) -> Exception:
    """Ray's errors as ours; others as they are."""
    from grpc.aio import AioRpcError
    from ray.exceptions import (
        NodeDiedError,
        ObjectLostError,
        RayActorError,
        RayTaskError,
        WorkerCrashedError,
    )
    from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError

    if isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
        error = error.cause
    if isinstance(error, BackPressureError):
        return Overloaded("too much is asked at once: try again in a moment")
    # RayActorError covers a replica that died and one that cannot be reached; a large result of a replica
    # that died before it was fetched is a lost object.
    gone = (RayActorError, WorkerCrashedError, NodeDiedError, ObjectLostError, AioRpcError)
    if isinstance(error, (*gone, DeploymentUnavailableError, ReplicaUnavailableError)):
        return ReplicaLost("a replica went away: try again")
    return error

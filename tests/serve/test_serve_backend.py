"""Calls through deployment handles: asked again where a replica dies, let go where nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from ray.exceptions import ActorDiedError, ActorUnavailableError, ObjectLostError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from llink_ray.engine import FinishInfo, QueueFull, StreamEvent, Usage
from llink_ray.errors import LlinkError
from serve import backend
from serve.backend import Overloaded, RayBackend, ReplicaLost, with_retries
from serve.rpc_types import GenerationRequest

_ASK = GenerationRequest((1, 2))
_END = StreamEvent("b", finish=FinishInfo("stop", Usage(2, 2)))
_GONE = [ActorDiedError(), ActorUnavailableError("away", None)]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_BACKOFF", 0.0)


class Call:
    """A deployment's response."""

    def __init__(self, outcome: Any, seconds: float = 0.0) -> None:
        self.outcome, self.seconds, self.cancelled = outcome, seconds, False

    def __await__(self) -> Any:
        yield from asyncio.sleep(self.seconds).__await__()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def cancel(self) -> None:
        self.cancelled = True


class Events:
    """A deployment's response that comes in parts."""

    def __init__(self, *parts: StreamEvent | Exception) -> None:
        self._parts, self.cancelled = iter(parts), False

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> StreamEvent:
        part = next(self._parts, None)
        if part is None:
            raise StopAsyncIteration
        if isinstance(part, Exception):
            raise part
        return part

    def cancel(self) -> None:
        self.cancelled = True


class DecoderServer:
    """A handle whose calls have these outcomes, one after the other."""

    def __init__(self, *outcomes: Events) -> None:
        self.outcomes, self.calls = list(outcomes), 0
        self.stream = self

    def options(self, stream: bool) -> DecoderServer:
        assert stream
        return self

    def remote(self, ask: GenerationRequest) -> Events:
        self.calls += 1
        return self.outcomes[self.calls - 1]


def calls(*outcomes: Any) -> tuple[Callable[[], Call], list[Call]]:
    attempts: list[Call] = []

    def call() -> Call:
        attempts.append(Call(outcomes[len(attempts)]))
        return attempts[-1]

    return call, attempts


def test_a_call_is_made_again_where_a_replica_went_away() -> None:
    lost = ObjectLostError("00", None, "here")
    call, attempts = calls(*_GONE, DeploymentUnavailableError(None), lost, "answer")
    assert asyncio.run(with_retries(call)) == "answer" and len(attempts) == 5
    call, attempts = calls(AioRpcError(StatusCode.UNKNOWN, Metadata(), Metadata()), "answer")
    assert asyncio.run(with_retries(call)) == "answer" and len(attempts) == 2
    call, attempts = calls(*_GONE * 9)
    with pytest.raises(ReplicaLost):
        asyncio.run(with_retries(call))
    assert len(attempts) == 5


@pytest.mark.parametrize("error", [QueueFull("wait"), LlinkError("no"), RuntimeError("a defect")])
def test_what_a_replica_says_is_said_as_it_is_and_once(error: Exception) -> None:
    wrapped = RayTaskError("answer", "traceback", error).as_instanceof_cause()
    for raised in (error, wrapped):
        call, attempts = calls(raised)
        with pytest.raises(type(error)) as caught:
            asyncio.run(with_retries(call))
        assert caught.value is error and len(attempts) == 1


def test_too_much_at_once_is_told_and_not_asked_again() -> None:
    call, attempts = calls(BackPressureError(num_queued_requests=3, max_queued_requests=3))
    with pytest.raises(Overloaded):
        asyncio.run(with_retries(call))
    assert len(attempts) == 1


def test_a_call_that_nobody_waits_for_is_cancelled() -> None:
    call = Call("answer", 30)

    async def run() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await with_retries(lambda: call)

    asyncio.run(run())
    assert call.cancelled


def heard(decoder_server: DecoderServer, most: int = 9) -> list[StreamEvent]:
    async def run() -> list[StreamEvent]:
        found = []
        stream: AsyncGenerator[StreamEvent, None] = RayBackend({}, decoder_server).stream(_ASK)
        async with aclosing(stream) as events:
            async for event in events:
                found.append(event)
                if len(found) == most:
                    break
        return found

    return asyncio.run(run())


def test_a_stream_is_asked_for_again_only_while_nothing_of_it_came() -> None:
    decoder_server = DecoderServer(Events(_GONE[0]), Events(_GONE[1]), Events(StreamEvent("a"), _END))
    assert heard(decoder_server) == [StreamEvent("a"), _END] and decoder_server.calls == 3
    begun = DecoderServer(Events(StreamEvent("a"), _GONE[0]), Events(StreamEvent("a"), _END))
    with pytest.raises(ReplicaLost):
        heard(begun)
    assert begun.calls == 1
    full = DecoderServer(Events(QueueFull("wait")))
    with pytest.raises(QueueFull):
        heard(full)


def test_a_stream_that_is_left_is_cancelled_and_one_that_ended_is_not() -> None:
    left, whole = Events(StreamEvent("a"), _END), Events(StreamEvent("a"), _END)
    heard(DecoderServer(left), most=1)
    heard(DecoderServer(whole))
    assert left.cancelled and not whole.cancelled

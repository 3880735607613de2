"""Admission, deadline, metrics and log fields of one request."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.requests import Request

from llink_ray.engine import FinishInfo, Usage
from llink_ray.storage.redact import without_paths
from serve import access_log, key_files
from serve.admission import AdmissionController
from serve.errors import ApiError
from serve.keys import CALLER_KEY
from serve.metadata import PreparedRequest
from serve.service import Service


class RequestGuard:
    """Admits requests to the endpoints."""

    def __init__(self, service: Service) -> None:
        self.service, self.limits = service, service.settings.limits
        self.keys = key_files.load(service.settings)
        self.admission = AdmissionController(self.limits.in_flight)

    def admit(self, request: Request) -> RequestContext:
        """Admit a request whose key was checked by ``AuthenticationMiddleware``.

        Raises:
            ApiError: 429 or 503.
        """
        if self.service.shutdown.started:
            raise ApiError.stopping()
        return RequestContext(self, request)

    @asynccontextmanager
    async def admitted(self, request: Request) -> AsyncIterator[RequestContext]:
        """``admit`` for the duration of a block, within the deadline.

        Raises:
            ApiError: as ``admit``; 504 after the deadline.
        """
        context = self.admit(request)
        try:
            async with context.timeout():
                yield context
        finally:
            context.close()


class RequestContext:
    """An admitted request; ``close`` it when its response has ended."""

    def __init__(self, guard: RequestGuard, request: Request) -> None:
        self.service, self.limits = guard.service, guard.limits
        self.outcome = "failed"
        """For the metrics: ``ok``, ``cancelled``, ``failed`` or an HTTP status."""
        self.labels = ("unknown", "unknown")
        """Language and model, once they are known."""
        self._scope = request.scope
        self._start: float = request.scope[access_log.START_KEY]  # before the body was read
        self._first_token: float | None = None
        self._closed = False
        self._permit = guard.admission.admit(request.scope[CALLER_KEY])
        self.service.metrics.in_flight.inc()
        self.service.shutdown.in_flight += 1

    @property
    def seconds_left(self) -> float:
        """Until the deadline."""
        return max(0.001, self.limits.seconds - (time.monotonic() - self._start))

    def timeout(self, extra_seconds: float = 0.0) -> AbstractAsyncContextManager[None]:
        """A block until the deadline: 504 after it, and 503 where the service stops meanwhile."""
        error = ApiError.deadline(self.limits.seconds)
        return self.service.shutdown.timeout(self.seconds_left + extra_seconds, error)

    def set_request(self, request: PreparedRequest) -> None:
        """Language and model are known."""
        language = request.conversation.adapter
        self.labels = language or "none", request.model
        prompt = [text for _, text in request.conversation.raw_messages]
        access_log.add_fields(self._scope, model=request.model, language=language, prompt=prompt)

    def record_first_token(self) -> None:
        """The first text is sent; later calls change nothing."""
        if self._first_token is None:
            self._first_token = time.monotonic() - self._start

    def record_answer(self, request: PreparedRequest, usage: Usage, grounding: float | None) -> None:
        """An answer is complete."""
        metrics, language = self.service.metrics, request.conversation.adapter or "none"
        self.outcome = "ok"
        metrics.tokens.labels(language, "prompt").inc(usage.prompt_tokens)
        metrics.tokens.labels(language, "prompt_raw").inc(request.raw_tokens)
        metrics.tokens.labels(language, "completion").inc(usage.completion_tokens)
        if grounding is not None:
            metrics.grounding.labels(language).observe(grounding)
        access_log.add_fields(
            self._scope, prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens
        )

    def close_stream(self) -> None:
        """``close`` a stream: one without an outcome was left by its client."""
        if self.outcome == "failed":
            self.outcome = "cancelled"
        self.close()

    def close(self) -> None:
        """Release the permit and record the metrics; later calls change nothing."""
        if self._closed:
            return
        self._closed = True
        metrics = self.service.metrics
        self._permit.release()
        metrics.in_flight.dec()
        self.service.shutdown.in_flight -= 1
        metrics.requests.labels(*self.labels, self.outcome).inc()
        metrics.duration.labels(*self.labels).observe(time.monotonic() - self._start)
        if self._first_token is not None:
            metrics.first_token.labels(*self.labels).observe(self._first_token)


def raise_if_failed(done: FinishInfo, seconds: float) -> None:
    """Refuse an answer that ended by a deadline or a failure.

    Raises:
        ApiError: 504 for a deadline, 503 where the decoder gave up.
    """
    if done.reason == "deadline":
        raise ApiError.deadline(seconds)
    if done.reason in ("error", "cancelled"):
        raise ApiError(503, without_paths(done.error or "the decoder gave this request up: ask again"))

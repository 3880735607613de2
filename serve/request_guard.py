"""One request's way in and out: key, limits, metrics, log; and what failures are called."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from starlette.requests import Request

from llink_ray.engine import FinishInfo, Usage
from llink_ray.storage.redact import without_paths
from serve import access_log, key_files
from serve.admission import AdmissionController, Permit
from serve.errors import ApiError
from serve.keys import CALLER
from serve.service import PreparedRequest, Service


class RequestGuard:
    """What all endpoints pass through."""

    def __init__(self, service: Service) -> None:
        self.service, self.limits = service, service.settings.limits
        self.ring = key_files.load(service.settings)
        self.admission = AdmissionController(self.limits.in_flight)

    def admit(self, request: Request) -> RequestContext:
        """Let a request in whose key was looked at (``middleware.Guard``).

        Raises:
            ApiError: 429 or 503.
        """
        if self.service.stopping.begun:
            raise ApiError.stopping()
        return RequestContext(self, request, self.admission.take(request.scope[CALLER]))

    @asynccontextmanager
    async def visit(self, request: Request) -> AsyncIterator[RequestContext]:
        """``admit``, for as long as the block lasts, within the deadline.

        Raises:
            ApiError: as ``admit``; 504 after the deadline.
        """
        held = self.admit(request)
        try:
            async with held.within(held.seconds_left):
                yield held
        finally:
            held.leave()


@dataclass
class RequestContext:
    """A request that was let in; ``leave`` it at its very end."""

    edge: RequestGuard
    request: Request
    held: Permit
    began: float = field(init=False)
    """When it came in, which is before its body was read."""
    labels: tuple[str, str] | None = None
    """Language and model, once they are known."""
    outcome: str = "failed"
    _first: float | None = None
    _left: bool = False

    def __post_init__(self) -> None:
        self.began = self.request.scope[access_log.BEGAN]
        self.edge.service.metrics.open.inc()
        self.edge.service.stopping.open += 1

    @property
    def seconds_left(self) -> float:
        """Until the deadline."""
        return max(0.001, self.edge.limits.seconds - (time.monotonic() - self.began))

    def within(self, seconds: float) -> AbstractAsyncContextManager[None]:
        """A block that may take so long; 504 after it, and 503 where the service stops meanwhile."""
        return self.edge.service.stopping.within(seconds, ApiError.deadline(self.edge.limits.seconds))

    def understood(self, plan: PreparedRequest) -> None:
        """Languages and model are known now."""
        self.labels = plan.layout.adapter or "none", plan.model
        access_log.note(
            self.request.scope,
            model=plan.model,
            language=plan.layout.adapter,
            prompt=[text for _, text in plan.layout.raw_messages],
        )

    def first_text(self) -> None:
        """The first text is on its way."""
        if self._first is None:
            self._first = time.monotonic() - self.began

    def answered(self, plan: PreparedRequest, usage: Usage, grounding: float | None) -> None:
        """It went well."""
        metrics, language = self.edge.service.metrics, plan.layout.adapter or "none"
        self.outcome = "ok"
        metrics.tokens.labels(language, "prompt").inc(usage.prompt_tokens)
        metrics.tokens.labels(language, "prompt_raw").inc(plan.raw_tokens)
        metrics.tokens.labels(language, "completion").inc(usage.completion_tokens)
        if grounding is not None:
            metrics.grounding.labels(language).observe(grounding)
        access_log.note(
            self.request.scope, prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens
        )

    def hang_up(self) -> None:
        """``leave`` a stream: one that came to no end was left by its caller."""
        if self.outcome == "failed":
            self.outcome = "cancelled"
        self.leave()

    def leave(self) -> None:
        """Give the place back and count; once, however often it is called."""
        if self._left:
            return
        self._left = True
        metrics = self.edge.service.metrics
        self.held.release()
        metrics.open.dec()
        self.edge.service.stopping.open -= 1
        labels = self.labels or ("unknown", "unknown")
        metrics.requests.labels(*labels, self.outcome).inc()
        metrics.seconds.labels(*labels).observe(time.monotonic() - self.began)
        if self._first is not None:
            metrics.first.labels(*labels).observe(self._first)


def require_good(done: FinishInfo, seconds: float) -> None:
    """Refuse an end that is none.

    Raises:
        ApiError: 504 for a deadline, 503 where the decoder gave up.
    """
    if done.reason == "deadline":
        raise ApiError.deadline(seconds)
    if done.reason in ("error", "cancelled"):
        raise ApiError.overloaded(without_paths(done.error or "the decoder gave this request up: ask again"))

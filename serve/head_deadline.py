"""A deadline for a request's head, which uvicorn does not have, in the process of Ray Serve's proxy."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from serve.errors import ApiError

PROTOCOL = f"{__name__}:HeadDeadlineProtocol"


class HeadDeadlineProtocol(H11Protocol):
    """Closes a connection, with 408, whose next request line and headers do not come in time.

    Counts from the connection, and between two requests of one from the second one's first byte; until that
    byte uvicorn's own ``timeout_keep_alive`` counts. Bodies have their own (``BodyMiddleware``).
    """

    seconds: float = 30.0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        self._set_timer()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._cancel()
        elif self._timer is None and self.timeout_keep_alive_task is None:
            self._set_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or was sent away."""
        self._cancel()
        super().connection_lost(exc)

    def _set_timer(self) -> None:
        self._timer = self.loop.call_later(self.seconds, self._too_late)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        self._timer = None
        if self.transport.is_closing() or self.conn.our_state is not h11.IDLE:
            return
        answer = ApiError(408, f"the request's headers did not come within {self.seconds:g} s").response
        headers: list[Any] = [*answer.raw_headers, (b"connection", b"close")]
        body = bytes(answer.body)
        head = h11.Response(status_code=answer.status_code, headers=headers)
        for event in (head, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

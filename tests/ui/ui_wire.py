"""A wire between the chat and its API on loopback that a test can slow down, cut, or take away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from listening import free_port

_STREAM = b"text/event-stream"


@dataclass
class Wire:
    """How it behaves now; every field may be set while it is in use."""

    url: str
    cut_after: int | None = None
    """Bytes of an answer's stream after which the connection is gone."""
    pace: float | None = None
    """Bytes of an answer's stream a second."""
    delay: float = 0.0
    """Seconds before a question goes on."""
    refuses: bool = False
    """Connections are closed as soon as they are there."""
    wait: int | None = None
    """Seconds of ``Retry-After`` with which questions are turned away, status 429."""

    def heal(self) -> None:
        """As a wire should be."""
        self.cut_after = self.pace = self.wait = None
        self.refuses, self.delay = False, 0.0


def _busy(seconds: int) -> bytes:
    body = b'{"error": {"message": "too much at once", "type": "rate_limit", "code": "overloaded"}}'
    head = (
        f"HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\nretry-after: {seconds}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


async def _answers(wire: Wire, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """What the API says; ends where it is to be cut."""
    passed = -1  # no stream yet
    while part := await source.read(4096):
        if _STREAM in part:
            passed = 0
        elif part.startswith(b"HTTP/1.1 "):
            passed = -1
        if passed >= 0 and (pace := wire.pace):
            await asyncio.sleep(len(part) / pace)
        if passed >= 0:
            passed += len(part)
            if wire.cut_after is not None and passed > wire.cut_after:
                return
        sink.write(part)
        await sink.drain()


async def _questions(
    wire: Wire, source: asyncio.StreamReader, sink: asyncio.StreamWriter, back: asyncio.StreamWriter
) -> None:
    """What the chat asks; ends where it is to be turned away."""
    while part := await source.read(65536):
        if wire.refuses:
            return
        if wire.wait is not None and b"/chat/completions " in part:
            back.write(_busy(wire.wait))
            await back.drain()
            return
        await asyncio.sleep(wire.delay)
        sink.write(part)
        await sink.drain()


@contextmanager
def wire(target: str) -> Iterator[Wire]:
    """One to an API; its address is in ``url``."""
    there, port = urlsplit(target), free_port()
    made = Wire(f"http://127.0.0.1:{port}")

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            if not made.refuses:
                up_reader, up_writer = await asyncio.open_connection(there.hostname, there.port)
                ways = [
                    asyncio.ensure_future(_answers(made, up_reader, writer)),
                    asyncio.ensure_future(_questions(made, reader, up_writer, writer)),
                ]
                _, rest = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in rest:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
                up_writer.close()
        writer.close()

    # In a thread of its own: the browser's driver has the loop of this one.
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    starting = asyncio.start_server(accept, "127.0.0.1", port)
    server = asyncio.run_coroutine_threadsafe(starting, loop).result(20)
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)

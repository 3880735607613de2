"""What pyarrow speaks of S3, on this machine: listings, objects, uploads in parts; keys are not checked."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE = 1_000
"""Entries of one page of a listing, as the real one has it."""


class Bucket(ThreadingHTTPServer):
    """One bucket named ``team``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.listed: list[str] = []
        """Every key and prefix that a listing told."""
        self.fetched: list[str] = []
        """Keys that were read."""

    @property
    def uri(self) -> str:
        """For ``pyarrow.fs``; a folder of the bucket may follow ``team``."""
        place = f"127.0.0.1%3A{self.server_address[1]}"
        return f"s3://key:secret@team/models?scheme=http&endpoint_override={place}&region=us-east-1"


@contextmanager
def bucket() -> Iterator[Bucket]:
    """A running server."""
    server = Bucket()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Bucket
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        key, query = self._asked()
        if not key:
            self._reply(200, self._listing(query))
        elif key in self.server.objects:
            self.server.fetched.append(key)
            self._send_object(self.server.objects[key])
        else:
            self._reply(404, "<Error><Code>NoSuchKey</Code></Error>")

    def do_HEAD(self) -> None:
        key, _ = self._asked()
        if not key:
            self._reply(200, "")
        elif key in self.server.objects:
            self._send_object(self.server.objects[key], body=False)
        else:
            self._reply(404, "")

    def do_PUT(self) -> None:
        key, query = self._asked()
        body = self._body()
        if "uploadId" in query:
            self.server.parts[query["uploadId"]][int(query["partNumber"])] = body
        else:
            self.server.objects[key] = body
        self._reply(200, "", ETag='"e"')

    def do_POST(self) -> None:
        key, query = self._asked()
        body = self._body()
        if "uploads" in query:
            name = f"{key}-{len(self.server.parts)}".replace("/", "-")
            self.server.parts[name] = {}
            self._reply(
                200,
                f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>",
            )
        elif "uploadId" in query:
            parts = self.server.parts.pop(query["uploadId"])
            self.server.objects[key] = b"".join(parts[number] for number in sorted(parts))
            self._reply(
                200, '<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>'
            )
        else:  # delete many
            for found in re.findall(r"<Key>(.*?)</Key>", body.decode()):
                self.server.objects.pop(found, None)
            self._reply(200, "<DeleteResult></DeleteResult>")

    def do_DELETE(self) -> None:
        key, _ = self._asked()
        self.server.objects.pop(key, None)
        self._reply(204, "")

    def _asked(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        return unquote(parts.path).removeprefix("/team").lstrip("/"), query

    def _listing(self, query: dict[str, str]) -> str:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        entries: dict[str, bool] = {}
        for key in sorted(self.server.objects):
            if key.startswith(prefix):
                head, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
                entries[prefix + head + cut if cut else key] = bool(cut)
        after = query.get("continuation-token", "")
        left = [name for name in entries if name > after]
        page = left[: min(PAGE, int(query.get("max-keys", PAGE)))]
        self.server.listed += page
        told = "".join(
            f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
            if entries[name]
            else f"<Contents><Key>{escape(name)}</Key><Size>{len(self.server.objects[name])}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for name in page
        )
        more = len(left) > len(page)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        return (
            f"<ListBucketResult><Name>team</Name><KeyCount>{len(page)}</KeyCount>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{told}</ListBucketResult>"
        )

    def _body(self) -> bytes:
        raw = b""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                raw += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return raw
        content = b""
        while raw:  # size;chunk-signature=…\r\n data \r\n, to a size of 0
            head, _, raw = raw.partition(b"\r\n")
            size = int(head.partition(b";")[0], 16)
            if not size:
                break
            content, raw = content + raw[:size], raw[size + 2 :]
        return content

    def _send_object(self, content: bytes, *, body: bool = True) -> None:
        status, part = 200, content
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            status, first = 206, int(found[1])
            part = content[first : int(found[2]) + 1 if found[2] else None]
        self.send_response(status)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("ETag", '"e"')
        self.end_headers()
        if body:
            self.wfile.write(part)

    def _reply(self, status: int, text: str, **headers: str) -> None:
        content = text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

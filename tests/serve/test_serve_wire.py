"""The service as it is started, over the wire: with a proxy in the environment, to clients of other kinds."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from serve_load import body
from serve_process import Started, started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
DEAD = "127.0.0.1:9"
PROXIES = {
    **dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"), f"http://{DEAD}"),
    **dict.fromkeys(("grpc_proxy", "GRPC_PROXY"), f"http://{DEAD}"),
    **dict.fromkeys(("ALL_PROXY", "all_proxy"), f"socks5://{DEAD}"),
}
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def service(registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """Started where every variable that names a proxy leads to a port on which nobody listens."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PROXIES.items():
            patch.setenv(name, value)
        patch.delenv("no_proxy", raising=False)
        patch.delenv("NO_PROXY", raising=False)
        with started(registry, tmp_path_factory.mktemp("wire"), "limits.body_seconds=2") as made:
            for name in PROXIES:
                patch.delenv(name)
            yield made


def exchange(url: str, *pieces: bytes, pause: float = 0.0) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and all that comes after them until the connection is closed or silent."""
    parts, received = urlsplit(url), b""
    with closing(socket.create_connection((parts.hostname, parts.port), timeout=15)) as wire:
        try:
            for piece in pieces:
                wire.sendall(piece)
                time.sleep(pause)
            while b"\r\n\r\n" not in received:
                received += (part := wire.recv(65_536))
                assert part, received
            wire.settimeout(1)
            while part := wire.recv(65_536):
                received += part
        except TimeoutError:
            pass
    head, _, rest = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
    return int(first.split()[1]), headers, rest


def ask(method: str, path: str, *headers: str, sent: bytes = b"") -> bytes:
    lines = ["host: evil.example", "content-type: application/json", f"content-length: {len(sent)}", *headers]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + sent


def test_an_offer_of_http_2_is_passed_over(service: Started) -> None:
    sent = json.dumps(body()).encode()
    offer = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAEAAEAAAAIAAAAB")
    whole = ask("POST", CHAT, *offer, sent=sent)
    for pieces in ([whole], [whole[: -len(sent)], sent]):
        status, headers, content = exchange(service.url, *pieces, pause=0.1)
        assert status == 200 and json.loads(content)["choices"], headers


JAVA = """
import java.net.URI;
import java.net.http.*;

public class Ask {
    public static void main(String[] given) throws Exception {
        HttpRequest asked = HttpRequest.newBuilder(URI.create(given[0]))
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(given[1])).build();
        HttpClient client = HttpClient.newHttpClient();
        HttpResponse<String> told = client.send(asked, HttpResponse.BodyHandlers.ofString());
        System.out.println(told.statusCode() + " " + told.body());
    }
}
"""


@pytest.mark.skipif(not shutil.which("javac"), reason="no JDK here")
def test_java_s_own_client_as_it_comes(service: Started, tmp_path: Path) -> None:
    source = tmp_path / "Ask.java"
    source.write_text(JAVA)
    command = ["java", str(source), f"{service.url}{CHAT}", json.dumps(body())]
    content = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert content.stdout.startswith("200 {"), content.stdout + content.stderr


@pytest.mark.parametrize(
    "path", ["/health", "/health/", "/v1/models", CHAT, f"{CHAT}/", "/nowhere", "/-/routes"]
)
@pytest.mark.parametrize("given", ["x-a: b", "x-request-id: a b", "x-request-id: abc\r\nx-request-id: def"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_no_header_comes_twice_and_no_host_of_the_request_s(
    service: Started, method: str, path: str, given: str
) -> None:
    status, headers, content = exchange(service.url, ask(method, path, given, "connection: close"))
    assert [name for name, times in Counter(name for name, _ in headers).items() if times > 1] == []
    assert "x-request-id" in dict(headers) and "location" not in dict(headers) and b"evil" not in content
    assert status == {("GET", "/health"): 200, ("HEAD", "/health"): 200}.get((method, path), status) < 500
    if method == "HEAD":
        assert content == b""


@pytest.mark.parametrize("order", ["x-request-timeout-seconds: 1e-9", "x-request-timeout-seconds: \xff"])
def test_callers_give_ray_no_orders(service: Started, order: str) -> None:
    sent = json.dumps(body()).encode()
    raw = ask("POST", CHAT, "x-order: @", sent=sent).replace(b"x-order: @", order.encode("latin-1"))
    status, _, content = exchange(service.url, raw)
    assert status == 200, content


def test_a_body_that_trickles_is_closed_with_408(service: Started) -> None:
    start = time.monotonic()
    status, headers, content = exchange(
        service.url, ask("POST", CHAT, "x-a: b").replace(b"th: 0", b"th: 99"), b"{"
    )
    assert (status, dict(headers)["connection"]) == (408, "close")
    assert json.loads(content)["error"]["code"] == "request_timeout"
    assert 2 <= time.monotonic() - start < 10


def test_it_says_what_it_does_and_nothing_else(service: Started) -> None:
    said = service.errors.read_text().splitlines()
    assert said[0].startswith("starting the service over ")
    assert any(line.startswith("waiting for ") for line in said)
    service.process.terminate()
    service.process.wait(60)
    said = service.errors.read_text().splitlines()
    ours = ("starting ", "waiting for ", "serving ", "ending ")
    assert [line for line in said if line and not line.startswith(ours)] == []
    assert service.process.stdout is not None
    assert service.process.stdout.read().splitlines() == [f"{service.url}/v1"]

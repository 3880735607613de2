"""The page behind HTTP, in this process: login, headers, bounds, a prefix; and the API that it starts."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from listening import free_port
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.testclient import TestClient
from ui_service import scripted

from llink_ray.errors import JobFailed, LlinkError
from ui.api_client import ApiClient
from ui.server import HostGuard, application, check_login, listen
from ui.settings import UiSettings
from ui.start_api import running_api

PASSWORDS = {"tashi": "a-long-password"}


def client(passwords: dict[str, str] | None = None, **settings: object) -> TestClient:
    """Of a chat whose API is away."""
    chosen = UiSettings.model_validate({"api": f"http://127.0.0.1:{free_port()}", **settings})
    return TestClient(
        application(chosen, ApiClient(chosen.api), passwords or {}),
        base_url=f"http://127.0.0.1:{chosen.port}",
    )


@pytest.fixture(scope="module")
def chat() -> TestClient:
    """Open to everybody here."""
    return client(body_bytes=10_000)


def test_the_page_asks_no_other_host(chat: TestClient) -> None:
    page = chat.get("/")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "://" not in policy and "*" not in policy
    assert page.headers["referrer-policy"] == "no-referrer"
    config = chat.get("/config").json()
    assert config["analytics_enabled"] is False
    used = re.findall(r"""(?:src|href)=["'](https?://[^"']+)|url\((https?://[^)]+)""", page.text)
    assert not [one for one in used if "testserver" not in "".join(one)]


def test_building_and_serving_the_page_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[Any]()

    def nowhere(*address: Any, **_: Any) -> Any:
        asked.append(address)
        raise OSError("no network here")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    monkeypatch.setattr(socket.socket, "connect", nowhere)
    page = client()
    assert page.get("/").status_code == page.get("/theme.css").status_code == 200
    assert not asked


def test_nothing_of_gradio_is_offered_that_is_not_wanted(chat: TestClient) -> None:
    assert chat.get("/monitoring").status_code in (403, 404)
    assert chat.get("/gradio_api/mcp/").status_code == 404
    told = chat.get("/gradio_api/info").json()
    assert not told["named_endpoints"], "no handler is a public endpoint"


@pytest.mark.parametrize("path", ["/theme.css/", "/favicon.ico/", "/logout", "/login//"])
def test_no_redirect_takes_its_host_from_the_request(path: str) -> None:
    stranger = {"host": "evil.example", "x-forwarded-host": "evil.example", "x-forwarded-proto": "https"}
    told = client(PASSWORDS).get(path, headers=stranger, follow_redirects=False)
    assert told.status_code in (302, 307)
    assert re.fullmatch(r"/[a-z.]*", told.headers["location"])


def test_a_body_that_is_too_large_is_not_read(chat: TestClient) -> None:
    refused = chat.post("/gradio_api/queue/join", content=b"x" * 10_001)
    assert refused.status_code == 413 and "10000 bytes" in refused.text
    assert chat.post("/gradio_api/queue/join", content=b"{}").status_code != 413


def test_a_body_without_a_length_ends_where_it_is_too_large() -> None:
    got = list[int]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request":
            got.append(len(message["body"]))
            if not message.get("more_body"):
                break
        await PlainTextResponse(message["type"])(scope, receive, send)

    def parts(count: int) -> Iterator[bytes]:
        yield from [b"x" * 10] * count

    asking = TestClient(HostGuard(app, max_body_bytes=100))
    assert asking.post("/", content=parts(50)).text == "http.disconnect"
    assert sum(got) <= 100
    assert asking.post("/", content=parts(5)).text == "http.request"


@pytest.mark.parametrize(
    ("host", "let_in"),
    [
        *((name, True) for name in ("127.0.0.1", "localhost:7860", "LOCALHOST", "[::1]:7860", "[::1]")),
        *((name, True) for name in ("llink.example.org", "llink.example.org:443")),
        *((name, False) for name in ("", "evil.example", "127.0.0.1.evil.example:7860", "10.0.0.1", "[::2]")),
    ],
)
def test_without_a_login_a_strangers_name_for_this_machine_is_refused(host: str, let_in: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("in")(scope, receive, send)

    asking = TestClient(HostGuard(app, max_body_bytes=100, hosts=frozenset({"llink.example.org"})))
    answer = asking.get("/", headers={"host": host})
    assert (answer.status_code, answer.text == "in") == ((200, True) if let_in else (421, False))
    assert let_in or "add that name to hosts" in answer.text


def test_a_page_without_a_login_is_for_this_machine_and_one_with_a_login_for_all() -> None:
    stranger = {"host": "evil.example"}
    assert client().get("/config", headers=stranger).status_code == 421
    assert client(hosts=["evil.example"]).get("/config", headers=stranger).status_code == 200
    assert client(PASSWORDS).get("/", headers=stranger).status_code == 200


def test_what_is_open_ends_with_the_chat() -> None:
    async def ended() -> str:
        ending, got = asyncio.Event(), asyncio.Queue[Any]()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            for _ in range(2):
                await got.put(await receive())

        async def never(_: Any) -> None: ...

        coming = asyncio.Queue[Any]()
        await coming.put({"type": "http.request"})
        asked = HostGuard(app, max_body_bytes=100, ending=ending)(
            {"type": "http", "headers": []}, coming.get, never
        )
        task = asyncio.create_task(asked)
        assert (await got.get())["type"] == "http.request"
        await asyncio.sleep(0.05)
        assert got.empty()
        ending.set()
        await asyncio.wait_for(task, 5)
        return str((await got.get())["type"])

    assert asyncio.run(ended()) == "http.disconnect"


def test_a_login_keeps_others_out() -> None:
    chat = client(PASSWORDS)
    assert chat.get("/config").status_code == 401
    assert "auth_required" in chat.get("/").text
    wrong = chat.post("/login", data={"username": "tashi", "password": "another-password"})
    assert wrong.status_code == 400 and chat.get("/config").status_code == 401
    right = chat.post("/login", data={"username": "tashi", "password": "a-long-password"})
    assert right.status_code == 200 and chat.get("/config").status_code == 200
    assert "httponly" in right.headers["set-cookie"].lower()


def test_names_and_passwords_are_compared_whole() -> None:
    right = check_login(PASSWORDS)
    for name, password in (
        ("", ""),
        ("tashi", ""),
        ("sok", "a-long-password"),
        ("tashi", "a-long-passwor\ud800"),
    ):
        assert asyncio.run(right(name, password)) is False
    assert asyncio.run(right("tashi", "a-long-password")) is True


def test_a_prefix_that_a_proxy_takes_off_is_in_every_address() -> None:
    config = client(root_path="/tools/chat").get("/config").json()
    assert config["root"].endswith("/tools/chat")


def test_a_port_that_is_taken_is_told_before_anything_slow() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(LlinkError, match="--port"):
            listen(UiSettings(port=other.getsockname()[1]))
    with listen(UiSettings(port=0)) as taken:
        assert taken.getsockname()[1] > 0


def test_an_api_that_answers_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    with scripted(JSONResponse({"models": []})) as url, running_api(f"{url}/v1"):
        pass


@pytest.mark.parametrize("url", ["http://192.0.2.1:9", "https://127.0.0.1:9", "http://127.0.0.1:9/llink"])
def test_an_api_elsewhere_is_not_started_here(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.start_api._status", lambda url, path: None)
    with pytest.raises(LlinkError, match="start it there"), running_api(url):
        pass


def fake(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> str:
    """A program in the service's place: a URL, and what it did in ``folder``."""
    port = free_port()
    (folder / "serve").mkdir()
    (folder / "serve" / "__init__.py").touch()  # so that it goes before any other of that name
    (folder / "serve" / "__main__.py").write_text(body)
    monkeypatch.chdir(folder)
    return f"http://127.0.0.1:{port}"


def test_an_api_that_was_started_ends_with_the_chat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    body = """
import http.server, pathlib, signal, sys
def end(*_): pathlib.Path("ended").write_text(" ".join(sys.argv[1:])); sys.exit(0)
signal.signal(signal.SIGTERM, end)
class Yes(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer((sys.argv[2], int(sys.argv[4])), Yes).serve_forever()
"""
    url = fake(tmp_path, monkeypatch, body)
    with running_api(url, "--registry", "none"):
        assert not (tmp_path / "ended").exists()
    assert (
        tmp_path / "ended"
    ).read_text() == f"--host 127.0.0.1 --port {url.rpartition(':')[2]} --registry none"
    assert "starting it" in capfd.readouterr().err


def test_an_api_that_cannot_start_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = fake(tmp_path, monkeypatch, "import sys; sys.exit(2)")
    with pytest.raises(JobFailed, match="exit code 2"), running_api(url):
        pass

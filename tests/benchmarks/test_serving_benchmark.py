"""The parts of the service's benchmarks that need no service."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any

import pytest

Script = Callable[[str], ModuleType]
EVENTS = [{"choices": [{"delta": {"content": text}}]} for text in ("", "a", "b", "c")]


class Answering(BaseHTTPRequestHandler):
    """Streams four events, or says what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked.get("stream"):
            told = "".join(f"data: {json.dumps(event)}\n\n" for event in EVENTS) + "data: [DONE]\n\n"
            self.answer(200, "text/event-stream", told)
        else:
            self.answer(200, "application/json", json.dumps(asked))

    def answer(self, status: int, kind: str, body: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_client_asks_and_times(script: Script, url: str) -> None:
    client = script("http_load").Client(url)
    reply = client.chat("Hi", temperature=1)
    assert reply.status == 200 and reply.seconds > 0
    assert reply.body["messages"] == [{"role": "user", "content": "Hi"}] and reply.body["temperature"] == 1
    stream = client.stream("Hi")
    assert stream.body == EVENTS and 0 < stream.first <= stream.seconds
    assert client.stream("Hi", events=2).body == EVENTS[:2]
    assert client.chat("again").status == 200, "it has gone away and comes back"
    client.close()


def test_clients_share_the_questions(script: Script, url: str) -> None:
    load = script("http_load")
    clients = [load.Client(url) for _ in range(3)]
    replies = load.together(clients, list("abcdefg"), lambda client, text: client.chat(text))
    assert sorted(reply.body["messages"][0]["content"] for reply in replies) == list("abcdefg")


def test_no_question_comes_twice(script: Script) -> None:
    questions = script("serving").Questions(["bo", "km"], 0)
    drawn = questions.draw(20, "bo") + questions.draw(20)
    assert len(set(drawn)) == 40 and all(text.startswith("Translate") for text in drawn)


def test_growth_is_the_last_third_over_the_first(script: Script) -> None:
    soak = script("soak")
    seen = [soak.Seen(float(at), 100.0 if at < 55 else 110.0) for at in range(101)]
    told = soak.growth(seen, 100.0)
    assert told["first"] == 100 and told["last"] == 110 and told["growth"] == 1.1
    assert told["a_hour"] == pytest.approx(10 * 3_600 / (2 * 80 / 3), rel=1e-3)
    rising_at_first = [soak.Seen(float(at), min(at, 20)) for at in range(101)]
    assert soak.growth(rising_at_first, 100.0)["growth"] == 1
    assert soak.growth([], 100.0)["growth"] == float("inf")


def test_the_mixed_load_has_every_kind_and_knows_what_to_expect(script: Script) -> None:
    load = script("soak_load")
    drawn = load.Load(script("serving").Questions(["bo", "km"], 0), 0)
    assert {drawn.draw()[0] for _ in range(200)} == set(load.SHARES)
    reply = script("http_load").Reply
    assert load.expected("chat", reply(200, {}, 0.1)) and not load.expected("chat", reply(503, {}, 0.1))
    assert load.expected("bad", reply(400, {"error": {}}, 0.1)) and not load.expected(
        "bad", reply(200, {}, 0.1)
    )
    assert not load.expected("stream", reply(200, [{"error": {}}], 0.1))


def test_what_is_below_is_counted(script: Script) -> None:
    below = script("processes").Below()
    taken = below.taken()
    assert taken.cpu >= 0 and taken.memory >= 0 and taken.count >= 0
    assert script("serving").main.__doc__
    with pytest.raises(SystemExit):
        script("serving").main(["--rounds", "0"])
    with pytest.raises(SystemExit):
        script("soak").main(["--minutes", "0"])

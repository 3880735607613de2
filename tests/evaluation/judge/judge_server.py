"""Judges on 127.0.0.1 that speak the protocol, well or badly."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from llink_ray.evaluation.judge import AnswerPair

Reply = tuple[int, dict[str, str], bytes]
Respond = Callable[[dict[str, Any], int], Reply]
KEY = "sk-secret-0123456789"


def completion(content: Any, **more: Any) -> Reply:
    """What an OpenAI-compatible server answers."""
    message = {"role": "assistant", "content": content}
    body = {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"message": message}],
    }
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    return 200, {}, json.dumps(body | {"usage": usage} | more).encode()


def verdict(better: str) -> Reply:
    return completion(json.dumps({"reason": "so it is", "better": better}))


def shown(body: dict[str, Any]) -> dict[str, str]:
    """The data that the judge was given."""
    data: dict[str, str] = json.loads(body["messages"][1]["content"])
    return data


def prefers(word: str) -> Respond:
    """A judge that likes answers with this word in them."""

    def respond(body: dict[str, Any], count: int) -> Reply:
        data = shown(body)
        liked = [word in data["answer_1"], word in data["answer_2"]]
        return verdict("tie" if liked[0] == liked[1] else "1" if liked[0] else "2")

    return respond


class Server:
    """One judge; ``requests`` has (path, headers, raw body) of each request so far."""

    def __init__(self, respond: Respond) -> None:
        self.requests: list[tuple[str, dict[str, str], str]] = []
        requests, lock = self.requests, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"])).decode()
                with lock:
                    requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, raw))
                    count = len(requests)
                status, headers, body = respond(json.loads(raw), count)
                try:
                    self.send_response(status)
                    kind = {"Content-Type": "application/json", "Content-Length": str(len(body))}
                    for name, value in (kind | headers).items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client waited no longer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def answer_pair(a: str, b: str, number: int = 0, known: str | None = "thirty six") -> AnswerPair:
    return AnswerPair(
        instruction="How many pigs are there?",
        source=f"བོད་ཡིག {number}",
        known=known,
        meaning=f"There are thirty six pigs on farm {number}.",
        answer_a=a,
        answer_b=b,
        side_a="projector-side",
        side_b="finetune-side",
    )
